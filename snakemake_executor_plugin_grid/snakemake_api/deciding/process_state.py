"""What a Snakefile changes in its process and jobs inherit: environment variables, and the umask.

``remember`` has to run before Snakemake parses a workflow, and after it has imported its plugins:
some set variables, which are not the workflow's.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from .decided import Unsupported

# They name folders of this machine; the value of the node is another one.
_OF_THE_NODE = ("PATH", "TMPDIR", "TEMP", "TMP")
_SEPARATORS = ": ,;"

_environment: dict[str, str] | None = None
_umask: int | None = None


def remember() -> None:
    """Store the state of the process; the last call counts."""
    global _environment, _umask
    _environment = dict(os.environ)
    _umask = current_umask()


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
    mark: Callable[[str], str],
) -> dict[str, str]:
    """Return the variables that have changed since `remember`; removed ones do not count.

    Args:
        mark: Puts marks into a text.

    Raises:
        Unsupported: A variable has another value on each node, so that its new value is useless.
    """
    if _environment is None:
        return {}
    changed = {}
    for name, value in os.environ.items():
        if (old := _environment.get(name)) == value:
            continue
        if name in _OF_THE_NODE or (old and _extends(value, old)):
            raise Unsupported(f"the workflow changes {name}, whose value differs on the worker")
        changed[name] = mark(value)
    return changed


def _extends(value: str, old: str) -> bool:
    """Return whether a value is a list that holds an old one."""
    return any(f"{mark}{old}{mark}" in f"{mark}{value}{mark}" for mark in _SEPARATORS)
