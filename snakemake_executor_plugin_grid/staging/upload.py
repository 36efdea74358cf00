"""Uploads inputs: small files in tarballs, large files one by one, each content only once."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ..console.progress import Measure, transfer
from ..journal.catalog import Catalog
from ..model.errors import DiskFullError, EndingError, FileChangedError, GridError
from ..model.job import JobSpec
from ..model.recent import Recent
from ..stores import InputStore
from ..worker.archive.listing import Entry, scan
from ..worker.archive.member import ChangedError, TarballError
from ..worker.archive.pack import pack
from ..worker.description import Blob
from .needs import Common, Key, Needs, NeedsFinder, Scanned, key_of
from .paths import WORK, Layout, depth

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Bundle:
    """A tarball in the store, and the names of its files."""

    digest: str
    size: int
    names: frozenset[str]


@dataclass
class Traffic:
    """Statistics of the uploads of a run.

    Attributes:
        stored_bytes: Bytes that were uploaded.
        spared_bytes: Bytes that were not uploaded, because the store had them already.
        reused: Number of blobs that the store had already.
    """

    stored_bytes: int = 0
    spared_bytes: int = 0
    reused: int = 0


class Upload:
    """Uploads the inputs of batches of jobs to the store.

    Small files that are needed by the same jobs share a tarball. A small file is packed once per
    run. A large file is stored once, for as long as the store keeps it.
    """

    def __init__(
        self,
        layout: Layout,
        store: InputStore,
        catalog: Catalog,
        pool: ThreadPoolExecutor,
        *,
        large_file: int,
        compression: str,
    ) -> None:
        """Set up the uploads of a run.

        Args:
            layout: Maps paths of the submit host to names in the archives.
            store: Where the blobs go.
            catalog: Digests of files that were hashed before.
            pool: Threads that pack and copy; their number limits the parallel uploads.
            large_file: Files of this size in bytes, or more, travel alone.
            compression: Compression of the tarballs.
        """
        self._needs = NeedsFinder(layout, large_file)
        self._store = store
        self._catalog = catalog
        self._pool = pool
        self._large_file = large_file
        self._compression = compression
        self._packed: Recent[Key, Bundle] = Recent()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.traffic = Traffic()

    def depth(self, spec: JobSpec) -> int:
        """Return how many levels above the working directory reaches what many jobs get."""
        return self._needs.common(spec).depth

    def send_sources(self, sources: Mapping[str, Entry], listing: Entry | None = None) -> None:
        """Store the sources of the workflow, which go to every job that runs Snakemake.

        Args:
            sources: Files by archive name.
            listing: File that lists files for which workers get placeholders.

        Raises:
            GridError: A file cannot be read or stored.
        """
        self._needs.sources = self._send_common(sources, listing)

    def send_included(self, included: Mapping[str, Entry]) -> None:
        """Store the files of ``--grid-include`` for decided jobs; as `send_sources`."""
        self._needs.included = self._send_common(included)

    def _send_common(self, sources: Mapping[str, Entry], listing: Entry | None = None) -> Common:
        small = [entry for entry in sources.values() if not self._is_large(entry)]
        large = [entry for entry in sources.values() if self._is_large(entry)]
        futures = [self._pool.submit(self._store_large, entry) for entry in large]
        blobs = [self._tar_blob(self._pack(small, "source files"), None)] if small else []
        blobs += [future.result() for future in futures]
        if listing is None:
            return Common(sources, tuple(blobs), depth(sources))
        blobs.append(replace(self._store_large(listing), kind="placeholders", name=""))
        return Common(sources, tuple(blobs), depth([*sources, listing.name]))

    def send_folder(self, folder: Path) -> Blob:
        """Store a folder as one tarball, which the worker puts into its PYTHONPATH."""
        bundle = self._pack(list(scan(folder, WORK)), "files of Snakemake")
        return replace(self._tar_blob(bundle, None), kind="runtime")

    def prepare(self, specs: Sequence[JobSpec]) -> dict[str, tuple[Blob, ...] | GridError]:
        """Store the inputs of a batch of jobs.

        Returns:
            By job name, the blobs to stage in, or the error that keeps the job from being
            submitted.
        """
        results: dict[str, tuple[Blob, ...] | GridError] = {}
        needs: dict[str, Needs] = {}
        scanned: Scanned = {}
        for spec in specs:
            try:
                needs[spec.name] = self._needs.of(spec, scanned)
            except GridError as error:
                results[spec.name] = error
        bundles = self._send_small(needs)
        large = self._send_large(needs)
        for name, need in needs.items():
            try:
                results[name] = self._blobs(need, bundles, large)
            except GridError as error:
                results[name] = error
        return results

    def stop(self) -> None:
        """Start no further upload, because the run is being cancelled."""
        self._stopped.set()

    def _attempt(self, work: Callable[[S], T], subject: S) -> T | GridError:
        """Call a function; return its result, or its error for the jobs that need the file."""
        try:
            if self._stopped.is_set():
                raise EndingError("the run is ending")
            return work(subject)
        except GridError as error:
            return error

    def _send_small(self, needs: dict[str, Needs]) -> dict[Key, Bundle | GridError]:
        """Pack the small files that are in no tarball of this run yet."""
        entries: dict[Key, Entry] = {}
        users: dict[Key, set[str]] = defaultdict(set)
        known: dict[Key, Bundle | GridError] = {}
        for name, need in needs.items():
            for key, entry in need.small.items():
                if (packed := self._packed.get(key)) is not None:
                    known[key] = packed
                else:
                    entries[key] = entry
                    users[key].add(name)
        groups: dict[tuple[frozenset[str], bool, str], list[Entry]] = defaultdict(list)
        for key, names in users.items():
            # Files that later jobs need too are packed without files that only this job needs.
            private = all(key in needs[name].private for name in names)
            own = key[0] if entries[key].stored >= self._large_file else ""  # it is sparse
            groups[frozenset(names), private, own].append(entries[key])
        bundles = self._pool.map(lambda group: self._attempt(self._pack, group), groups.values())
        for group, bundle in zip(groups.values(), bundles, strict=True):
            for entry in group:
                known[key_of(entry)] = bundle
                if isinstance(bundle, Bundle):
                    self._packed[key_of(entry)] = bundle
        return known

    def _send_large(self, needs: dict[str, Needs]) -> dict[str, Blob | GridError]:
        entries = {entry.name: entry for need in needs.values() for entry in need.large.values()}
        blobs = self._pool.map(
            lambda entry: self._attempt(self._store_large, entry), entries.values()
        )
        return dict(zip(entries, blobs, strict=True))

    def _blobs(
        self,
        need: Needs,
        bundles: dict[Key, Bundle | GridError],
        large: dict[str, Blob | GridError],
    ) -> tuple[Blob, ...]:
        wanted: dict[str, tuple[Bundle, set[str]]] = {}
        blobs = [self._without(blob, need) for blob in need.common.blobs]
        for key, entry in need.small.items():
            bundle = _unwrap(bundles[key])
            wanted.setdefault(bundle.digest, (bundle, set()))[1].add(entry.name)
        for bundle, names in wanted.values():
            blobs.append(self._tar_blob(bundle, None if names == bundle.names else names))
        blobs += [_unwrap(large[name]) for name in need.large]
        return tuple(blob for blob in blobs if blob is not None)

    def _without(self, blob: Blob, need: Needs) -> Blob | None:
        """Leave out what the job must not get."""
        if blob.kind != "tar" or not need.skip:
            return None if blob.kind == "raw" and blob.name in need.skip else blob
        names = {
            name
            for name, entry in need.common.entries.items()
            if not self._is_large(entry) and name not in need.skip
        }
        return Blob(
            blob.digest,
            blob.size,
            blob.url,
            compression=blob.compression,
            wanted=tuple(sorted(names)),
        )

    def _tar_blob(self, bundle: Bundle, names: Iterable[str] | None) -> Blob:
        return Blob(
            bundle.digest,
            bundle.size,
            self._store.locate(bundle.digest),
            compression=self._compression,
            wanted=None if names is None else tuple(sorted(names)),
        )

    def _pack(self, entries: list[Entry], kind: str = "small files") -> Bundle:
        files = [entry for entry in entries if entry.kind != "dir"]
        what = _shown(files[0]) if len(files) == 1 else f"{len(files):,} {kind}"
        names = frozenset(entry.name for entry in entries)
        try:
            fingerprint = self._fingerprint(entries)
            known = self._catalog.bundle(fingerprint)
            if known is not None and self._store.has(*known):
                self._count(0, spared=known[1])
                return Bundle(*known, names)
            archive = self._store.workspace / f".{secrets.token_hex(8)}.part"
            size = sum(entry.stored for entry in entries)
            with transfer(what, size, up=True, store=self._store.url) as moving:
                moving.watch(_growth(archive))
                packed = pack(entries, archive, compression=self._compression)
                if self._store.has(packed.digest, packed.size):
                    archive.unlink()
                    self._count(0, spared=packed.size)
                else:
                    self._store.put(packed.digest, archive)
                    self._count(packed.size)
        except ChangedError as error:
            raise FileChangedError(str(error)) from error
        except TarballError as error:
            raise GridError(str(error)) from error
        except OSError as error:
            raise _explain(error, self._store.workspace) from error
        _ = self._catalog.note_bundle(fingerprint, packed.digest, packed.size)
        return Bundle(packed.digest, packed.size, names)

    def _store_large(self, entry: Entry) -> Blob:
        path = Path(entry.path)
        try:
            before = path.stat()
            size, digest = before.st_size, self._catalog.digest(entry.path, before)
            if digest is not None and self._store.has(digest, size):
                self._count(0, spared=size)
            else:
                with transfer(_shown(entry), size, up=True, store=self._store.url):
                    size, digest = self._store.put_file(path)
                self._count(size)
                after = path.stat()
                if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, size):
                    raise FileChangedError(f"input {entry.path} changed while it was being stored")
                self._catalog.note([(entry.path, after, digest)])
        except TarballError as error:
            raise GridError(str(error)) from error
        except OSError as error:
            raise _explain(error, self._store.workspace) from error
        return Blob(
            digest,
            size,
            self._store.locate(digest),
            kind="raw",
            name=entry.name,
            mode=entry.mode,
            mtime_ns=entry.mtime_ns,
        )

    def _fingerprint(self, entries: list[Entry]) -> str:
        """Return a digest of these files by name, size, time, path and inode; none is read."""
        lines = [self._compression]
        for entry in sorted(entries, key=lambda entry: entry.name):
            try:
                inode = os.lstat(entry.path).st_ino if entry.path else 0
            except FileNotFoundError as error:
                raise ChangedError(f"{entry.path} vanished before it was packed") from error
            facts = (*key_of(entry), entry.kind, entry.target, entry.path, inode)
            lines.append(repr(facts))
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def _is_large(self, entry: Entry) -> bool:
        return entry.is_large(self._large_file)

    def _count(self, size: int, spared: int = 0) -> None:
        with self._lock:
            self.traffic.stored_bytes += size
            self.traffic.spared_bytes += spared
            self.traffic.reused += size == 0


def _shown(entry: Entry) -> str:
    return entry.name.partition("/")[2]


def _growth(archive: Path) -> Measure:
    """Return a function that measures an archive, which has another name until it is complete."""
    found: list[Path] = []

    def measure() -> int:
        if not found:
            found.extend(archive.parent.glob(f".{archive.name}.*"))
        return found[0].stat().st_size if found else 0

    return measure


def _unwrap(value: T | GridError) -> T:
    if isinstance(value, GridError):
        raise value
    return value


def _explain(error: OSError, workspace: Path) -> GridError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"no space left where inputs are stored, {workspace}")
    return GridError(f"{error.filename or 'input'}: {error.strerror}")
