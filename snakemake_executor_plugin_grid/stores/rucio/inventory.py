"""Outputs in Rucio that a workflow could not remove."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..inventory import Found, Inventory
from .catalog import RucioCatalog
from .client import RucioClient


class NamesInventory(Inventory):
    """Files with names in Rucio, which are in no store."""

    name = "Rucio"

    def __init__(self, python: Path | None, log: Path, names: Sequence[str]) -> None:
        """Ask nothing yet.

        Args:
            python: Has rucio-clients; see `RucioClient.shared`.
            log: For the client's output.
            names: Of the files.
        """
        self._catalog = RucioCatalog(RucioClient.shared(python, log))
        self._names = names

    def find(self) -> Found:
        """Ask for all of them at once; what has expired is gone."""
        found = Found()
        for name, facts in self._catalog.facts(self._names).items():
            if facts is None:
                found.gone.add(name)
            else:
                found.there[name] = facts.size
        return found

    def remove(self, urls: Sequence[str]) -> dict[str, str]:
        """End their lifetime."""
        return self._catalog.remove(urls)
