"""What tells that Snakemake has made the options."""

# Without `from __future__ import annotations`, as in `options`.
from collections.abc import Callable
from typing import ClassVar

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase


def _nothing() -> None:
    pass


class ObservedSettings(ExecutorSettingsBase):
    """Options that tell when they are made.

    Attributes:
        when_made: Called then.
    """

    when_made: ClassVar[Callable[[], None]] = _nothing

    def __post_init__(self) -> None:
        """Tell it."""
        type(self).when_made()
