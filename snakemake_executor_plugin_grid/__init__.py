"""Snakemake executor plugin for the research grid.

Snakemake imports every installed plugin at every start. This module therefore imports the executor
and its options only when Snakemake uses them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .snakemake_api import files_read

if TYPE_CHECKING:
    from snakemake_interface_executor_plugins.settings import CommonSettings

    from .executor import Executor
    from .settings.options import ExecutorSettings

    common_settings: CommonSettings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

_MODULES = {
    "Executor": "executor",
    "ExecutorSettings": "settings.options",
    "common_settings": "executor",
}


def _before_parsing() -> None:
    """Remember what the workflow's own code may change, and record what it reads."""
    from .snakemake_api.deciding import process_state

    process_state.remember(parses_now=files_read.by_command_line())
    files_read.record()


if "snakemake" in sys.modules and not files_read.by_command_line():
    _before_parsing()  # a program may parse its workflow before it chooses the executor


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    if name == "ExecutorSettings":
        # Snakemake's command line makes them if this executor is chosen, and parses afterwards.
        found.when_made = _before_parsing
    return found
