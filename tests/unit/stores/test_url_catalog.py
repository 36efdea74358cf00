"""Files on servers without a catalog, on real WebDAV and XRootD servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import (
    MissingError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.stores.url_catalog import UrlCatalog
from tests.servers.stores.fixtures import webdav
from tests.servers.stores.flaky import Handler, flaky
from tests.servers.stores.webdav import WebDavServer
from tests.servers.stores.xrootd import XrootdServer, xrootd_server

from .transport_servers import dav, make, no_credentials

__all__ = ["dav", "make", "no_credentials", "webdav"]


@dataclass
class Bench:
    """A catalog, and a folder of a server."""

    catalog: UrlCatalog
    url: str
    data: Path
    server: WebDavServer | XrootdServer

    def add(self, name: str, content: bytes = b"content") -> str:
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return f"{self.url}/{name}"


@pytest.fixture(scope="module")
def shared() -> Iterator[XrootdServer]:
    if find_spec("XRootD") is None:
        pytest.skip("there is no XRootD library: pip install '.[xrootd]'")
    with xrootd_server() as server:
        yield server


@pytest.fixture(params=["dav", "davs", "root"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    catalog = UrlCatalog(None, tmp_path / "xrootd.log")
    if request.param == "root":
        server: XrootdServer = request.getfixturevalue("shared")
        folder = request.node.name
        place = server.data(f"/store/{folder}")
        place.mkdir()
        place.chmod(0o777)
        yield Bench(catalog, f"{server.url}/{folder}", place, server)
    else:
        web: WebDavServer = request.getfixturevalue("dav")
        (web.data / "d").mkdir()
        (web.data / "d").chmod(0o777)
        url = web.url if request.param == "dav" else web.tls_url
        yield Bench(catalog, f"{url}/d", web.data / "d", web)
    catalog.close()


def test_what_is_there_and_what_is_not(bench: Bench) -> None:
    there = [bench.add(f"f{number}", b"x" * number) for number in range(40)]
    names = [*there, f"{bench.url}/none", f"{bench.url}/no/such"]
    found = bench.catalog.facts(names)
    assert list(found) == names
    assert [found[name].size for name in there] == list(range(40))  # type: ignore[union-attr]
    assert found[names[-1]] is found[names[-2]] is None
    facts = found[there[3]]
    assert facts is not None
    assert abs(facts.mtime - time.time()) < 60
    # Apache tells no checksum.
    assert facts.adler32 == ("02d30169" if isinstance(bench.server, XrootdServer) else "")


def test_a_folder_is_no_file(bench: Bench) -> None:
    bench.add("sub/file")
    if isinstance(bench.server, XrootdServer):
        with pytest.raises(PermanentError, match="is a folder"):
            bench.catalog.facts([f"{bench.url}/sub"])


def test_a_server_that_is_away_is_an_error(bench: Bench) -> None:
    names = [bench.add("a"), f"{bench.url}/none"]
    bench.server.stop()
    try:
        for call in (bench.catalog.facts, bench.catalog.remove):
            with pytest.raises(TransientError, match=r"127\.0\.0\.1"):
                call(names)
        with pytest.raises(TransientError):
            bench.catalog.listing(bench.url)
    finally:
        bench.server.start()
    found = bench.catalog.facts(names)
    assert found[names[0]] is not None
    assert found[names[1]] is None


@pytest.mark.parametrize(
    "content", [b"", b"some content", b"\0\xff" * 1_000_000], ids=["empty", "small", "large"]
)
def test_what_is_put_is_got(bench: Bench, tmp_path: Path, content: bytes) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    here.write_bytes(content)
    name = f"{bench.url}/deep/er/a b.bin"
    made = bench.catalog.put(name, here)
    assert made.size == len(content)
    assert bench.catalog.facts([name]) == {name: made}
    assert bench.catalog.listing(bench.url) == [name]
    bench.catalog.get(name, back)
    assert back.read_bytes() == content
    here.write_bytes(b"other")
    assert bench.catalog.put(name, here).size == 5
    assert [path.name for path in bench.data.glob("deep/er/*") if path.is_file()] == ["a b.bin"]
    with pytest.raises(MissingError, match="does not exist"):
        bench.catalog.get(f"{bench.url}/none", back)
    assert {path.name for path in tmp_path.iterdir()} >= {"here", "back"}
    assert not list(tmp_path.glob(".*.part"))


def test_a_folder_is_listed_with_those_below(bench: Bench) -> None:
    names = [bench.add(name) for name in ("a", "b/c", "b/d/e f", "größe")]
    bench.add("b/.0123ABCD-00.part")
    assert bench.catalog.listing(bench.url) == sorted(names)
    assert bench.catalog.listing(f"{bench.url}/b/d") == [f"{bench.url}/b/d/e f"]
    assert bench.catalog.listing(f"{bench.url}/none") == []


def test_files_are_removed_in_bulk(bench: Bench) -> None:
    names = [bench.add(f"f{number}") for number in range(30)]
    assert bench.catalog.remove([*names[:29], f"{bench.url}/none"]) == {}
    assert bench.catalog.listing(bench.url) == names[29:]


def test_what_cannot_be_removed_is_named(shared: XrootdServer, tmp_path: Path) -> None:
    catalog = UrlCatalog(None, tmp_path / "log")
    shared.data("/readonly/a").write_bytes(b"a")
    name = shared.at("/readonly/a")
    assert "read" in catalog.remove([name])[name]
    catalog.close()


def test_characters_that_a_url_quotes(dav: WebDavServer, tmp_path: Path) -> None:
    (dav.data / "50%25 #1?").write_text("text")
    catalog = UrlCatalog(None, tmp_path / "log")
    (name,) = catalog.listing(dav.url)
    assert name == f"{dav.url}/50%2525 %231%3F"
    assert catalog.facts([name])[name] is not None
    assert catalog.remove([name]) == {}
    assert dav.files() == {}


def told(digest: str) -> str:
    def answer(handler: Handler) -> None:
        modified = "Mon, 30 Nov 2026 08:00:00 GMT"
        handler.answer(200, Content_Length="3", Last_Modified=modified, Digest=digest)

    with flaky(answer) as server:
        catalog = UrlCatalog(None, Path("log"))
        name = f"dav://127.0.0.1:{server.server_port}/a"
        facts = catalog.facts([name])[name]
        assert facts is not None
        assert facts.mtime == 1_796_025_600.0
        (_, _, headers) = server.seen[0]
        assert headers["Want-Digest"] == "adler32"
        return facts.adler32


@pytest.mark.parametrize(
    ("digest", "adler32"),
    [
        ("adler32=A1b2c3d", "0a1b2c3d"),
        ("md5=HUXZLQLMuI/KZ5KDcJPcOA==,adler32=0a1b2c3d", "0a1b2c3d"),
        ("md5=HUXZLQLMuI/KZ5KDcJPcOA==", ""),
        ("adler32=notahexnumber", ""),
    ],
)
def test_the_checksum_that_a_server_tells(digest: str, adler32: str) -> None:
    assert told(digest) == adler32


@pytest.mark.parametrize("status", [401, 403, 500, 503, 400])
def test_an_error_is_never_an_absent_file(status: int, tmp_path: Path) -> None:
    catalog = UrlCatalog(None, tmp_path / "log")
    with (
        flaky(lambda handler: handler.answer(status)) as server,
        pytest.raises((PermanentError, TransientError)),
    ):
        catalog.facts([f"http://127.0.0.1:{server.server_port}/a"])


def test_files_for_all_are_read_without_credentials(dav: WebDavServer, tmp_path: Path) -> None:
    catalog = UrlCatalog(None, tmp_path / "log")

    def answer(handler: Handler) -> None:
        assert "Authorization" not in handler.headers
        handler.answer(200, b"data")

    with flaky(answer) as server:
        name = f"{server.url}/a"
        catalog.get(name, tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == b"data"
        with pytest.raises(PermanentError, match="can only be read"):
            catalog.put(name, tmp_path / "a")
    (dav.data / "a").write_text("for some")
    with pytest.raises(PermanentError, match="sent to davs:// URLs only"):
        catalog.facts([f"http://127.0.0.1:{dav.port}/a"])


def test_few_connections_at_a_time(tmp_path: Path) -> None:
    at_a_time: list[int] = [0, 0]

    def answer(handler: Handler) -> None:
        with handler.server.lock:
            at_a_time[0] += 1
            at_a_time[1] = max(at_a_time)
        time.sleep(0.01)
        with handler.server.lock:
            at_a_time[0] -= 1
        handler.answer(200, Content_Length="3")

    with flaky(answer) as server:
        catalog = UrlCatalog(None, tmp_path / "log")
        base = f"dav://127.0.0.1:{server.server_port}"
        with ThreadPoolExecutor(3) as pool:
            for found in pool.map(catalog.facts, [[f"{base}/{n}" for n in range(40)]] * 3):
                assert all(found.values())
    assert 2 <= at_a_time[1] <= 8


def test_a_damaged_download_is_not_taken(tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        handler.answer(200, b"abd", Digest="adler32=024d0127")

    with flaky(answer) as server:
        catalog = UrlCatalog(None, tmp_path / "log")
        with pytest.raises(PermanentError, match="arrived damaged: 3 bytes with the Adler-32"):
            catalog.get(f"{server.url}/a", tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_an_upload_that_arrives_damaged_replaces_nothing(tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        if handler.command == "PUT":
            handler.ask_for_body()
        handler.answer(200, Content_Length="3", Digest="adler32=00000001")

    (tmp_path / "a").write_bytes(b"abc")
    with flaky(answer) as server:
        catalog = UrlCatalog(None, tmp_path / "log")
        with pytest.raises(PermanentError, match="after the upload"):
            catalog.put(f"dav://127.0.0.1:{server.server_port}/a", tmp_path / "a")
        methods = [method for method, _, _ in server.seen]
    assert "MOVE" not in methods
    assert methods[-1] == "DELETE"


def test_what_is_left_is_removed_while_python_ends(dav: WebDavServer, tmp_path: Path) -> None:
    (dav.data / "a").write_text("a")
    catalog = UrlCatalog(None, tmp_path / "log")
    catalog.close()  # no thread can be started any more, as at the end of the program
    assert catalog.remove([f"{dav.url}/a"]) == {}
    assert dav.files() == {}
