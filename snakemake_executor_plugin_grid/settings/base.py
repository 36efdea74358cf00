"""What tells that Snakemake has made the options."""

# Without `from __future__ import annotations`, as in `options`.
from collections.abc import Callable
from typing import Any, ClassVar

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase


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
