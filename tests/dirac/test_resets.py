"""Connections to the file catalog that break off while files are removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.grid_data import catalogs
from tests.servers.dirac.server import DiracServer
from tests.servers.resetting import ResettingProxy, resetting

from .test_grid_data import Grid, opened

pytestmark = pytest.mark.dirac

_SERVICE = "DataManagement/FileCatalog"
_URL = """
Systems
{{
  DataManagement
  {{
    URLs
    {{
      FileCatalog = dips://localhost:{port}/{service}
    }}
  }}
}}
"""


@pytest.fixture
def proxy(dirac_server: DiracServer) -> Iterator[ResettingProxy]:
    with resetting(dirac_server.settings.ports[_SERVICE]) as made:
        yield made


@pytest.fixture
def grid(
    dirac_server: DiracServer,
    proxy: ResettingProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Grid]:
    """Return a catalog that is reached through the proxy."""
    made = opened(dirac_server, tmp_path, monkeypatch)
    settings = Path(dirac_server.environment()["DIRACSYSCONFIG"]).read_text()
    changed = tmp_path / "dirac.cfg"
    changed.write_text(settings + _URL.format(port=proxy.port, service=_SERVICE))
    monkeypatch.setenv("DIRACSYSCONFIG", str(changed))
    yield made
    catalogs.close_all()


@pytest.mark.parametrize(
    "plan",
    [(1, 2, 3, 4), (0, 1, 0, 2, 0, 3), (0, 0, 3, 4), (0, 0, 0, 4, 4)],
    ids=lambda plan: "-".join(map(str, plan)),
)
def test_a_removal_goes_on_when_connections_are_reset(
    grid: Grid, proxy: ResettingProxy, plan: tuple[int, ...]
) -> None:
    names = [grid.put(str(number)) for number in range(5)]
    data = grid.data()
    for name in names:
        assert data.lookup.facts(name)
    proxy.reset(plan)
    for name in names:
        data.removals.remove(name)
    data.removals.flush()
    assert proxy.resets
    assert not [line for line in grid.said if "could not be removed" in line], grid.said
    proxy.reset(())
    assert set(data.catalog.facts(names).values()) == {None}
    assert not any(map(grid.bytes_of, names))
