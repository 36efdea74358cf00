"""What a Snakefile changes in its process and jobs inherit: environment variables, and the umask.

``remember`` has to run before Snakemake parses a workflow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from .decided import Unsupported

# They name folders of this machine; the value of the node is another one.
_OF_THE_NODE = ("PATH", "TMPDIR", "TEMP", "TMP")
_SEPARATORS = ": ,;"

_environment: dict[str, str] | None = None
_umask: int | None = None
_parsed = False


def remember(*, parses_now: bool = False) -> None:
    """Store the state of the process, unless that has been done.

    Args:
        parses_now: Whether a workflow is parsed next, so that an earlier state is not needed. On
            Snakemake's command line that is so when the options are made for the first time.
    """
    global _environment, _umask, _parsed
    if _environment is None or (parses_now and not _parsed):
        _environment = dict(os.environ)
        _umask = current_umask()
        _parsed = parses_now


def current_umask() -> int:
    """Return the umask."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass  # not Linux
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def changed_umask() -> int | None:
    """Return the umask if it has changed since `remember`, else None."""
    now = current_umask()
    return None if _umask is None or now == _umask else now


def changed_environment(
    mark: Callable[[str], str], before: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables that have changed since `remember`; removed ones do not count.

    Args:
        mark: Puts marks into a text.
        before: What to compare with; None for what `remember` has stored.

    Raises:
        Unsupported: A variable has another value on each node, so that its new value is useless.
    """
    before = _environment if before is None else before
    if before is None:
        return {}
    changed = {}
    for name, value in os.environ.items():
        if (old := before.get(name)) == value:
            continue
        if name in _OF_THE_NODE or (old and _extends(value, old)):
            raise Unsupported(f"the workflow changes {name}, whose value differs on the worker")
        changed[name] = mark(value)
    return changed


def _extends(value: str, old: str) -> bool:
    """Return whether a value is a list that holds an old one."""
    return any(f"{mark}{old}{mark}" in f"{mark}{value}{mark}" for mark in _SEPARATORS)
