"""Ends what reads or writes files for long when a run ends; the next run does it again."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ..model.errors import EndingError
from ..worker.interruption import interrupt_by


class Interruption:
    """Ends the loops over the blocks of files, in all threads of this process."""

    def __init__(self) -> None:
        """Let the loops go on until ``set`` is called; takes the place of that of another run."""
        self._set = threading.Event()
        self._group = [self]
        interrupt_by(self._look)

    def beside(self, others: Sequence[Interruption]) -> None:
        """Work together with others of the same run: each of them ends the loops."""
        self._group = [self, *others]
        for one in others:
            one._group = self._group
        interrupt_by(self._look)

    def set(self) -> None:
        """End the loops."""
        self._set.set()

    def remove(self) -> None:
        """Let later loops go on, unless another one of this run ends them."""
        self._group.remove(self)
        if not self._group:
            interrupt_by()

    def _look(self) -> None:
        if any(one._set.is_set() for one in self._group):
            raise EndingError("the run is ending")
