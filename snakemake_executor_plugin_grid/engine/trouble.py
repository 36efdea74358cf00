"""Records what a run waits for, which ``snakemake-grid status`` shows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from ..model.errors import GridError
from .context import RunContext

_PAUSE = 1.0


async def record_trouble(context: RunContext, trouble: Callable[[], str]) -> None:
    """Record it whenever it changes; does not end.

    Args:
        context: Of the run.
        trouble: Returns what the run waits for, in words.
    """
    recorded = ""
    while True:
        await context.clock.sleep(_PAUSE)
        if (words := trouble()) != recorded:
            with contextlib.suppress(GridError):  # such as a full disk
                await context.journal.trouble(words)
                recorded = words
