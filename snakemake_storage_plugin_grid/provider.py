"""The provider: makes storage objects, and knows the catalogs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_storage_plugins.common import Operation
from snakemake_interface_storage_plugins.storage_provider import (
    ExampleQuery,
    QueryType,
    StorageProviderBase,
    StorageQueryValidationResult,
)

from . import queries
from .left import LeftOutputs
from .objects import StorageObject
from .on_worker import FilesOfJob
from .settings import StorageProviderSettings, path_of

if TYPE_CHECKING:
    from snakemake_executor_plugin_grid.grid_data.catalogs import DataSettings, GridData
    from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts

_SAME_TIME = 10.0
"""Seconds by which two clocks may differ without a word."""


@dataclass(frozen=True)
class Destination:
    """Where a job stores a file.

    Attributes:
        url: Its name, or its URL.
        element: Storage element; may be empty.
    """

    url: str
    element: str = ""


class StorageProvider(StorageProviderBase):
    """Files in the catalogs of DIRAC and Rucio, and on storage servers.

    The executor ``grid`` asks it as well, in place of asking the catalogs: see the last methods.

    Attributes:
        latest: The provider that was made last, for functions of the Snakefile.
        answers: What catalogs have said while the workflow was parsed, by question.
        of_job: The files of the job, where a worker runs Snakemake.
    """

    latest: ClassVar[StorageProvider | None] = None
    answers: ClassVar[dict[str, list[str]]] = {}

    def __post_init__(self) -> None:
        """Open nothing yet."""
        self._registered: dict[str, dict[str, None]] = {}
        self._data: dict[str, GridData] = {}
        self._clock_compared = False
        self.of_job = FilesOfJob.here()
        self._left = LeftOutputs() if self.of_job is None else None
        StorageProvider.latest = self

    @classmethod
    def get_storage_object_cls(cls) -> type[StorageObject]:
        """Return the class of the objects, which is in another module."""
        return StorageObject

    @classmethod
    def example_queries(cls) -> list[ExampleQuery]:
        """Return an example for each catalog."""
        return [
            ExampleQuery(
                query="lfn:/vo/user/u/user/run1/{sample}.root",
                description="A file in the file catalog of DIRAC, by its LFN.",
                type=QueryType.ANY,
            ),
            ExampleQuery(
                query="rucio://user.name/run1.{sample}.root",
                description="A file in Rucio, by its scope and name.",
                type=QueryType.ANY,
            ),
            ExampleQuery(
                query="davs://host/user/run1/{sample}.root",
                description="A file on a storage server with WebDAV; root://host//path: XRootD.",
                type=QueryType.ANY,
            ),
            ExampleQuery(
                query="https://host/data/{sample}.root",
                description="A file that everybody may read: no token or proxy is sent.",
                type=QueryType.INPUT,
            ),
        ]

    @classmethod
    def is_valid_query(cls, query: str) -> StorageQueryValidationResult:
        """Check a query, also one with wildcards."""
        problem = queries.problem_with(query)
        return StorageQueryValidationResult(query, valid=not problem, reason=problem or None)

    def postprocess_query(self, query: str) -> str:
        """Write the scheme in lower case."""
        return queries.normalized(query)

    def use_rate_limiter(self) -> bool:
        """Limit nothing: one call is for many files."""
        return False

    def rate_limiter_key(self, query: str, operation: Operation) -> Any:
        """Return a key, which nothing uses."""
        return queries.scheme_of(query)

    def default_max_requests_per_second(self) -> float:
        """Return a rate, which nothing uses."""
        return 100.0

    def register(self, query: str) -> None:
        """Note a name about which questions will come."""
        scheme = queries.catalog_of(query)
        if self.of_job is not None:
            return
        if scheme in self._data:
            self._data[scheme].lookup.register([query])
        else:
            self._registered.setdefault(scheme, {})[query] = None

    def data(self, query: str) -> GridData:
        """Return the files of the catalog that has a name; the first time opens it."""
        scheme = queries.catalog_of(query)
        if scheme not in self._data:
            from snakemake_executor_plugin_grid.grid_data.catalogs import open_data

            with self.errors():
                data = open_data(scheme, self._settings(), self.logger.warning)
            data.lookup.register(self._registered.pop(scheme, {}))
            self._data[scheme] = data
        return self._data[scheme]

    def answer(self, question: str, ask: Callable[[], list[str]]) -> list[str]:
        """Return what a catalog says; where a worker runs Snakemake, what it said before.

        Raises:
            WorkflowError: The catalog does not answer, or was not asked on the submit host.
        """
        if self.of_job is not None:
            if question not in self.of_job.answers:
                raise WorkflowError(f"{question}: the submit host has not asked that.")
            return self.of_job.answers[question]
        with self.errors():
            self.answers[question] = found = ask()
        return found

    def everything(self, query: str) -> dict[str, FileFacts | None]:
        """Return what is known of all files of the catalog that has a name."""
        return self.data(query).lookup.everything()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn errors of the grid into those that Snakemake shows without a traceback."""
        from snakemake_executor_plugin_grid.model.errors import GridError

        try:
            yield
        except GridError as error:
            raise WorkflowError(str(error)) from error

    def compare_clocks(self, facts: FileFacts) -> None:
        """Warn if the catalog says that a file that was stored now is of another time."""
        difference = facts.mtime - time.time()
        if not self._clock_compared and abs(difference) > _SAME_TIME:
            self.logger.warning(
                f"The clocks of the file catalog and of this host differ by {difference:+.0f} s: "
                "whether files are newer than others may be wrong."
            )
        self._clock_compared = True

    # What the executor asks.

    def facts(self, query: str) -> FileFacts | None:
        """Return what is known of a file; None if it does not exist.

        Raises:
            GridError: The catalog does not answer.
        """
        data = self.data(query)
        for name in self._left.unheld(self.local_prefix) if self._left is not None else ():
            self.data(name).lookup.hold([name])
        return data.lookup.facts(query)

    def sources(self, names: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return where workers can read each file, the best first.

        Raises:
            GridError: The catalog does not answer.
        """
        found: dict[str, Sequence[str]] = {}
        for scheme in sorted({queries.catalog_of(name) for name in names}):
            some = [name for name in names if queries.catalog_of(name) == scheme]
            for name, replicas in self.data(some[0]).replicas.of(some).items():
                urls = [url for _, url in sorted(replicas.items()) if url]
                # The tools of DIRAC choose the nearest replica.
                found[name] = [name, *urls] if scheme == "lfn" and replicas else urls
        return found

    def elements(self, names: Collection[str]) -> Mapping[str, Collection[str]]:
        """Return the storage elements with a replica of each file; ``sources`` has asked for them.

        Raises:
            GridError: The catalog does not answer.
        """
        return {name: list(self.data(name).replicas.of([name])[name]) for name in names}

    def destination(self, query: str) -> Destination:
        """Return where a worker stores a file; what is to be removed of it is removed before."""
        data = self.data(query)
        data.removals.settle([query])
        if self.is_immutable(query):
            return Destination(data.write_urls.of(query), data.element)
        return Destination(query, data.element)

    def is_immutable(self, query: str) -> bool:
        """Return whether a name can never have other content: so it is with Rucio."""
        return queries.scheme_of(query) == "rucio"

    def adopt(self, files: Mapping[str, FileFacts]) -> Mapping[str, str]:
        """Register what workers have stored under a URL; return why, where that is refused.

        Raises:
            GridError: The catalog does not answer.
        """
        some = {name: facts for name, facts in files.items() if self.is_immutable(name)}
        if not some:
            return {}
        data = self.data(next(iter(some)))
        return data.catalog.retry(lambda: data.rucio().register(some))

    def release(self, names: Collection[str]) -> None:
        """Tell from now on what is there of files that jobs of earlier runs may have made."""
        for name in names:
            self.data(name).lookup.release([name])

    def note(self, query: str, facts: FileFacts, begun: float) -> None:
        """Learn that a job has written a file, which was adopted after a time."""
        data = self.data(query)
        if self.is_immutable(query):
            facts = data.remade.note(query, facts, begun)
        data.removals.withdraw([query])  # an earlier attempt may have protected it
        data.lookup.note(query, facts)

    def forget(self, names: Collection[str], *, absent: bool = False) -> None:
        """Ask the catalog again when these files are needed next; if ``absent``, only for those."""
        for name in names:
            self.data(name).lookup.forget([name], absent=absent)

    def protect(self, names: Collection[str]) -> None:
        """Do not remove these files when Snakemake removes the outputs of a failed job."""
        for name in names:
            self.data(name).removals.protect([name])

    def discard(self, query: str) -> None:
        """Remove what an attempt may have left behind, soon."""
        self.data(query).removals.remove(query)

    def _settings(self) -> DataSettings:
        given = self.settings
        if not isinstance(given, StorageProviderSettings):
            given = StorageProviderSettings()
        return data_settings(given)


def data_settings(settings: StorageProviderSettings) -> DataSettings:
    """Return what the catalogs need of the options.

    Raises:
        WorkflowError: An option makes no sense.
    """
    from snakemake_executor_plugin_grid.grid_data.catalogs import DataSettings
    from snakemake_executor_plugin_grid.model.duration import seconds_of

    lifetime = None
    if settings.rucio_lifetime:
        lifetime = seconds_of(str(settings.rucio_lifetime))
        if lifetime is None:
            raise WorkflowError(
                f"--storage-grid-rucio-lifetime {settings.rucio_lifetime}: has to be seconds, or a "
                "time such as 12h or 30d."
            )
    return DataSettings(
        dirac_python=path_of(settings.dirac_python or option_of_executor("dirac_python")),
        storage_element=settings.storage_element
        or str(option_of_executor("dirac_storage_element") or ""),
        rucio_python=path_of(settings.rucio_python or option_of_executor("rucio_python")),
        rucio_rse=settings.rucio_rse or "",
        rucio_lifetime=lifetime,
        rucio_account=settings.rucio_account or "",
        token_file=path_of(option_of_executor("store_token")),
    )


def option_of_executor(name: str) -> Any:
    """Return an option that the executor has as well: as it was given, or from its variable."""
    from snakemake_executor_plugin_grid.settings.base import ObservedSettings
    from snakemake_executor_plugin_grid.settings.names import variable

    # The executor itself is not made before the workflow is parsed, and perhaps never.
    given = getattr(ObservedSettings.latest, name, None)
    return given or os.environ.get(variable(name))
