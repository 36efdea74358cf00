"""What options are made of, and what tells that Snakemake has made them."""

# Without `from __future__ import annotations`, as in `options`.
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase


def option(default: Any, text: str, **metadata: Any) -> Any:
    """Return the field of an option, with its help text and what else Snakemake wants to know."""
    return field(default=default, metadata={"help": text, **metadata})


def list_option(text: str, **metadata: Any) -> Any:
    """Return the field of an option that takes several values."""
    return field(default_factory=list, metadata={"help": text, "nargs": "+", **metadata})


def _nothing() -> None:
    pass


class ObservedSettings(ExecutorSettingsBase):
    """Options that tell when they are made.

    Attributes:
        when_made: Called then.
        latest: Those that were made last: the storage plugin has some of the same options.
    """

    when_made: ClassVar[Callable[[], None]] = _nothing
    latest: ClassVar[Any] = None

    def __post_init__(self) -> None:
        """Tell it."""
        ObservedSettings.latest = self
        type(self).when_made()
