"""Moves the files of a store in Rucio.

Blobs have names in Rucio, which keeps them for a time. All other files, which live for the time of
a job, are in one folder of the storage element, of which Rucio does not know.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ...console.progress import NOTHING, Transfer
from ...model.errors import GridError, PermanentError, TransientError
from ...worker.archive.files import file_digest
from ..remote import BLOBS, blob_name
from ..transport import Transport
from .address import Address
from .catalog import checksum
from .client import RucioClient
from .together import Together

SCHEMES = ("davs", "https", "root")
"""Of the URLs, the best first: WebDAV needs no library here, and no program on the node."""
_UNREGISTERED = "unregistered"
_CHUNK = 250
_FRESH = 600.0
"""Seconds for which an answer is used that was asked for before it was needed, and between looks
for blobs that have to be kept longer."""
_GOOD, _GOING = "AVAILABLE", "BEING_DELETED"
_PROBE = b"snakemake-grid has tried this store"
PROBE = blob_name(hashlib.sha256(_PROBE).hexdigest())
"""Name of a small blob, by which it is seen that files can be registered."""

Facts = tuple[int, float, str, float]
"""Size, end of the lifetime (infinite if there is none), state, and the time of the answer."""
OpenTransport = Callable[[str], Transport]


class RucioTransport(Transport):
    """Files of a store in Rucio, at one storage element."""

    def __init__(
        self,
        address: Address,
        client: RucioClient,
        open_transport: OpenTransport,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Ask nothing yet.

        Args:
            address: Of the store.
            client: Of Rucio.
            open_transport: Returns the transport of a URL at the storage element.
            now: Clock.
        """
        self.url = address.url
        self.element = address.rse
        self._address = address
        self._client = client
        self._open = open_transport
        self._now = now
        self._lock = threading.Lock()
        self._opened: dict[str, Transport] = {}
        self._urls: dict[str, str] = {}
        self._expected: list[str] = []
        self._early: dict[str, Facts | None] = {}
        self._ends: dict[str, float] = {}
        self._due = 0.0
        self._asked = Together(self._ask)
        self._located = Together(self._locate)
        self._held = Together(self._hold)
        self._renewed = Together(self._renew)

    def expect(self, blobs: Iterable[str]) -> None:
        """Let the next question be about these as well."""
        with self._lock:
            self._expected = [name for name in blobs if name.startswith(BLOBS)]

    def check(self) -> None:
        """See that Rucio gives URLs at the storage element, and keeps a small file there.

        Raises:
            GridError: It does not: says why.
        """
        self._located.of(_UNREGISTERED)
        if self.size(PROBE) == len(_PROBE):
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "probe")
            path.write_bytes(_PROBE)
            self.upload(path, PROBE)
        if self.size(PROBE) != len(_PROBE):
            raise TransientError("a small file was registered, and Rucio does not show it")

    def check_credentials(self) -> None:
        """Make a call to Rucio that needs them."""
        self._client.call_now("whoami")

    def size(self, name: str) -> int | None:
        """Return the size of a file; a blob exists if it can be read, and will be for some time.

        Raises:
            GridError: Its replica cannot be used.
        """
        if not name.startswith(BLOBS):
            transport, path = self._at(name)
            return transport.size(path)
        facts = self._facts(name)
        if self._address.lifetime is None and not _is_known(facts):
            transport, path = self._at(name)  # it was written, and not registered
            return transport.size(path)
        if facts is None or facts[1] <= self._now() or not facts[2]:
            return None
        if self._address.lifetime is None:
            return facts[0]
        if facts[2] == _GOING:
            raise TransientError(f"{self.url}/{name} is being deleted by Rucio")
        if facts[2] != _GOOD:
            raise PermanentError(
                f"the replica of {self.url}/{name} at {self.element} is {facts[2]}, not {_GOOD}: "
                "ask those who run Rucio, or give another prefix or rse by --grid-store"
            )
        with self._lock:
            self._ends[name] = facts[1]
        if self._is_short(facts[1]):
            self._renewed.of(name)
        self._refresh()
        self._located.of(name)
        return facts[0]

    def upload(self, path: Path, name: str, transfer: Transfer = NOTHING) -> None:
        """Write a file; a blob is registered then."""
        transport, there = self._at(name)
        transport.upload(path, there, transfer)
        if name.startswith(BLOBS):
            size, adler32 = checksum(path)
            if transport.size(there) != size:
                raise TransientError(f"{self.url}/{name} has not arrived whole")
            if blob_name(file_digest(path)[1]) != name:  # what it is called is for ever
                transport.remove([there])
                raise PermanentError(f"{path} changed while it was being stored; run again")
            self._register(name, size, adler32)

    def adopt(self, name: str, blob: str, size: int, adler32: str) -> bool:
        """Make a blob of a file; return whether the storage element can rename files."""
        transport, there = self._at(name)
        target, new = self._at(blob)
        if target is not transport or not transport.move(there, new):
            return False
        self._register(blob, size, adler32)
        return True

    def download(
        self, name: str, path: Path, transfer: Transfer = NOTHING, most: int | None = None
    ) -> None:
        """Read a file."""
        self._refresh()
        transport, there = self._at(name)
        transport.download(there, path, transfer, most)

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """Remove files; the lifetime of blobs ends, and Rucio removes them later."""
        failed: dict[str, str] = {}
        blobs = [name for name in names if name.startswith(BLOBS)]
        known = self._ask(blobs) if blobs else {}
        for name in (name for name in blobs if not _is_known(known[name])):
            transport, path = self._at(name)
            failed |= dict.fromkeys([name], "".join(transport.remove([path]).values()))
        for start in range(0, len(blobs), _CHUNK):
            dids = [self._did(name) for name in blobs[start : start + _CHUNK]]
            left = self._client.call_now("expire", dids)
            failed |= {self._name(did): reason for did, reason in left.items()}
        failed = {name: reason for name, reason in failed.items() if reason}
        with self._lock:
            for name in names:
                self._early.pop(name, None)
                self._ends.pop(name, None)
        others = [name for name in names if not name.startswith(BLOBS)]
        if others:
            transport, folder = self._at("")
            left = transport.remove([f"{folder}{name}" for name in others])
            failed |= {name.removeprefix(folder): reason for name, reason in left.items()}
        return failed

    def listing(self, folder: str) -> list[str]:
        """Return the names in a folder of those files of which Rucio does not know."""
        transport, path = self._at(folder)
        return transport.listing(path)

    def tidy(self, folder: str) -> None:
        """Remove an empty folder; those of blobs are up to Rucio."""
        if not f"{folder}/".startswith(BLOBS):
            transport, path = self._at(folder)
            transport.tidy(path)

    def source(self, name: str) -> str:
        """Return the URL at the storage element."""
        transport, path = self._at(name)
        return transport.source(path)

    def inbox(self, folder: str) -> str:
        """Return the URL of a folder at the storage element."""
        transport, path = self._at(folder)
        return transport.inbox(path)

    def _name(self, did: str) -> str:
        return did.removeprefix(f"{self._address.scope}:{self._address.prefix}/")

    def _did(self, name: str) -> tuple[str, str]:
        return self._address.scope, f"{self._address.prefix}/{name}"

    def _at(self, name: str) -> tuple[Transport, str]:
        """Return the transport to a server, and the name there of a file."""
        if name.startswith(BLOBS):
            url = self._located.of(name)
        else:
            url = f"{self._located.of(_UNREGISTERED)}/{name}"
        root, path = split(url)
        with self._lock:
            if root not in self._opened:
                self._opened[root] = self._open(root)
            return self._opened[root], path

    def _facts(self, name: str) -> Facts | None:
        with self._lock:
            early = self._early.pop(name, None)
        if early is not None and self._now() - early[3] < _FRESH:
            return early
        return self._asked.of(name)

    def _ask(self, wanted: Sequence[str]) -> dict[str, Facts | None]:
        """Ask for blobs, and the first time for all that are expected."""
        with self._lock:
            expected, self._expected = self._expected, []
        found: dict[str, Facts | None] = dict.fromkeys([*wanted, *expected])
        everything = list(found)
        for start in range(0, len(everything), _CHUNK):
            dids = [self._did(name) for name in everything[start : start + _CHUNK]]
            now = self._now()
            for did, (size, end, state) in self._client.call_now(
                "blobs", dids, self.element
            ).items():
                ends = float("inf") if end is None else float(end)
                found[self._name(did)] = (int(size), ends, str(state), now)
        asked = frozenset(wanted)
        with self._lock:
            self._early |= {name: facts for name, facts in found.items() if name not in asked}
        return found

    def _locate(self, wanted: Sequence[str]) -> dict[str, str]:
        """Ask for URLs that are not known, and for those of blobs that will be asked for soon."""
        with self._lock:
            known = dict(self._urls)
            early = [name for name, facts in self._early.items() if facts and name not in known]
        unknown = [name for name in wanted if name not in known]
        if unknown:
            unknown = list(dict.fromkeys([*unknown, *early[: max(0, _CHUNK - len(unknown))]]))
            dids = [self._did(name) for name in unknown]
            urls = self._client.call_now("blob_urls", dids, self.element, SCHEMES)
            known |= {self._name(did): _for_worker(url) for did, url in urls.items()}
            with self._lock:
                self._urls.update(known)
        return known

    def _hold(self, files: Sequence[tuple[str, int, str]]) -> dict[tuple[str, int, str], None]:
        rows = [(*self._did(name), size, adler32) for name, size, adler32 in files]
        lifetime = self._address.lifetime
        end = self._now() + (lifetime or 0)
        states = self._client.call_now("registration", rows, self.element, lifetime)
        sizes = {name: size for name, size, _ in files}
        with self._lock:
            for did, state in states.items():
                name = self._name(did)
                self._early[name] = (sizes[name], end, str(state), self._now())
                self._ends[name] = end
        return dict.fromkeys(files)

    def _register(self, name: str, size: int, adler32: str) -> None:
        """Register a blob that was written; remove it if Rucio does not take it."""
        try:
            self._held.of((name, size, adler32))
        except PermanentError:
            with contextlib.suppress(GridError):
                if not _is_known(self._asked.of(name)):
                    transport, path = self._at(name)
                    transport.remove([path])
            raise

    def _is_short(self, end: float) -> bool:
        """Return whether less than half of the lifetime is left."""
        return end < self._now() + (self._address.lifetime or 0) / 2

    def _refresh(self) -> None:
        """Keep what this run has used before: jobs that wait may need it."""
        with self._lock:
            if self._now() < self._due:
                return
            before, self._due = self._due, self._now() + _FRESH
            short = [name for name, end in self._ends.items() if self._is_short(end)]
        try:
            if short:
                self._renew(short)
        except GridError:  # the next call tries again
            self._due = before

    def _renew(self, blobs: Sequence[str]) -> dict[str, None]:
        lifetime = self._address.lifetime or 0
        for start in range(0, len(blobs), _CHUNK):
            some = blobs[start : start + _CHUNK]
            ends = self._now() + lifetime
            self._client.call_now("renewal", [self._did(name) for name in some], lifetime)
            with self._lock:
                self._ends.update(dict.fromkeys(some, ends))
        return dict.fromkeys(blobs)


def _is_known(facts: Facts | None) -> bool:
    return facts is not None and bool(facts[2])


def split(url: str) -> tuple[str, str]:
    """Return the first folder of a storage element's URL, and the path below it."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    first, _, name = path.lstrip("/").partition("/")
    slashes = "//" if scheme == "root" else "/"
    return f"{scheme}://{host}{slashes}{first}", name


def _for_worker(url: str) -> str:
    """Return a URL by which a worker writes, too: by its name ``https`` is without credentials."""
    scheme, _, rest = url.partition(":")
    return f"davs:{rest}" if scheme == "https" else url
