"""A submit host whose inputs are uploaded to a store and staged in as on a worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.model.job import JobSpec
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.staging.upload import Upload
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.worker.archive.listing import Entry, scan
from snakemake_executor_plugin_grid.worker.description import Blob, Job
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker.stagein import stage_in
from snakemake_executor_plugin_grid.worker.tree import Tree

LARGE = 1000


class Submission:
    """A submit host with a store."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self.home = folder / "me" / "home"
        self.home.mkdir(parents=True)
        self.folder = folder
        self.pool = pool
        self.store = DirectoryStore(folder / "store")
        self.store.check()
        self.database = Database(folder / "grid.sqlite")

    def upload(self, compression: str = "none") -> Upload:
        """Return the upload of a new run, with the catalog of earlier runs."""
        return Upload(
            Layout(self.home),
            self.store,
            Catalog(self.database),
            self.pool,
            large_file=LARGE,
            compression=compression,
        )

    def put(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def sources(self, *names: str) -> dict[str, Entry]:
        return {
            entry.name: entry for name in names for entry in scan(self.home / name, f"work/{name}")
        }

    def stored(self) -> set[str]:
        return {path.name for path in self.store.folder.iterdir()}

    def stage_in_files(self, blobs: Iterable[Blob]) -> dict[str, str]:
        """Stage in as a worker does; return the files by name."""
        sandbox = self.folder / "sandboxes" / str(len(list(self.folder.glob("sandboxes/*"))))
        sandbox.mkdir(parents=True)
        tree = Tree(sandbox / "tree", ("me", "home"))
        job = Job("j", "", ("me", "home"), tuple(blobs), (), Runtime("inherit"))
        names, _ = stage_in(job, sandbox, tree, sandbox / "runtime")
        files = {name: tree.path(name).read_text() for name in names if tree.path(name).is_file()}
        assert set(tree.files()) <= names
        return files


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Submission]:
    with ThreadPoolExecutor(2) as pool:
        yield Submission(tmp_path, pool)


def prepared(upload: Upload, *specs: JobSpec) -> dict[str, tuple[Blob, ...]]:
    found = {}
    for name, blobs in upload.prepare(specs).items():
        assert not isinstance(blobs, GridError), blobs
        found[name] = blobs
    return found
