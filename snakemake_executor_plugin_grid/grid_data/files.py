"""The files on the grid that the jobs of a run read and write."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ..console.format import listed
from ..model.errors import GridError
from ..model.job import JobSpec
from ..snakemake_api.grid_files import GridPath
from ..staging.paths import Layout
from ..stores.file_catalog import FileFacts
from ..worker.grid_files.checksum import same
from ..worker.grid_files.records import GridInput, GridOutput, Stored
from ..worker.report import PAYLOAD_FAILED, SUCCESS, Report
from .attempts import has_no_catalog, parts


@dataclass(frozen=True)
class Destination:
    """Where an output goes.

    Attributes:
        url: ``lfn:/vo/…`` for DIRAC's tools, or a URL.
        element: Storage element, for DIRAC.
    """

    url: str
    element: str = ""


class Storage(Protocol):
    """What the executor needs of a storage provider; all names are queries."""

    def facts(self, query: str) -> FileFacts | None:
        """Return what is known of a file, None if it does not exist."""

    def sources(self, queries: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return where workers can read each file, the best first."""

    def elements(self, queries: Collection[str]) -> Mapping[str, Collection[str]]:
        """Return the storage elements with a replica of each file."""

    def destination(self, query: str) -> Destination:
        """Return where a worker stores a file."""

    def is_immutable(self, query: str) -> bool:
        """Return whether a name can never have other content."""

    def adopt(self, files: Mapping[str, FileFacts]) -> Mapping[str, str]:
        """Register what workers have stored under a URL; return why, where that is refused."""

    def release(self, queries: Collection[str]) -> None:
        """Tell from now on what is there of files that jobs of earlier runs may have made."""

    def note(self, query: str, facts: FileFacts, begun: float) -> None:
        """Learn that a job has written a file, which was adopted after a time."""

    def forget(self, queries: Collection[str], *, absent: bool = False) -> None:
        """Ask the catalog again when these files are needed next; if ``absent``, only for those."""

    def protect(self, queries: Collection[str]) -> None:
        """Do not remove these files when Snakemake removes the outputs of a failed job."""

    def discard(self, query: str) -> None:
        """Remove what an attempt may have left behind, soon."""


