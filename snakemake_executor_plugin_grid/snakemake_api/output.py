"""What Snakemake prints about a job that it runs on a worker."""

from __future__ import annotations

import re
import signal
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

_ERROR_LINES = 200
_DATE = re.compile(r"\[\w{3} \w{3} .+ \d{4}\]")
# After a date: a block announces a rule; with the directive `message:` it is two lines. A block
# of the same form announces its failure.
_BEGINS = re.compile(r"(local)?(rule|checkpoint) \S+:|Job \d+: ")
_ANNOUNCED = ("    resources: ", "Reason: ")
_NAMES = "    output: "
_LOGS = re.compile(r"    log: (.*) \(check log file\(s\) for error details\)")
_FOLDER = "  Working directory: "
_FAILED = re.compile(r"Error in (rule|group) .+:")
_ENDS = "Exiting because a job execution failed."
_EXCEPTION = "RuleException:"
_COMMAND_FAILED = re.compile(
    r"' (?:returned non-zero exit status (\d+)"
    r"|died with (?:<Signals\.\w+: |unknown signal )(\d+)>?)\.$"
)
_AROUND = re.compile(
    r"SNAKEMAKE|={9}|Building DAG of jobs\.\.\.|Using shell: .*|Provided cores: .*"
    r"|  (Date|Workflow ID|Platform|Host|User|Snakemake version|Python version|Command|Snakefile"
    r"|Base directory|Run directory|Working directory|Config file\(s\)|Config MD5): .*"
    r"|host: .*|Rules claiming more threads .*|Select jobs to execute\.\.\.|Execute \d+ jobs\.\.\."
    r"|Activating environment modules: .*|Finished jobid: \d+ .*|\d+ of \d+ steps \(.*\) done"
    r"|Storing output in storage\.|Elapsed time: .*|Complete log\(s\): .*"
)
# A plugin is missing that a name, a query or an option needs.
_NO_PLUGIN = re.compile(
    r"The package snakemake-storage-plugin-\S+ is not installed"
    r"|No storage provider found for query|unrecognized arguments: .*--storage-"
)


@dataclass(frozen=True)
class RuleOutput:
    """The output of a payload, without what Snakemake prints around it.

    Attributes:
        lines: What the rule printed, without blank lines.
        error: Snakemake's words about the error; none if the exit status says all.
        exit_status: Of the rule's command, negative if a signal killed it, as in `subprocess`; None
            if it did not fail.
        names: The outputs as the worker's Snakemake calls them; empty if no rule was started.
        logs: The logs of the rule that failed, by their names in the workflow.
        folder: Working directory on the worker; empty if not known.
    """

    lines: tuple[str, ...] = ()
    error: tuple[str, ...] = ()
    exit_status: int | None = None
    names: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    folder: str = ""

    @property
    def ending(self) -> str:
        """How the command ended, empty if it did not fail."""
        status = self.exit_status
        if status is None:
            return ""
        number = -status if status < 0 else status - 128  # 128 + signal is how shells say it
        known = {one.value: one.name for one in signal.Signals}
        name = known.get(number, f"signal {number}" if status < 0 else "")
        if status < 0:
            return f"killed by {name}"
        return f"exit status {status}" + (f" ({name})" if name else "")


def rule_output(lines: Iterable[str], keep: int | None = 200) -> RuleOutput:
    """Return the output of the rule that ran last, or first failed.

    The output of a payload that is not Snakemake is returned as it is.

    Args:
        lines: The output of the payload.
        keep: How many of the rule's last lines to return, None for all.
    """
    own: deque[str] = deque(maxlen=keep)
    exception: deque[str] | None = None
    names: list[str] = []
    logs: list[str] = []
    failed = False
    status, folder, previous, announcing = None, "", "", False
    for line in lines:
        dated = _DATE.fullmatch(previous) is not None
        previous = line
        if line.startswith(_ENDS) or (failed and not line.startswith("    ")):
            break
        if failed or (dated and _FAILED.match(line)):
            failed = True
            if found := _LOGS.fullmatch(line):
                logs = found[1].split(", ")
            continue
        if dated and _BEGINS.match(line):
            announcing, exception, status = True, None, None
        if not folder and line.startswith(_FOLDER):
            folder = line.removeprefix(_FOLDER)
        if not line.strip() or _DATE.fullmatch(line) or _AROUND.fullmatch(line):
            continue
        if announcing and line.startswith(_NAMES):
            names += line.removeprefix(_NAMES).split(", ")
        if announcing and line.startswith(_ANNOUNCED):
            announcing = False
            own.clear()
        elif line == _EXCEPTION:
            exception = deque(maxlen=_ERROR_LINES)
        elif exception is None:
            own.append(line)
        else:
            exception.append(line.replace(f"{folder}/", "") if folder else line)
            if found := _COMMAND_FAILED.search(line):
                status = int(found[1]) if found[1] else -int(found[2])
    error = tuple(exception or ()) if status is None else ()
    return RuleOutput(tuple(own), error, status, tuple(names), tuple(logs), folder)


def lacks_storage_plugin(text: str) -> bool:
    """Return whether Snakemake has failed because a storage plugin is not installed."""
    return _NO_PLUGIN.search(text) is not None
