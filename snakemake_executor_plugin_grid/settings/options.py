"""The ``--grid-…`` options, with the help texts that ``snakemake --help`` shows."""

# Without `from __future__ import annotations`: Snakemake reads the types of the fields.
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .base import ObservedSettings
from .choices import COMPRESSIONS, ENGINES, PANDA_ROUTES
from .names import unset_empty


def _option(default: Any, text: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": text, **metadata})


def _list_option(text: str, **metadata: Any) -> Any:
    return field(default_factory=list, metadata={"help": text, "nargs": "+", **metadata})


@dataclass
class ExecutorSettings(ObservedSettings):
    """Options of the executor; ``--grid-<name>`` on the command line."""

    backend: str = _option(
        "local",
        "Where jobs run: 'local' runs them on this machine, in the same way as on a grid worker; "
        "'dirac' and 'panda' submit them to the server of your DIRAC or PanDA client.",
        env_var=True,
        metavar="NAME",
    )
    store: str | None = _option(
        None,
        "URL of the store for input and output files, which this host and the workers can reach: "
        "file:///shared/scratch/me, s3://bucket/prefix, root://host//path, davs://host/path, or "
        "with DIRAC lfn:/vo/user/u/user/folder (default: a store of the backend; 'panda' has "
        "none, so that it needs this option).",
        env_var=True,
        type=str,
        metavar="URL",
    )
    store_token: Path | None = _option(
        None,
        "For stores with davs:// and root://: file with a bearer token. The workers get it as a "
        "secret (default: each host uses its own token, as set by BEARER_TOKEN or "
        "BEARER_TOKEN_FILE).",
        env_var=True,
        type=Path,
        metavar="FILE",
    )
    runtime: str = _option(
        "inherit",
        "What jobs find on the worker: 'inherit' uses what is there, 'setup' runs the lines of "
        "--grid-runtime-setup first, 'container' uses the image of --grid-runtime-image, 'wheels' "
        "sends Snakemake to jobs that need it. Per rule: resource grid_runtime.",
        env_var=True,
        metavar="KIND",
    )
    runtime_setup: str | None = _option(
        None,
        "Shell lines to run on the worker before the job, such as '. /cvmfs/…/setup.sh'. "
        "Per rule: resource grid_runtime_setup.",
        env_var=True,
        type=str,
        metavar="LINES",
    )
    runtime_image: str | None = _option(
        None,
        "Container image in which jobs run: a file or folder on the worker (/cvmfs/…), or a "
        "URL that apptainer accepts. Per rule: resource grid_runtime_image.",
        env_var=True,
        type=str,
        metavar="IMAGE",
    )
    runtime_engine: str = _option(
        "apptainer", f"Container engine on the worker: {', '.join(ENGINES)}.", metavar="NAME"
    )
    runtime_options: str | None = _option(
        None, "More options for the container engine, as one string.", type=str, metavar="OPTIONS"
    )
    runtime_python: str | None = _option(
        None,
        "For 'wheels': Python version of the workers, such as 3.11 (default: the version of this "
        "Python).",
        type=str,
        metavar="X.Y",
    )
    runtime_platform: str | None = _option(
        None,
        "For 'wheels': platform tag of the workers, such as manylinux_2_28_x86_64 (default: the "
        "platform of this machine).",
        type=str,
        metavar="TAG",
    )
    runtime_packages: list[str] = _list_option(
        "For 'wheels': more packages to send, as pip requirements.", metavar="REQUIREMENT"
    )
    decide: str = _option(
        "auto",
        "Where it is decided what a job runs: 'auto' decides here, so that the worker needs no "
        "Snakemake, but for jobs with run: and the like; 'always' refuses those; 'never' lets "
        "Snakemake on the worker parse the workflow again.",
        env_var=True,
        metavar="KIND",
    )
    describe: bool = _option(
        False,
        "Print what each job runs and its JDL or PanDA task parameters, and exit. No server is "
        "contacted and nothing is staged.",
    )
    include: list[str] = _list_option(
        "Globs of files that every job needs although no rule names them, relative to the working "
        "directory. They are sent with every job, regardless of their size.",
        metavar="GLOB",
    )
    exclude: list[str] = _list_option(
        "Globs of files that must not be sent with every job.", metavar="GLOB"
    )
    source_file_limit: int = _option(
        1 << 20,
        "Size limit, in bytes, of each file found beside the workflow: files of this size or more "
        "are not sent with every job, unless Snakemake read them or --grid-include names them.",
        metavar="BYTES",
    )
    source_limit: int = _option(
        100 << 20,
        "Limit, in bytes, of the total size of the files found beside the workflow: above it, the "
        "largest are not sent.",
        metavar="BYTES",
    )
    large_file: int = _option(
        8 << 20,
        "Files of this size, in bytes, or more are stored one by one; smaller ones are packed in "
        "tarballs.",
        metavar="BYTES",
    )
    compression: str = _option(
        "none",
        f"Compression of tarballs: {', '.join(COMPRESSIONS)}. Useful if the store has a size "
        "limit.",
        metavar="KIND",
    )
    undeclared: str = _option(
        "list",
        "What to do with new files that no rule names: 'list' reports their names, 'fetch' also "
        "brings them back. Per rule: resource grid_undeclared.",
        metavar="KIND",
    )
    output_limit: str | None = _option(
        None,
        "Limit of the size of a job's outputs, such as 20GB, without holes of sparse files. A job "
        "with more fails, and only its logs come back. Per rule: resource grid_output_limit.",
        type=str,
        metavar="SIZE",
    )
    staging_threads: int = _option(4, "Number of threads that pack and upload files.", metavar="N")
    start_limit: int = _option(
        600, "For 'local': time limit, in seconds, for a worker to start.", metavar="SECONDS"
    )
    lost_limit: int = _option(
        3600,
        "Time, in seconds, after which a job that the server no longer knows counts as failed.",
        metavar="SECONDS",
    )
    avoid_limit: int = _option(
        1800,
        "Time, in seconds, for which a job may wait while it avoids sites that failed jobs. After "
        "that it is resubmitted without avoiding any.",
        metavar="SECONDS",
    )
    outage_limit: float = _option(
        24.0,
        "Hours to wait for a server or store that does not answer, or for space on a full disk. "
        "After that the run ends, and the next run takes over its jobs.",
        metavar="HOURS",
    )
    on_interrupt: str = _option(
        "cancel",
        "What Ctrl-C does: 'cancel' cancels all jobs. 'keep' leaves them running, and the same "
        "command continues with them later. SIGTERM leaves them in any case.",
        env_var=True,
        metavar="KIND",
    )
    detach: bool = _option(
        False,
        "Collect finished jobs, submit jobs that are ready, and exit with code 0. Meant for cron "
        "or systemd, which call the same command again and again.",
    )
    infrastructure_retries: int = _option(
        3,
        "How often a job is resubmitted after a failure of the site or the grid. These retries do "
        "not count as retries of the rule.",
        metavar="N",
    )
    site: str | None = _option(
        None,
        "Sites where jobs may run, separated by commas (default: any site). Per rule: resource "
        "grid_site.",
        env_var=True,
        type=str,
        metavar="SITES",
    )
    banned_sites: str | None = _option(
        None,
        "Sites where jobs must not run, separated by commas. Per rule: resource grid_banned_sites.",
        env_var=True,
        type=str,
        metavar="SITES",
    )
    tags: str | None = _option(
        None,
        "For 'dirac': tags that the worker node must have, separated by commas. Per rule: "
        "resource grid_tags.",
        type=str,
        metavar="TAGS",
    )
    platform: str | None = _option(
        None,
        "For 'dirac' and 'panda': platform (architecture) of the worker nodes, by its name on the "
        "server. Per rule: resource grid_platform.",
        type=str,
        metavar="NAME",
    )
    job_type: str | None = _option(
        None,
        "For 'dirac': JobType of the jobs (default: the server's, usually User). Per rule: "
        "resource grid_job_type.",
        type=str,
        metavar="TYPE",
    )
    priority: int | None = _option(
        None,
        "Priority among your own jobs: 0 to 10 for 'dirac', about 1000 for 'panda'. Per rule: "
        "resource grid_priority.",
        type=int,
        metavar="N",
    )
    jdl: str | None = _option(
        None,
        "For 'dirac': more attributes for the JDL, such as 'LogLevel = \"DEBUG\";'. Per rule: "
        "resource grid_jdl.",
        type=str,
        metavar="TEXT",
    )
    dirac_mode: str = _option(
        "server",
        "For 'dirac': 'server' submits jobs; 'local' runs them on this machine with DIRAC's local "
        "mode, to test them first.",
        metavar="KIND",
    )
    dirac_python: Path | None = _option(
        None,
        "For 'dirac': Python interpreter that has the DIRAC client (default: this Python).",
        env_var=True,
        type=Path,
        metavar="FILE",
    )
    dirac_storage_element: str | None = _option(
        None,
        "For 'dirac': storage element for outputs, and for inputs that are too large for a "
        "sandbox.",
        env_var=True,
        type=str,
        metavar="SE",
    )
    dirac_inputs: str = _option(
        "data",
        "For 'dirac': how inputs get from a storage element to the worker. 'data' makes them input "
        "data of the job, which then runs at a site that has them. With 'fetch' the job runs at "
        "any site, and the worker downloads them.",
        metavar="KIND",
    )
    dirac_cpu_power: float = _option(
        10.0,
        "For 'dirac': power of a typical core in HS06, used to convert the resource 'runtime' to "
        "CPUTime.",
        metavar="HS06",
    )
    proxy_hours: float = _option(
        1.0,
        "Hours for which your proxy or token must be valid at the start of a run, unless it can be "
        "refreshed. If less is left later, a warning is shown.",
        metavar="HOURS",
    )
    panda_python: Path | None = _option(
        None,
        "For 'panda': Python interpreter that has panda-client (default: this Python).",
        env_var=True,
        type=Path,
        metavar="FILE",
    )
    panda_vo: str | None = _option(
        None,
        "For 'panda': virtual organisation of the tasks (default: PANDA_AUTH_VO without the role, "
        "otherwise atlas).",
        env_var=True,
        type=str,
        metavar="VO",
    )
    panda_working_group: str | None = _option(
        None,
        "For 'panda': working group of the tasks (default: PANDA_AUTH_VO without the role).",
        env_var=True,
        type=str,
        metavar="NAME",
    )
    panda_cloud: str | None = _option(
        None,
        "For 'panda': cloud of the tasks (default: the server uses the working group).",
        env_var=True,
        type=str,
        metavar="NAME",
    )
    panda_label: str = _option(
        "user",
        "For 'panda': prodSourceLabel of the tasks.",
        env_var=True,
        metavar="LABEL",
    )
    panda_processing_type: str = _option(
        "snakemake-grid", "For 'panda': processingType of the tasks.", metavar="NAME"
    )
    panda_transformation: str | None = _option(
        None,
        "For 'panda': transPath of the tasks, the URL of a runGen (default: the server's runGen).",
        type=str,
        metavar="URL",
    )
    panda_container: str | None = _option(
        None,
        "For 'panda': container_name of the tasks, the image in which the pilot runs the jobs. Per "
        "rule: resource grid_panda_container.",
        type=str,
        metavar="IMAGE",
    )
    panda_task: str | None = _option(
        None,
        "For 'panda': more task parameters, as a JSON object. Per rule: resource grid_panda_task.",
        type=str,
        metavar="JSON",
    )
    panda_route: str = _option(
        "jedi",
        f"For 'panda': {' or '.join(PANDA_ROUTES)}. 'jedi' submits tasks to the PanDA server, "
        "'idds' submits them as requests to iDDS.",
        env_var=True,
        metavar="NAME",
    )
    panda_secrets: str = _option(
        "store",
        "For 'panda': where jobs get the values of envvars from. 'store' uses a private file in "
        "--grid-store; 'server' uses your user secrets on the server, and is always used for s3:// "
        "and with --grid-store-token.",
        metavar="KIND",
    )
    panda_monitor: str | None = _option(
        None,
        "For 'panda': URL of the web monitor, such as https://bigpanda.cern.ch. Messages then link "
        "to the tasks.",
        env_var=True,
        type=str,
        metavar="URL",
    )
    local_dir: Path | None = _option(
        None,
        "For 'local': folder for the job sandboxes and the store, outside of the working directory "
        "(default: a folder in the system's temporary folder).",
        env_var=True,
        type=Path,
        metavar="DIR",
    )
    local_cores: int | None = _option(
        None, "For 'local': processors to use (default: all).", type=int, metavar="N"
    )
    local_mem_mb: int | None = _option(
        None, "For 'local': memory to use, in MB (default: all).", type=int, metavar="MB"
    )
    local_python: Path | None = _option(
        None,
        "For 'local': Python interpreter of the workers (default: this Python).",
        type=Path,
        metavar="FILE",
    )
    local_isolation: str = _option(
        "auto",
        "For 'local': hide the working directory from jobs, as on the grid. 'auto' does so if the "
        "kernel allows it, 'require' fails if it does not, 'off' does not hide it.",
        env_var=True,
        metavar="KIND",
    )
    local_cold: bool = _option(
        False,
        "For 'local': start a new Python for each job, instead of a fork of a process that has "
        "imported Snakemake.",
    )

    def __post_init__(self) -> None:
        """Take empty texts and variables for options that are not set."""
        unset_empty(self)
        super().__post_init__()
