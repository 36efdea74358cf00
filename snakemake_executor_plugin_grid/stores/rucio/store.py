"""A store in Rucio: ``rucio://scope/prefix?rse=RSE``.

Inputs are blobs that Rucio knows and removes when no run has used them for their lifetime. Outputs
are files of which Rucio does not know: they are removed when they have been fetched, and those that
other jobs read get a name in Rucio, if the storage element can rename them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...journal.catalog import Catalog
from ...model.errors import GridError
from ...model.recent import Recent
from ...resilience.outages import Outages
from ...resilience.threads import in_thread
from ..remote import RemoteStore, blob_name
from .catalog import checksum
from .transport import PROBE, RucioTransport


class RucioStore(RemoteStore):
    """Blobs that Rucio keeps for a time."""

    def __init__(
        self, transport: RucioTransport, folder: Path, outages: Outages, catalog: Catalog
    ) -> None:
        """Connect to nothing yet; the arguments are those of `RemoteStore`."""
        super().__init__(transport, folder, outages, catalog)
        self._rucio = transport
        self._sums: Recent[tuple[str, str], tuple[int, str]] = Recent()

    def check(self) -> None:
        """Try Rucio and the storage element; let the first question be about all blobs.

        Raises:
            GridError: It does not work.
        """
        self._catalog.note_locations([("", self._url(PROBE))]).wait()
        super().check()
        noted = [url for url in self._catalog.locations() if url.startswith(f"{self.url}/")]
        self._rucio.expect(map(self._name, noted))

    def fetch_output(self, job: str, digest: str, most: int | None = None) -> Path:
        """Download what a job delivered, once, and find its checksum, as Rucio wants it."""
        path = super().fetch_output(job, digest, most)
        if (job, digest) not in self._sums:
            self._sums[job, digest] = checksum(path)
        return path

    def keep(self, job: str, digests: Iterable[str]) -> None:
        """Make blobs of files that other jobs read; what cannot be one is uploaded later."""
        for digest in digests:
            name = self._delivered.get(job, {}).get(digest)
            known = self._sums.get((job, digest))
            if name is None or known is None:
                continue
            blob = blob_name(digest)
            try:
                if self._transport.size(blob) != known[0]:
                    self._catalog.note_locations([(digest, self._url(blob))]).wait()
                    if not self._rucio.adopt(name, blob, *known):
                        continue
                    with self._lock:
                        del self._delivered[job][digest]
            except GridError:
                continue
            self._verified[digest] = blob

    async def _check_credentials(self) -> str:
        """Make calls that need those for Rucio, and those for the storage element."""
        await in_thread(self._rucio.check_credentials)
        return await super()._check_credentials()
