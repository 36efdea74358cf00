"""The file catalogs of this process: the storage provider and the executor use the same ones."""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from ..backends.dirac.client import Client
from ..backends.dirac.file_catalog import DiracCatalog
from ..journal.database import FOLDER
from ..model.errors import PermanentError
from ..stores.file_catalog import FileCatalog
from ..stores.rucio.catalog import RucioCatalog
from ..stores.rucio.client import RucioClient
from ..stores.url_catalog import SCHEMES, UrlCatalog
from .lookup import Lookup
from .persistent import PersistentCatalog
from .remade import Remade
from .removal import Removals, forget_in_journal, note_in_journal
from .replicas import Replicas
from .write_urls import WriteUrls


@dataclass(frozen=True)
class DataSettings:
    """What catalogs need to know. Those with equal settings are the same catalog.

    Attributes:
        dirac_python: Interpreter that has DIRAC; None for this one.
        storage_element: For files that are stored with DIRAC.
        rucio_python: Interpreter that has Rucio's client; None for this one.
        rucio_rse: Where files are stored with Rucio.
        rucio_lifetime: Seconds for which Rucio keeps them; None for ever.
        rucio_account: Of the user; empty for that of Rucio's configuration.
        token_file: Bearer token for storage servers; None for the usual places.
    """

    dirac_python: Path | None = None
    storage_element: str = ""
    rucio_python: Path | None = None
    rucio_rse: str = ""
    rucio_lifetime: int | None = None
    rucio_account: str = ""
    token_file: Path | None = None


@dataclass(frozen=True)
class GridData:
    """The files of one catalog.

    Attributes:
        catalog: Repeats calls that fail for a moment.
        lookup: Answers questions about single files.
        replicas: Knows where they are.
        removals: Removes files in bulk.
        element: Storage element for new files; may be empty.
        keep: Lets ``snakemake-grid clean`` keep files that are written again.
        remade: Knows when names that keep their time were made last.
    """

    catalog: PersistentCatalog
    lookup: Lookup
    replicas: Replicas
    removals: Removals
    element: str
    keep: Callable[[Collection[str]], None]
    remade: Remade

    @cached_property
    def write_urls(self) -> WriteUrls:
        """Under which URLs jobs write new files, where the catalog has such."""
        return WriteUrls(
            lambda names: self.catalog.retry(lambda: self.rucio().write_urls(names)), self.lookup
        )

    def rucio(self) -> RucioCatalog:
        """Return the catalog of Rucio, with what only that one can.

        Raises:
            PermanentError: The files are in another one.
        """
        if not isinstance(self.catalog.catalog, RucioCatalog):
            raise PermanentError("this is no catalog of Rucio")
        return self.catalog.catalog


Factory = Callable[[DataSettings, Path], FileCatalog]
"""Makes a catalog by settings and this package's folder below the working directory."""

_lock = threading.Lock()
_opened: dict[tuple[str, DataSettings], GridData] = {}
_clients: dict[Path, Client] = {}


def open_data(scheme: str, settings: DataSettings, say: Callable[[str], None]) -> GridData:
    """Return the files of a catalog: the same object for the same settings.

    Args:
        scheme: What names begin with, before the colon; `URLS` for files on servers.
        settings: Of the catalog.
        say: Shows a line to the user.

    Raises:
        PermanentError: No catalog has such names.
    """
    if scheme not in FACTORIES:
        known = ", ".join(("lfn", "rucio", *SCHEMES))
        raise PermanentError(f"{scheme}: is no file catalog; choose from {known}.")
    with _lock:
        if (scheme, settings) not in _opened:
            if not _opened:
                atexit.register(close_all)
            folder = FOLDER.absolute()
            catalog = PersistentCatalog(FACTORIES[scheme](settings, folder), say)
            remade = Remade(folder, time.time)
            # Other catalogs than Rucio's give a file that is replaced a new time.
            lookup = Lookup(catalog, adjust=remade.adjust if scheme == "rucio" else None)
            element = settings.storage_element if scheme == "lfn" else settings.rucio_rse
            # Where parts of a file may be left is for DIRAC's: Rucio knows it.
            note = partial(note_in_journal, folder, element if scheme == "lfn" else "")
            removals = Removals(catalog, lookup, note, say)
            _opened[scheme, settings] = GridData(
                *(catalog, lookup, Replicas(catalog, lookup), removals, element),
                keep=partial(forget_in_journal, folder),
                remade=remade,
            )
        return _opened[scheme, settings]


def dirac_client(python: Path | None) -> Client:
    """Return the DIRAC client of this process, for catalogs and the executor.

    Args:
        python: Interpreter that has DIRAC; None for this one.
    """
    chosen = python or Path(sys.executable)
    if chosen not in _clients:
        _clients[chosen] = Client.shared(chosen, FOLDER.absolute() / "dirac.log")
    return _clients[chosen]


def close_all() -> None:
    """Remove what is to be removed, and end the clients."""
    with _lock:
        opened = list(_opened.values())
        _opened.clear()
    for data in opened:
        data.removals.flush()
    for data in opened:
        data.catalog.close()
    for client in _clients.values():
        client.close()
    _clients.clear()


def _dirac(settings: DataSettings, folder: Path) -> FileCatalog:
    client = dirac_client(settings.dirac_python)
    return DiracCatalog(client, settings.storage_element, close=_do_nothing)


def _do_nothing() -> None:
    return


def _rucio(settings: DataSettings, folder: Path) -> FileCatalog:
    log = folder / "rucio.log"
    client = RucioClient.shared(settings.rucio_python, log, settings.rucio_account)
    return RucioCatalog(client, rse=settings.rucio_rse, lifetime=settings.rucio_lifetime)


def _urls(settings: DataSettings, folder: Path) -> FileCatalog:
    return UrlCatalog(settings.token_file, folder / "xrootd.log")


URLS = "url"
"""Name of what takes the place of a catalog for files that no catalog knows."""
FACTORIES: dict[str, Factory] = {"lfn": _dirac, "rucio": _rucio, URLS: _urls}
