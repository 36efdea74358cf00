"""Rucio's catalog and storage elements, on a real server."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import MissingError, PermanentError
from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts
from snakemake_executor_plugin_grid.stores.rucio.catalog import checksum
from snakemake_executor_plugin_grid.worker.transfer import urls as worker
from tests.servers.rucio.server import RucioServer
from tests.servers.rucio.settings import OTHER_SCOPE, ROOT, SCOPE, SITES, WEB

from .conftest import OpenCatalog

pytestmark = [pytest.mark.rucio, pytest.mark.xdist_group("rucio")]

ADD_REPLICAS = """
rse, scope, names, dataset = args
files = [{"scope": scope, "name": name, "bytes": 1, "adler32": "00620062"} for name in names]
if dataset:
    client.add_dataset(scope, dataset)
for start in range(0, len(files), 400):
    some = files[start:start + 400]
    client.add_replicas(rse, some)
    if dataset:
        dids = [{"scope": scope, "name": file["name"]} for file in some]
        client.attach_dids(scope, dataset, dids)
"""


def write(path: Path, content: bytes = b"content") -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rse", [WEB, ROOT])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"some content", id="small"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\0\xff" * 2_000_000, id="large"),
    ],
)
def test_what_is_put_is_got(
    open_catalog: OpenCatalog, run: str, tmp_path: Path, rse: str, content: bytes
) -> None:
    catalog, name = open_catalog(rse=rse, lifetime=3600), f"{run}/sub/file.root"
    assert catalog.facts([name]) == {name: None}
    begun = time.time()
    path = write(tmp_path / "here", content)
    made = catalog.put(name, path)
    assert time.time() - begun < 40  # rucio-clients try for a minute to see an empty file
    assert begun - 2 < made.mtime < time.time() + 1  # the server's clock is ours, in whole seconds
    assert (made.size, made.adler32) == checksum(path)
    assert catalog.facts([name]) == {name: made}
    catalog.get(name, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == {"here", "back", "rucio-0.log"}


def test_where_replicas_are(open_catalog: OpenCatalog, run: str, tmp_path: Path) -> None:
    path = write(tmp_path / "file")
    open_catalog(rse=WEB).put(f"{run}/web", path)
    open_catalog(rse=ROOT).put(f"{run}/root", path)
    names = [f"{run}/web", f"{run}/root", f"{run}/none"]
    catalog = open_catalog()
    found = catalog.replicas(names)
    assert found[names[2]] == {}
    assert found[names[0]][WEB].startswith("davs://127.0.0.1:")
    assert found[names[1]][ROOT].startswith("root://127.0.0.1:")
    # A replica that none of the schemes reaches is there, without a URL.
    assert open_catalog(schemes=["srm"]).replicas(names[:1]) == {names[0]: {WEB: ""}}
    assert (
        open_catalog(schemes=["https"], site=SITES[WEB])
        .replicas(names[:1])[names[0]][WEB]
        .startswith("https://")
    )


def test_a_thousand_files(open_catalog: OpenCatalog, rucio_server: RucioServer, run: str) -> None:
    short = run.partition(f"{SCOPE}/")[2]
    there = [f"{short}/f{number}" for number in range(1001)]
    rucio_server.client(ADD_REPLICAS, ROOT, SCOPE, there, f"{short}.data")
    catalog = open_catalog()
    catalog.facts([])  # nothing starts yet
    names = [f"{run}/f{number}" for number in range(1100)]
    catalog.facts(names[:1])
    before = rucio_server.requests()
    facts = catalog.facts(names)
    assert rucio_server.requests() - before == 2  # of 1,000 files and of 100
    assert [name for name, known in facts.items() if known is None] == names[1001:]
    before = rucio_server.requests()
    replicas = catalog.replicas(names)
    assert rucio_server.requests() - before == 5  # of 250 files each
    assert all(replicas[name][ROOT].startswith("root://") for name in names[:1001])
    assert not any(replicas[name] for name in names[1001:])
    before = rucio_server.requests()
    listed = catalog.listing(f"rucio://{SCOPE}/{short}.data")
    assert listed == sorted(names[:1001])
    assert rucio_server.requests() - before == 4  # is it a dataset, its files, which are left
    assert catalog.listing(run) == listed
    assert set(listed) < set(catalog.listing(f"rucio://{SCOPE}"))
    assert catalog.listing(f"{run}/none") == []
    assert catalog.listing("rucio://nobody") == []
    with pytest.raises(PermanentError, match="is a dataset in Rucio, not a file"):
        catalog.facts([f"{run}.data"])


def test_the_time_is_that_of_the_name(
    open_catalog: OpenCatalog,
    rucio_server: RucioServer,
    run: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"{run}/file"
    made = open_catalog(rse=ROOT).put(name, write(tmp_path / "file"))
    time.sleep(1.1)  # times are whole seconds
    change = """
