from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.bundles.backend import BundlingBackend
from snakemake_executor_plugin_grid.backends.dirac.backend import DiracBackend
from snakemake_executor_plugin_grid.backends.dirac.store import LfnStore
from snakemake_executor_plugin_grid.backends.kind import BackendSetup
from snakemake_executor_plugin_grid.backends.local.backend import LocalBackend
from snakemake_executor_plugin_grid.backends.registry import check_options, make_backend
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.resilience.outages import Outages
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.stores import ResultStore
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.stores.spool import SpoolStore
from tests.unit.specs import spec, tracked


class Bench:
    def __init__(self, folder: Path) -> None:
        self.workdir = folder / "work"
        self.folder = self.workdir / ".snakemake" / "grid"
        self.shared = folder / "shared"
        self.database = Database(self.folder / "grid.sqlite")

    def make(self, *, guest: bool = False, **values: Any) -> BackendSetup:
        settings = ExecutorSettings(**values)
        check_options(settings, self.workdir)
        setup = make_backend(
            settings,
            self.workdir,
            self.folder,
            self.database,
            Catalog(self.database),
            lambda text: None,
            guest=guest,
        )
        assert isinstance(setup.backend, BundlingBackend)
        return replace(setup, backend=setup.backend.inner)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.database.close()


def limit_of(outages: Outages) -> float:
    return outages.limit


def test_by_default_jobs_run_here(bench: Bench) -> None:
    setup = bench.make()
    backend, store = setup.backend, setup.stores.results
    assert isinstance(backend, LocalBackend)
    assert isinstance(store, DirectoryStore)
    assert store.folder == backend.store_folder
    store = bench.make(store=bench.shared.as_uri()).stores.results
    assert isinstance(store, DirectoryStore)
    assert store.folder == bench.shared


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({}, SpoolStore),
        ({"store": "file:///shared/me"}, DirectoryStore),
        ({"dirac_storage_element": "SE"}, LfnStore),
        ({"dirac_storage_element": "SE", "store": "lfn:/vo/user/m/me/x"}, LfnStore),
        ({"dirac_mode": "local"}, DirectoryStore),
    ],
)
def test_the_store_that_goes_with_dirac(
    bench: Bench, values: dict[str, Any], kind: type[ResultStore]
) -> None:
    setup = bench.make(backend="dirac", dirac_python=Path(sys.executable), **values)
    assert type(setup.stores.inputs) is type(setup.stores.results) is kind
    assert isinstance(setup.backend, DiracBackend) is (values.get("dirac_mode") != "local")
    assert not (bench.folder / "dirac.log").exists()  # nothing has been started


@pytest.mark.parametrize("backend", ["local", "dirac", "panda"])
def test_what_an_earlier_run_left_to_be_sent_is_removed(bench: Bench, backend: str) -> None:
    left = bench.folder / "spool" / "blob"
    left.parent.mkdir(parents=True)
    left.touch()
    store = "file:///shared/me" if backend == "panda" else None
    bench.make(guest=True, backend=backend, store=store)
    assert left.exists()  # a run may be about to send it
    bench.make(backend=backend, store=store)
    assert not left.exists()


def test_options_of_the_jdl_arrive(bench: Bench) -> None:
    setup = bench.make(
        backend="dirac",
        site="A,B",
        banned_sites=" C, D ,",
        tags="big fast",
        platform="x86",
        job_type="User",
        priority=0,
        jdl="LogLevel = 3",
        dirac_cpu_power=12.0,
        dirac_storage_element="SE",
        store="lfn:/vo/user/m/me/x/",
        dirac_inputs="fetch",
        proxy_hours=2.0,
    )
    backend = setup.backend
    assert isinstance(backend, DiracBackend)
    options = backend._options
    assert (options.sites, options.banned_sites) == (("A", "B"), ("C", "D"))
    assert (options.tags, options.platform, options.job_type) == (("big", "fast"), "x86", "User")
    assert (options.priority, options.extra, options.cpu_power) == (0, "LogLevel = 3", 12.0)
    assert options.storage_element == "SE"
    assert options.output_folder == "/vo/user/m/me/x/delivered"
    assert backend._fetch_inputs
    assert backend._margin == 7200


def test_outages_are_waited_out_as_long_as_the_user_says(bench: Bench) -> None:
    for backend in ("dirac", "panda", "local"):
        for limit, seconds in ((0.5, 1800), (0.0, 0)):
            setup = bench.make(backend=backend, store=bench.shared.as_uri(), outage_limit=limit)
            assert limit_of(setup.outages) == seconds


def leave_jobs(bench: Bench, *endpoints: str) -> None:
    """Have jobs that earlier runs have left in some endpoints, the last of them last."""
    for number, endpoint in enumerate(endpoints):
        journal = Journal(bench.database, f"run-{number}", "local")
        journal.endpoint = endpoint
        journal.submitting([tracked(spec(f"j-{number}"))])


def test_a_run_goes_on_at_the_local_site_where_the_last_one_has_left_jobs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "of-cron"))
    own = LocalBackend(ExecutorSettings(), bench.workdir).folder
    host, there, elsewhere = socket.gethostname(), tmp_path / "there", tmp_path / "elsewhere"
    there.mkdir()
    elsewhere.mkdir()

    def folder(**values: Any) -> Path:
        setup = bench.make(**values)
        backend, store = setup.backend, setup.stores.results
        assert isinstance(backend, LocalBackend)
        assert isinstance(store, DirectoryStore)
        assert store.folder == backend.store_folder
        return backend.folder

    assert folder() == own
    leave_jobs(bench, f"{host}:{elsewhere}", f"{host}:{there}")
    assert folder() == there
    assert folder(guest=True) == there
    assert folder(local_dir=tmp_path / "chosen").parent == tmp_path / "chosen"
    Journal(bench.database, "later", "local").ended("j-1", Phase.CANCELLED)
    assert folder() == elsewhere
    bench.database.change("UPDATE jobs SET endpoint=?", [(f"not-{host}:{there}",)])
    assert folder() == own
