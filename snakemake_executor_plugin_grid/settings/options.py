"""The ``--grid-…`` options, with the help texts that ``snakemake --help`` shows."""

# Without `from __future__ import annotations`: Snakemake reads the types of the fields.
import os
from dataclasses import dataclass
from pathlib import Path

from .base import option
from .choices import PANDA_ROUTES
from .general import GeneralSettings
from .names import STORAGE_RUCIO_PYTHON, unset_empty


@dataclass
class ExecutorSettings(GeneralSettings):
    """Options of the executor; ``--grid-<name>`` on the command line."""

    site: str | None = option(
        None,
        "Sites where jobs may run, separated by commas (default: any site). Per rule: resource "
        "grid_site.",
        env_var=True,
        type=str,
        metavar="SITES",
    )
    banned_sites: str | None = option(
        None,
        "Sites where jobs must not run, separated by commas. Per rule: resource grid_banned_sites.",
        env_var=True,
        type=str,
        metavar="SITES",
    )
    tags: str | None = option(
        None,
        "For 'dirac': tags that the worker node must have, separated by commas. Per rule: "
        "resource grid_tags.",
        type=str,
        metavar="TAGS",
    )
    platform: str | None = option(
        None,
        "For 'dirac' and 'panda': platform (architecture) of the worker nodes, by its name on the "
        "server. Per rule: resource grid_platform.",
        type=str,
        metavar="NAME",
    )
    job_type: str | None = option(
        None,
        "For 'dirac': JobType of the jobs (default: the server's, usually User). Per rule: "
        "resource grid_job_type.",
        type=str,
        metavar="TYPE",
    )
    priority: int | None = option(
        None,
        "Priority among your own jobs: 0 to 10 for 'dirac', about 1000 for 'panda'. Per rule: "
        "resource grid_priority.",
        type=int,
        metavar="N",
    )
    jdl: str | None = option(
        None,
        "For 'dirac': more attributes for the JDL, such as 'LogLevel = \"DEBUG\";'. Per rule: "
        "resource grid_jdl.",
        type=str,
        metavar="TEXT",
    )
    dirac_mode: str = option(
        "server",
        "For 'dirac': 'server' submits jobs; 'local' runs them on this machine with DIRAC's local "
        "mode, to test them first.",
        metavar="KIND",
    )
    dirac_python: Path | None = option(
        None,
        "For 'dirac': Python interpreter that has the DIRAC client (default: this Python).",
        env_var=True,
        type=Path,
        metavar="FILE",
    )
    dirac_storage_element: str | None = option(
        None,
        "For 'dirac': storage element for outputs, and for inputs that are too large for a "
        "sandbox.",
        env_var=True,
        type=str,
        metavar="SE",
    )
    dirac_inputs: str = option(
        "data",
        "For 'dirac': how inputs get from a storage element to the worker. 'data' makes them input "
        "data of the job, which then runs at a site that has them. With 'fetch' the job runs at "
        "any site, and the worker downloads them.",
        metavar="KIND",
    )
    dirac_cpu_power: float = option(
        10.0,
        "For 'dirac': power of a typical core in HS06, used to convert the resource 'runtime' to "
        "CPUTime.",
        metavar="HS06",
    )
    proxy_hours: float = option(
        1.0,
        "Hours for which your proxy or token must be valid at the start of a run, unless it can be "
        "refreshed. If less is left later, a warning is shown.",
        metavar="HOURS",
    )
    panda_python: Path | None = option(
        None,
        "For 'panda': Python interpreter that has panda-client (default: this Python).",
        env_var=True,
        type=Path,
        metavar="FILE",
    )
    panda_vo: str | None = option(
        None,
        "For 'panda': virtual organisation of the tasks (default: PANDA_AUTH_VO without the role, "
        "otherwise atlas).",
        env_var=True,
        type=str,
        metavar="VO",
    )
    panda_working_group: str | None = option(
        None,
        "For 'panda': working group of the tasks (default: PANDA_AUTH_VO without the role).",
        env_var=True,
        type=str,
        metavar="NAME",
    )
    panda_cloud: str | None = option(
        None,
        "For 'panda': cloud of the tasks (default: the server uses the working group).",
        env_var=True,
        type=str,
        metavar="NAME",
    )
    panda_label: str = option(
        "user",
        "For 'panda': prodSourceLabel of the tasks.",
        env_var=True,
        metavar="LABEL",
    )
    panda_processing_type: str = option(
        "snakemake-grid", "For 'panda': processingType of the tasks.", metavar="NAME"
    )
    panda_transformation: str | None = option(
        None,
        "For 'panda': transPath of the tasks, the URL of a runGen (default: the server's runGen).",
        type=str,
        metavar="URL",
    )
    panda_container: str | None = option(
        None,
        "For 'panda': container_name of the tasks, the image in which the pilot runs the jobs. Per "
        "rule: resource grid_panda_container.",
        type=str,
        metavar="IMAGE",
    )
    panda_task: str | None = option(
        None,
        "For 'panda': more task parameters, as a JSON object. Per rule: resource grid_panda_task.",
        type=str,
        metavar="JSON",
    )
    panda_route: str = option(
        "jedi",
        f"For 'panda': {' or '.join(PANDA_ROUTES)}. 'jedi' submits tasks to the PanDA server, "
        "'idds' submits them as requests to iDDS.",
        env_var=True,
        metavar="NAME",
    )
    panda_secrets: str = option(
        "store",
        "For 'panda': where jobs get the values of envvars from. 'store' uses a private file in "
        "--grid-store; 'server' uses your user secrets on the server, and is always used for s3:// "
        "and with --grid-store-token.",
        metavar="KIND",
    )
    panda_monitor: str | None = option(
        None,
        "For 'panda': URL of the web monitor, such as https://bigpanda.cern.ch. Messages then link "
        "to the tasks.",
        env_var=True,
        type=str,
        metavar="URL",
    )
    panda_rse_sites: Path | None = option(
        None,
        "For 'panda': file with the PanDA queues near each storage element of Rucio, one "
        "'RSE QUEUE QUEUE ...' on a line. Jobs then go to the queues that have most of their "
        "inputs in Rucio.",
        env_var=True,
        type=Path,
        metavar="FILE",
    )
    local_dir: Path | None = option(
        None,
        "For 'local': folder for the job sandboxes and the store, outside of the working directory "
        "(default: a folder in the system's temporary folder).",
        env_var=True,
        type=Path,
        metavar="DIR",
    )
    local_cores: int | None = option(
        None, "For 'local': processors to use (default: all).", type=int, metavar="N"
    )
    local_mem_mb: int | None = option(
        None, "For 'local': memory to use, in MB (default: all).", type=int, metavar="MB"
    )
    local_python: Path | None = option(
        None,
        "For 'local': Python interpreter of the workers (default: this Python).",
        type=Path,
        metavar="FILE",
    )
    local_isolation: str = option(
        "auto",
        "For 'local': hide the working directory from jobs, as on the grid. 'auto' does so if the "
        "kernel allows it, 'require' fails if it does not, 'off' does not hide it.",
        env_var=True,
        metavar="KIND",
    )
    local_cold: bool = option(
        False,
        "For 'local': start a new Python for each job, instead of a fork of a process that has "
        "imported Snakemake.",
    )

    def __post_init__(self) -> None:
        """Take empty texts and variables for options that are not set.

        For Rucio's Python, the storage plugin's variable is as good as that of the executor.
        """
        unset_empty(self)
        if self.rucio_python is None and (python := os.environ.get(STORAGE_RUCIO_PYTHON)):
            self.rucio_python = Path(os.path.expandvars(python)).expanduser()
        super().__post_init__()
