"""The ``--grid-…`` options that do not depend on where jobs run, with their help texts."""

# Without `from __future__ import annotations`: Snakemake reads the types of the fields.
from dataclasses import dataclass
from pathlib import Path

from .base import ObservedSettings, list_option, option
from .choices import COMPRESSIONS, ENGINES


@dataclass
class GeneralSettings(ObservedSettings):
    """Options for all backends."""

    backend: str = option(
        "local",
        "Where jobs run: 'local' runs them on this machine, in the same way as on a grid worker; "
        "'dirac' and 'panda' submit them to the server of your DIRAC or PanDA client. Several, "
        "separated by commas, such as local,dirac: each job goes to the first that has free slots; "
        "--grid-store is needed. Per rule: resource grid_backend.",
        env_var=True,
        metavar="NAMES",
    )
    store: str | None = option(
        None,
        "URL of the store for input and output files, which this host and the workers can reach: "
        "file:///shared/scratch/me, s3://bucket/prefix, root://host//path, davs://host/path, "
        "rucio://scope/prefix?rse=RSE, or with DIRAC lfn:/vo/user/u/user/folder (default: a store "
        "of the backend; 'panda' has none, so that it needs this option).",
        env_var=True,
        type=str,
        metavar="URL",
    )
    store_token: Path | None = option(
        None,
        "For davs:// and root:// (stores, data on the grid): file with a bearer token. The workers "
        "get it as a secret (default: each host uses its own token, as set by BEARER_TOKEN or "
        "BEARER_TOKEN_FILE).",
        env_var=True,
        type=Path,
        metavar="FILE",
    )
    rucio_python: Path | None = option(
        None,
        "For stores with rucio://: Python interpreter that has rucio-clients (default: that of "
        "--storage-grid-rucio-python, or this Python).",
        env_var=True,
        type=Path,
        metavar="FILE",
    )
    runtime: str = option(
        "inherit",
        "What jobs find on the worker: 'inherit' uses what is there, 'setup' runs the lines of "
        "--grid-runtime-setup first, 'container' uses the image of --grid-runtime-image, 'wheels' "
        "sends Snakemake to jobs that need it. Per rule: resource grid_runtime.",
        env_var=True,
        metavar="KIND",
    )
    runtime_setup: str | None = option(
        None,
        "Shell lines to run on the worker before the job, such as '. /cvmfs/…/setup.sh'. "
        "Per rule: resource grid_runtime_setup.",
        env_var=True,
        type=str,
        metavar="LINES",
    )
    runtime_image: str | None = option(
        None,
        "Container image in which jobs run: a file or folder on the worker (/cvmfs/…), or a "
        "URL that apptainer accepts. Per rule: resource grid_runtime_image.",
        env_var=True,
        type=str,
        metavar="IMAGE",
    )
    runtime_engine: str = option(
        "apptainer", f"Container engine on the worker: {', '.join(ENGINES)}.", metavar="NAME"
    )
    runtime_options: str | None = option(
        None, "More options for the container engine, as one string.", type=str, metavar="OPTIONS"
    )
    runtime_python: str | None = option(
        None,
        "For 'wheels': Python version of the workers, such as 3.11 (default: the version of this "
        "Python).",
        type=str,
        metavar="X.Y",
    )
    runtime_platform: str | None = option(
        None,
        "For 'wheels': platform tag of the workers, such as manylinux_2_28_x86_64 (default: the "
        "platform of this machine).",
        type=str,
        metavar="TAG",
    )
    runtime_packages: list[str] = list_option(
        "For 'wheels': more packages to send, as pip requirements.", metavar="REQUIREMENT"
    )
    decide: str = option(
        "auto",
        "Where it is decided what a job runs: 'auto' decides here, so that the worker needs no "
        "Snakemake, but for jobs with run: and the like; 'always' refuses those; 'never' lets "
        "Snakemake on the worker parse the workflow again.",
        env_var=True,
        metavar="KIND",
    )
    bundle: str = option(
        "off",
        "How many jobs that ask for the same go into one grid job: 'off', a number, or 'auto', "
        "which aims at --grid-bundle-minutes by the times of earlier jobs of the rule, or by the "
        "resource runtime. Per rule: resource grid_bundle.",
        env_var=True,
        metavar="N",
    )
    bundle_minutes: float = option(
        30.0,
        "For --grid-bundle auto: run time in minutes at which a grid job aims.",
        metavar="MINUTES",
    )
    bundle_processors: int | None = option(
        None,
        "Processors of a grid job with several jobs, which run side by side on them (default: "
        "those of one job, so that they run one after the other).",
        type=int,
        metavar="N",
    )
    describe: bool = option(
        False,
        "Print what each job runs and its JDL or PanDA task parameters, and exit. No server is "
        "contacted and nothing is staged.",
    )
    include: list[str] = list_option(
        "Globs of files that every job needs although no rule names them, relative to the working "
        "directory. They are sent with every job, regardless of their size.",
        metavar="GLOB",
    )
    exclude: list[str] = list_option(
        "Globs of files that must not be sent with every job.", metavar="GLOB"
    )
    source_file_limit: int = option(
        1 << 20,
        "Size limit, in bytes, of each file found beside the workflow: files of this size or more "
        "are not sent with every job, unless Snakemake read them or --grid-include names them.",
        metavar="BYTES",
    )
    source_limit: int = option(
        100 << 20,
        "Limit, in bytes, of the total size of the files found beside the workflow: above it, the "
        "largest are not sent.",
        metavar="BYTES",
    )
    large_file: int = option(
        8 << 20,
        "Files of this size, in bytes, or more are stored one by one; smaller ones are packed in "
        "tarballs.",
        metavar="BYTES",
    )
    compression: str = option(
        "none",
        f"Compression of tarballs: {', '.join(COMPRESSIONS)}. Useful if the store has a size "
        "limit.",
        metavar="KIND",
    )
    undeclared: str = option(
        "list",
        "What to do with new files that no rule names: 'list' reports their names, 'fetch' also "
        "brings them back. Per rule: resource grid_undeclared.",
        metavar="KIND",
    )
    output_limit: str | None = option(
        None,
        "Limit of the size of a job's outputs, such as 20GB, without holes of sparse files. A job "
        "with more fails, and only its logs come back. Per rule: resource grid_output_limit.",
        type=str,
        metavar="SIZE",
    )
    staging_threads: int = option(4, "Number of threads that pack and upload files.", metavar="N")
    start_limit: int = option(
        600, "For 'local': time limit, in seconds, for a worker to start.", metavar="SECONDS"
    )
    lost_limit: int = option(
        3600,
        "Time, in seconds, after which a job that the server no longer knows counts as failed.",
        metavar="SECONDS",
    )
    avoid_limit: int = option(
        1800,
        "Time, in seconds, for which a job may wait while it avoids sites that failed jobs. After "
        "that it is resubmitted without avoiding any.",
        metavar="SECONDS",
    )
    outage_limit: float = option(
        24.0,
        "Hours to wait for a server or store that does not answer, or for space on a full disk. "
        "After that the run ends, and the next run takes over its jobs.",
        metavar="HOURS",
    )
    on_interrupt: str = option(
        "cancel",
        "What Ctrl-C does: 'cancel' cancels all jobs. 'keep' leaves them running, and the same "
        "command continues with them later. SIGTERM leaves them in any case.",
        env_var=True,
        metavar="KIND",
    )
    detach: bool = option(
        False,
        "Collect finished jobs, submit jobs that are ready, and exit with code 0. Meant for cron "
        "or systemd, which call the same command again and again.",
    )
    infrastructure_retries: int = option(
        3,
        "How often a job is resubmitted after a failure of the site or the grid. These retries do "
        "not count as retries of the rule.",
        metavar="N",
    )