class GridFiles:
    """Knows which storage has which file."""

    def __init__(self, layout: Layout, *, early: bool = False) -> None:
        """Know no file yet.

        Args:
            layout: Maps paths of the submit host to names in the worker's tree.
            early: Whether inputs may be missing, as no job has run yet.
        """
        self._layout = layout
        self._early = early
        self._storages: dict[str, Storage] = {}

    def inputs(self, paths: Iterable[GridPath]) -> tuple[GridInput, ...]:
        """Return what a worker has to fetch.

        Raises:
            GridError: A file does not exist, or its catalog does not answer.
        """
        found = []
        for one in paths:
            storage = self._storages[one.query] = one.storage
            facts = storage.facts(one.query)
            if facts is None and not self._early:
                raise GridError(f"input {one.query} does not exist")
            facts = facts or FileFacts(0, 0.0)
            found.append(
                GridInput(
                    name=self._layout.member(one.path),
                    query=one.query,
                    size=facts.size,
                    adler32=facts.adler32,
                    mtime_ns=int(facts.mtime * 1e9),
                    urls=tuple(storage.sources([one.query])[one.query]),
                )
            )
        return tuple(found)

    def elements(self, paths: Iterable[GridPath]) -> dict[str, tuple[str, ...]]:
        """Return the storage elements with a replica of each input, by query.

        Raises:
            GridError: The catalog does not answer.
        """
        return {
            one.query: tuple(sorted(one.storage.elements([one.query])[one.query])) for one in paths
        }

    def outputs(self, paths: Iterable[GridPath]) -> tuple[GridOutput, ...]:
        """Return what a worker has to store.

        Raises:
            GridError: The catalog does not answer.
        """
        found = []
        for one in paths:
            storage = self._storages[one.query] = one.storage
            storage.release([one.query])  # the job of this run is known: it replaces or adopts
            _old(storage, one.query)
            target = storage.destination(one.query)
            facts = _old(storage, one.query)  # what was to be removed before may still be there
            found.append(
                GridOutput(
                    name=self._layout.member(one.path),
                    query=one.query,
                    url=target.url,
                    element=target.element,
                    before=_before(facts, target.url),
                )
            )
        return tuple(found)

    def outputs_now(self, spec: JobSpec) -> tuple[GridOutput, ...]:
        """Return the outputs of a job that is sent again.

        Where there is no catalog with guids, what an earlier attempt has written is told apart from
        what a later one will have written by being there now. If the server does not answer, the
        job does not replace it.
        """
        found = []
        for output in spec.grid_outputs:
            storage = self._storages.get(output.query)
            now = output
            if storage is not None and has_no_catalog(output):
                storage.forget([output.query])
                with contextlib.suppress(GridError):
                    facts = storage.facts(output.query)
                    now = replace(output, before=_before(facts, output.url))
            found.append(now)
        return tuple(found)

    def ended(self, spec: JobSpec) -> None:
        """Forget the outputs of a job: the next question asks for all forgotten ones at once.

        What was absent when the job was planned, and is there now, was asked for since: together
        with the outputs of another job that has ended.
        """
        for output in spec.grid_outputs:
            if (storage := self._storages.get(output.query)) is not None:
                storage.forget([output.query], absent=not output.before)

    def confirm(self, spec: JobSpec, report: Report) -> str:
        """See that the outputs of a job are on the grid, as its report says.

        Returns:
            What is wrong, empty if nothing is.

        Raises:
            GridError: A catalog does not answer.
        """
        stored = {one.query: one for one in report.stored}
        queries = [output.query for output in spec.grid_outputs]
        if missing := [query for query in queries if query not in stored]:
            return f"it reported success, but did not store {listed(missing)}"
        begun = time.time()
        if refused := self._adopt([stored[query] for query in queries]):
            query, why = next(iter(refused.items()))
            return f"{query} cannot be registered: {why}"
        for query in queries:
            storage = self._storages[query]
            told = stored[query]
            facts = storage.facts(query)
            if facts is not None and not _is(facts, told):  # perhaps of an attempt before this one
                storage.forget([query])
                facts = storage.facts(query)
            if facts is None:
                return f"it reported success, but {query} is not there"
            if not _is(facts, told):
                return (
                    f"it reported {told.size} bytes with the Adler-32 {told.adler32} for {query}, "
                    f"but {facts.size} bytes with {facts.adler32 or 'no checksum'} are there"
                )
            storage.note(query, facts, begun)
        return ""

    def _adopt(self, stored: Collection[Stored]) -> dict[str, str]:
        """Register what a worker has stored, with one call to each storage."""
        refused: dict[str, str] = {}
        of_job = [self._storages[one.query] for one in stored]
        now = time.time()
        for storage in {id(storage): storage for storage in of_job}.values():
            files = {
                one.query: FileFacts(one.size, now, one.adler32)
                for one in stored
                if self._storages[one.query] is storage
            }
            if files:
                refused.update(storage.adopt(files))
                # Another job's question may have been about these as well, before they were there.
                storage.forget(list(files), absent=True)
        return refused

    def failed(self, spec: JobSpec, report: Report | None) -> None:
        """Keep what was there before a job that has failed, and what it did not write.

        Snakemake removes the outputs of a failed job.
        """
        wrote = {one.query for one in report.stored} if report is not None else set()
        if report is not None and report.reason == SUCCESS:
            wrote = set()  # what is there is not what it reported
        for output in spec.grid_outputs:
            storage = self._storages.get(output.query)
            if storage is None:
                continue
            storage.forget([output.query])
            if output.query not in wrote:
                storage.protect([output.query])
            if report is None or report.reason != PAYLOAD_FAILED:  # that was before all uploads
                for part in parts(output, spec.name):
                    storage.discard(part)


def _before(facts: FileFacts | None, url: str) -> str:
    """Return `GridOutput.before`."""
    if facts is None:
        return ""
    before = f"{facts.size}:{facts.adler32}"
    return before if url.startswith("lfn:") else f"{before}:{int(facts.mtime)}"


def _is(facts: FileFacts, told: Stored) -> bool:
    """Return whether a file is the one that a worker says it has stored."""
    return facts.size == told.size and (not facts.adler32 or same(facts.adler32, told.adler32))


def _old(storage: Storage, query: str) -> FileFacts | None:
    """Return what is known of the file that an output replaces; None if there is none.

    Raises:
        GridError: It cannot be replaced, or its catalog does not answer.
    """
    facts = storage.facts(query)
    if facts is not None and storage.is_immutable(query):
        raise GridError(
            f"output {query} exists, and its name can never have other content: "
            "choose a new name, such as one with a version"
        )
    return facts
