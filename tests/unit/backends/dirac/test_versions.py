"""Which clients and servers of DIRAC work together, and what is different with older ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.base import Rejected
from snakemake_executor_plugin_grid.backends.dirac.jdl import Options, requirements
from snakemake_executor_plugin_grid.backends.dirac.versions import Versions
from snakemake_executor_plugin_grid.model.errors import PermanentError, UnreachableError
from snakemake_executor_plugin_grid.model.job import Resources
from tests.unit.backends.dirac.dirac_bench import Bench, name
from tests.unit.specs import spec


@pytest.mark.parametrize(
    ("client", "server"),
    [
        ("8.0.86", "8.0.86"),
        ("8.0.86", "9.1.22"),
        ("9.0.28", "9.0.28"),
        ("9.1.22", "9.0.0"),
        ("9.1.22", "v9.0.15"),
        ("9.1.22", "10.0.0a1"),
        ("9.2.0a3", "Unknown"),
        ("", ""),
    ],
)
def test_versions_that_work_together(client: str, server: str) -> None:
    Versions(client, server).check()


@pytest.mark.parametrize(
    ("client", "server", "words"),
    [
        ("9.1.22", "8.0.86", "client of version 8 by --grid-dirac-python"),
        ("10.0.1", "9.1.22", "client of version 9 by"),
        ("8.0.86", "v7r3p20", "server has version v7r3p20, which is too old: DIRAC 8.0"),
    ],
)
def test_versions_that_do_not(client: str, server: str, words: str) -> None:
    with pytest.raises(PermanentError, match=words):
        Versions(client, server).check()


@pytest.mark.parametrize(
    ("server", "in_gb"),
    [
        ("8.0.86", True),
        ("9.0.0a4", True),
        ("9.0.14", True),
        ("9.0.15", False),
        ("9.1.0", False),
        ("Unknown", False),
    ],
)
def test_older_servers_take_memory_for_gb(server: str, in_gb: bool) -> None:
    versions = Versions("8.0.86", server)
    assert versions.memory_in_gb is in_gb
    assert bool(versions.gaps) is in_gb


@pytest.mark.parametrize(
    ("megabytes", "asked"),
    [(None, {}), (500, {}), (1000, {}), (1001, {"MaxRAM": "2"}), (8000, {"MaxRAM": "8"})],
)
def test_memory_in_gb(megabytes: int | None, asked: dict[str, str]) -> None:
    job = spec(name(1), resources=Resources(memory_mb=megabytes))
    assert requirements(job, Options(memory_in_gb=True)) == asked


def test_the_server_decides_how_memory_is_asked_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Options())
    bench.dirac.servers = "8.0.86"
    bench.dirac.version = "8.0.80"
    bench.call(bench.backend.check())
    bench.submit(bench.payload(1, resources=Resources(memory_mb=2000)))
    (job,) = bench.dirac.named(name(1))
    assert "MaxRAM = 2;" in job.jdl
    assert "MinRAM" not in job.jdl


def test_a_client_that_cannot_use_the_server_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Options())
    bench.dirac.servers = "8.0.86"
    with pytest.raises(PermanentError, match="--grid-dirac-python"):
        bench.call(bench.backend.check())


def test_sites_that_the_installation_does_not_have(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Options(sites=("LCG.CERN.cern",)))
    bench.dirac.sites_there = ["LCG.CERN.ch", "LCG.RAL.uk"]
    with pytest.raises(PermanentError, match=r"--grid-site: .*LCG.CERN.cern.*LCG.CERN.ch"):
        bench.call(bench.backend.check())

    bench = Bench(tmp_path, Options(sites=("ANY",)))
    bench.dirac.sites_there = ["LCG.CERN.ch", "LCG.RAL.uk"]
    bench.call(bench.backend.check())
    good, bad = bench.submit(
        bench.payload(1, overrides={"site": "LCG.RAL.uk"}),
        bench.payload(2, overrides={"site": "LCG.RAL.ku"}),
    )
    assert isinstance(bad, Rejected)
    assert "grid_site" in bad.message
    assert "Did you mean LCG.RAL.uk" in bad.message
    assert not isinstance(good, Rejected)


def test_a_server_that_is_away_at_the_start_is_asked_by_the_submission(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Options())
    bench.dirac.servers = "8.0.86"
    bench.dirac.version = "8.0.86"
    bench.dirac.errors["server_version"] = [UnreachableError("away"), UnreachableError("away")]
    bench.call(bench.backend.check())
    with pytest.raises(UnreachableError):
        bench.submit(bench.payload(1, resources=Resources(memory_mb=2000)))
    bench.submit(bench.payload(1, resources=Resources(memory_mb=2000)))
    (job,) = bench.dirac.named(name(1))
    assert "MaxRAM = 2;" in job.jdl
    assert bench.dirac.counts["server_version"] == 3
