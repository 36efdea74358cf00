"""Every ``--grid-…`` option."""

# No postponed annotations here: Snakemake reads the types of the fields.
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase

RUNTIMES = ("inherit", "setup", "container", "wheels")
COMPRESSIONS = ("none", "gzip", "zstd")
ISOLATIONS = ("auto", "require", "off")
UNDECLARED = ("list", "fetch")
ENGINES = ("apptainer", "singularity")
INTERRUPTS = ("cancel", "keep")
DIRAC_MODES = ("server", "local")
DIRAC_INPUTS = ("data", "fetch")
PANDA_ROUTES = ("jedi", "idds")
PANDA_SECRETS = ("store", "server")


def _option(default: Any, text: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": text, **metadata})


def _list_option(text: str, **metadata: Any) -> Any:
    return field(default_factory=list, metadata={"help": text, "nargs": "+", **metadata})


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Options of the executor; ``--grid-<name>`` on the command line."""

    backend: str = _option(
        "local",
        "Where jobs run: 'local' runs them on this machine as a grid worker would; 'dirac' and "
        "'panda' submit them to the DIRAC or PanDA server that your client is set up for.",
        env_var=True,
        metavar="NAME",
    )
    store: str | None = _option(
        None,
        "URL of the store through which files travel: file:///shared/scratch/me, "
        "s3://bucket/prefix, root://host//path, davs://host/path, or with DIRAC "
        "lfn:/vo/user/u/user/folder. By default the backend brings its own; 'panda' has none.",
        env_var=True,
        type=str,
        metavar="URL",
    )
    store_token: Path | None = _option(
        None,
        "For davs:// and root://: file with a bearer token, which the workers get as well, without "
        "it being public (default: as each host finds one, by BEARER_TOKEN and the like).",
        env_var=True,
        type=Path,
        metavar="FILE",
    )
    runtime: str = _option(
        "inherit",
        "How Snakemake gets to the worker: 'inherit' takes the python that the worker finds, "
        "'setup' runs --grid-runtime-setup first, 'container' runs in --grid-runtime-image, "
        "'wheels' ships Snakemake from here. Per rule: resource grid_runtime.",
        env_var=True,
        metavar="KIND",
    )
    runtime_setup: str | None = _option(
        None,
        "Shell lines that run on the worker before Snakemake, such as '. /cvmfs/…/setup.sh'. "
        "Per rule: resource grid_runtime_setup.",
        env_var=True,
        type=str,
        metavar="LINES",
    )
    runtime_image: str | None = _option(
        None,
        "Container image with Snakemake in it: a file or folder on the worker (/cvmfs/…), or a "
        "URL that apptainer takes. Per rule: resource grid_runtime_image.",
        env_var=True,
        type=str,
        metavar="IMAGE",
    )
    runtime_engine: str = _option(
        "apptainer", f"Program that runs the image: {', '.join(ENGINES)}.", metavar="NAME"
    )
    runtime_options: str | None = _option(
        None,
        "Further options of the container engine, as one string.",
        type=str,
        metavar="OPTIONS",
    )
    runtime_python: str | None = _option(
        None,
        "For 'wheels': Python version of the worker nodes, such as 3.11 (default: that of this "
        "Python).",
        type=str,
        metavar="X.Y",
    )
    runtime_platform: str | None = _option(
        None,
        "For 'wheels': platform tag of the worker nodes, such as manylinux_2_28_x86_64 (default: "
        "that of this machine).",
        type=str,
        metavar="TAG",
    )
    runtime_packages: list[str] = _list_option(
        "For 'wheels': further packages to ship, as pip requirements.",
        metavar="REQUIREMENT",
    )
    describe: bool = _option(
        False,
        "Only show what each job would be submitted as (its JDL, or the parameters of a PanDA "
        "task), and end: no server is asked, nothing is staged.",
    )
    include: list[str] = _list_option(
        "Globs, relative to the working directory, of files that every job needs though no rule "
        "names them; they travel whatever their size.",
        metavar="GLOB",
    )
    exclude: list[str] = _list_option(
        "Globs of files that must not travel with the sources.",
        metavar="GLOB",
    )
    source_file_limit: int = _option(
        1 << 20,
        "Bytes from which on a file found beside the workflow is taken for data and does not "
        "travel with the sources, unless Snakemake read it or --grid-include names it.",
        metavar="BYTES",
    )
    source_limit: int = _option(
        100 << 20, "Bytes that all such files may have together.", metavar="BYTES"
    )
    large_file: int = _option(
        8 << 20, "Bytes from which on a file travels alone, under its own digest.", metavar="BYTES"
    )
    compression: str = _option(
        "none",
        f"Of tarballs: {', '.join(COMPRESSIONS)}. Worth it where a store has a size limit.",
        metavar="KIND",
    )
    undeclared: str = _option(
        "list",
        "What becomes of new files that no rule names: 'list' mentions them, 'fetch' brings them "
        "back as well. Per rule: resource grid_undeclared.",
        metavar="KIND",
    )
    staging_threads: int = _option(
        4, "How many files and tarballs are packed and unpacked at a time.", metavar="N"
    )
    start_limit: int = _option(
        600, "Seconds in which a worker that was started has to show up.", metavar="SECONDS"
    )
    lost_limit: int = _option(
        3600,
        "Seconds after which a job that the backend no longer names is given up as failed.",
        metavar="SECONDS",
    )
    outage_limit: float = _option(
        24.0,
        "Hours for which a server or a store that does not answer, or room on a full disk, is "
        "waited for. Then the run ends and leaves its jobs to the next one.",
        metavar="HOURS",
    )
    on_interrupt: str = _option(
        "cancel",
        "What Ctrl-C does: 'cancel' cancels all jobs; 'keep' leaves them, and the same command "
        "goes on with them later. With 'keep', SIGTERM does the same.",
        env_var=True,
        metavar="KIND",
    )
    detach: bool = _option(
        False,
        "Take in what has ended, submit what is ready, and end with exit code 0: for cron or "
        "systemd, which call the same command again.",
    )
    infrastructure_retries: int = _option(
        3,
        "How often a job is sent again that a site or the grid has failed, rather than the job "
        "itself. These do not count among the rule's retries.",
        metavar="N",
    )
    site: str | None = _option(
        None,
        "Sites where jobs may run, separated by commas (default: any). Per rule: resource "
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
        "For 'dirac': tags that a worker node has to offer, separated by commas. Per rule: "
        "resource grid_tags.",
        type=str,
        metavar="TAGS",
    )
    platform: str | None = _option(
        None,
        "For 'dirac' and 'panda': platform (architecture) of the worker nodes, as the server names "
        "it. Per rule: resource grid_platform.",
        type=str,
        metavar="NAME",
    )
    job_type: str | None = _option(
        None,
        "For 'dirac': type of the jobs (default: the installation's, User). Per rule: resource "
        "grid_job_type.",
        type=str,
        metavar="TYPE",
    )
    priority: int | None = _option(
        None,
        "Priority among your own jobs, for 'dirac' 0 to 10, for 'panda' about 1000. Per rule: "
        "resource grid_priority.",
        type=int,
        metavar="N",
    )
    jdl: str | None = _option(
        None,
        "For 'dirac': further attributes of the JDL, such as 'LogLevel = \"DEBUG\";'. Per rule: "
        "resource grid_jdl.",
        type=str,
        metavar="TEXT",
    )
    dirac_mode: str = _option(
        "server",
        "For 'dirac': 'server' submits jobs; 'local' runs each on this machine by DIRAC's own "
        "local mode, to check it before.",
        metavar="KIND",
    )
    dirac_python: Path | None = _option(
        None,
        "For 'dirac': Python that has the DIRAC client (default: this one).",
        env_var=True,
        type=Path,
        metavar="FILE",
    )
    dirac_storage_element: str | None = _option(
        None,
        "For 'dirac': storage element for outputs, and for inputs that do not fit into a sandbox.",
        env_var=True,
        type=str,
        metavar="SE",
    )
    dirac_inputs: str = _option(
        "data",
        "For 'dirac': how inputs get from a storage element to the worker: 'data' as the job's "
        "input data, so that it runs at a site that has them; 'fetch' lets it run anywhere, and "
        "the worker fetches them.",
        metavar="KIND",
    )
    dirac_cpu_power: float = _option(
        10.0,
        "For 'dirac': power of a typical core in HS06, by which 'runtime' becomes CPUTime.",
        metavar="HS06",
    )
    proxy_hours: float = _option(
        1.0,
        "Hours for which your proxy or token has to be valid when a run starts, if it cannot be "
        "refreshed; when it is less later, you are warned.",
        metavar="HOURS",
    )
    panda_python: Path | None = _option(
        None,
        "For 'panda': Python that has panda-client (default: this one).",
        env_var=True,
        type=Path,
        metavar="FILE",
    )
    panda_vo: str | None = _option(
        None,
        "For 'panda': virtual organisation of the tasks (default: PANDA_AUTH_VO without its role, "
        "or atlas).",
        env_var=True,
        type=str,
        metavar="VO",
    )
    panda_working_group: str | None = _option(
        None,
        "For 'panda': working group of the tasks (default: PANDA_AUTH_VO without its role).",
        env_var=True,
        type=str,
        metavar="NAME",
    )
    panda_cloud: str | None = _option(
        None,
        "For 'panda': cloud of the tasks (default: the server takes the working group).",
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
        "For 'panda': transPath of the tasks, a runGen (default: the server's own).",
        type=str,
        metavar="URL",
    )
    panda_container: str | None = _option(
        None,
        "For 'panda': container_name of the tasks: image in which the pilot runs the jobs. Per "
        "rule: resource grid_panda_container.",
        type=str,
        metavar="IMAGE",
    )
    panda_task: str | None = _option(
        None,
        "For 'panda': further task parameters, as a JSON object. Per rule: resource "
        "grid_panda_task.",
        type=str,
        metavar="JSON",
    )
    panda_route: str = _option(
        "jedi",
        f"For 'panda': {' or '.join(PANDA_ROUTES)}: tasks are submitted directly, or as requests "
        "to iDDS.",
        env_var=True,
        metavar="NAME",
    )
    panda_secrets: str = _option(
        "store",
        "For 'panda': where values of envvars wait for the jobs: 'store' in a private file of "
        "--grid-store, 'server' among your user secrets on the server (always so for s3:// and "
        "with --grid-store-token).",
        metavar="KIND",
    )
    panda_monitor: str | None = _option(
        None,
        "For 'panda': URL of the web monitor, such as https://bigpanda.cern.ch, for links to "
        "tasks.",
        env_var=True,
        type=str,
        metavar="URL",
    )
    local_dir: Path | None = _option(
        None,
        "For 'local': folder of the job sandboxes and of the store (default: in the system's "
        "temporary folder). Not below the working directory.",
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
        "For 'local': interpreter that the workers find (default: this Python).",
        type=Path,
        metavar="FILE",
    )
    local_isolation: str = _option(
        "auto",
        "For 'local': whether jobs are kept from seeing the working directory: 'auto' where the "
        "kernel lets us, 'require' or fail, 'off'.",
        env_var=True,
        metavar="KIND",
    )
    local_cold: bool = _option(
        False,
        "For 'local': start Python afresh for each job, rather than from a process that has "
        "imported Snakemake already.",
    )