scope, name = args
before = client.get_metadata(scope, name)["updated_at"]
client.set_metadata(scope, name, "project", "changed")
client.add_replication_rule([{"scope": scope, "name": name}], 1, "WEB_USERDISK", lifetime=99)
assert client.get_metadata(scope, name)["updated_at"] > before
"""
    rucio_server.client(change, SCOPE, name.partition(f"{SCOPE}/")[2])
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert open_catalog().facts([name]) == {name: made}
    finally:
        monkeypatch.undo()
        time.tzset()


def test_names_are_immutable(open_catalog: OpenCatalog, run: str, tmp_path: Path) -> None:
    catalog, name = open_catalog(rse=WEB), f"{run}/file"
    made = catalog.put(name, write(tmp_path / "file"))
    assert catalog.put(name, tmp_path / "file") == made  # a late duplicate of an attempt
    with pytest.raises(PermanentError) as raised:
        catalog.put(name, write(tmp_path / "other", b"CONTENT"))
    assert "is registered with 7 bytes and the checksum 0bcb02fc" in str(raised.value)
    assert "use another name" in str(raised.value)
    catalog.get(name, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"content"


def test_many_at_the_same_time(open_catalog: OpenCatalog, run: str, tmp_path: Path) -> None:
    catalog = open_catalog(rse=f"site={SITES[WEB]}|site={SITES[ROOT]}")
    contents = {f"{run}/f{number}": b"x" * (number + 1) for number in range(24)}

    def both_ways(name: str) -> bytes:
        path = write(tmp_path / name.rpartition("/")[2], contents[name])
        catalog.put(name, path)
        path.unlink()
        catalog.get(name, path)
        return path.read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert dict(zip(contents, pool.map(both_ways, contents), strict=True)) == contents
    assert all(catalog.facts(list(contents)).values())


def test_what_is_not_there_or_not_ours(open_catalog: OpenCatalog, run: str, tmp_path: Path) -> None:
    catalog = open_catalog(rse=ROOT)
    with pytest.raises(MissingError, match="does not exist in Rucio"):
        catalog.get(f"{run}/none", tmp_path / "back")
    path = write(tmp_path / "file")
    with pytest.raises(PermanentError, match="can not add file DIDs"):
        catalog.put(f"rucio://{OTHER_SCOPE}/file", path)
    with pytest.raises(PermanentError, match="see --storage-grid-rucio-rse"):
        open_catalog(rse="NONE").put(f"{run}/file", path)
    assert catalog.facts([f"rucio://{OTHER_SCOPE}/file"])[f"rucio://{OTHER_SCOPE}/file"] is None


@pytest.mark.parametrize("rse", [WEB, ROOT])
def test_workers_read_and_write(
    open_catalog: OpenCatalog, run: str, tmp_path: Path, rse: str
) -> None:
    """Without Rucio, by the URLs that we give them; we register what they have written."""
    catalog, name = open_catalog(rse=rse, lifetime=60), f"{run}/deep/file"
    path = write(tmp_path / "file")
    (url,) = catalog.write_urls([name]).values()
    folder, _, last = url.rpartition("/")
    worker.put(path, folder, last)
    facts = FileFacts(7, 0.0, "0bcb02fc")
    assert catalog.register({name: facts}) == {}
    assert catalog.register({name: facts}) == {}  # a late duplicate
    refused = catalog.register({name: FileFacts(8, 0.0, "0bcb02fc")})
    assert "use another name" in refused[name]
    catalog.get(name, tmp_path / "ours")
    assert catalog.replicas([name]) == {name: {rse: url}}
    worker.get(url, tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes() == b"content"


def test_the_urls_of_many_files(open_catalog: OpenCatalog, run: str) -> None:
    many = [f"{run}/a-long-name-with-a-number-{number}" for number in range(300)]
    urls = open_catalog(rse=ROOT).write_urls(many)
    assert all(urls[name].endswith(name.rpartition("/")[2]) for name in many)
    with pytest.raises(PermanentError, match="see --storage-grid-rucio-rse"):
        open_catalog().write_urls(many)
