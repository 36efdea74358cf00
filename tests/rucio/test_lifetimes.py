"""How files are kept and removed, on a real server."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.model.errors import PermanentError
from tests.servers.rucio.server import RucioServer
from tests.servers.rucio.settings import ACCOUNT, OTHER_SCOPE, ROOT, SCOPE, WEB

from .conftest import OpenCatalog
from .test_catalog import ADD_REPLICAS, write

pytestmark = [pytest.mark.rucio, pytest.mark.xdist_group("rucio")]


def rules(server: RucioServer, name: str) -> list[dict[str, Any]]:
    code = "print(json.dumps(list(client.list_did_rules(*args)), default=str))"
    found: list[dict[str, Any]] = json.loads(server.client(code, *did(name)))
    return found


def did(name: str) -> tuple[str, str]:
    scope, _, rest = name.removeprefix("rucio://").partition("/")
    return scope, rest


@pytest.mark.parametrize("rse", [WEB, ROOT])
def test_a_removed_file_is_absent_at_once_and_gone_later(
    open_catalog: OpenCatalog, rucio_server: RucioServer, run: str, tmp_path: Path, rse: str
) -> None:
    catalog, name, stays = open_catalog(rse=rse), f"{run}/file", f"{run}/stays"
    other = write(tmp_path / "other", b"other content")
    catalog.put(name, write(tmp_path / "file"))
    catalog.put(stays, other)
    assert catalog.remove([name, f"{run}/none"]) == {}
    assert catalog.facts([name])[name] is None
    assert catalog.listing(run) == [stays]
    assert catalog.remove([name]) == {}
    # Its name is not free yet.
    with pytest.raises(PermanentError, match="was removed, but is still registered"):
        catalog.put(name, other)
    ends_with = tuple(f"/{did(one)[1]}" for one in (name, stays))
    assert sum(path.endswith(ends_with) for path in rucio_server.files(rse)) == 2
    rucio_server.expire()
    assert sum(path.endswith(ends_with) for path in rucio_server.files(rse)) == 1
    made = catalog.put(name, other)
    assert made.size == len(b"other content")
    catalog.get(stays, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"other content"


def test_what_is_made_again_before_it_is_gone_stays(
    open_catalog: OpenCatalog, rucio_server: RucioServer, run: str, tmp_path: Path
) -> None:
    catalog, name = open_catalog(rse=ROOT, lifetime=3600), f"{run}/file"
    made = catalog.put(name, write(tmp_path / "file"))
    catalog.remove([name])
    assert catalog.put(name, tmp_path / "file") == made
    rucio_server.expire()
    catalog.get(name, tmp_path / "back")


def test_rules_have_the_lifetime(
    open_catalog: OpenCatalog, rucio_server: RucioServer, run: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "file")
    open_catalog(rse=ROOT).put(f"{run}/for-ever", path)
    (rule,) = rules(rucio_server, f"{run}/for-ever")
    assert (rule["account"], rule["rse_expression"], rule["expires_at"]) == (ACCOUNT, ROOT, None)
    short = open_catalog(rse=ROOT, lifetime=1)
    short.put(f"{run}/short", path)
    (rule,) = rules(rucio_server, f"{run}/short")
    assert rule["expires_at"] is not None
    time.sleep(1.5)
    rucio_server.expire()
    assert short.listing(run) == [f"{run}/for-ever"]


def test_what_belongs_to_others_is_not_removed(
    open_catalog: OpenCatalog, rucio_server: RucioServer, run: str, tmp_path: Path
) -> None:
    catalog, mine = open_catalog(rse=ROOT), f"{run}/mine"
    catalog.put(mine, write(tmp_path / "file"))
    theirs = f"rucio://{OTHER_SCOPE}/{did(run)[1]}"
    rucio_server.client(ADD_REPLICAS, ROOT, OTHER_SCOPE, [did(theirs)[1]], "", account="root")
    left = catalog.remove([mine, theirs])
    assert set(left) == {theirs}
    assert "denied" in left[theirs]
    facts = catalog.facts([mine, theirs])
    assert facts[mine] is None
    assert facts[theirs] is not None


def test_a_full_quota_leaves_no_file_without_a_rule(
    open_catalog: OpenCatalog, rucio_server: RucioServer, run: str, tmp_path: Path
) -> None:
    limit = "client.set_account_limit(*args)"
    catalog, name = open_catalog(rse=ROOT), f"{run}/file"
    rucio_server.client(limit, ACCOUNT, ROOT, 1, "local", account="root")
    try:
        with pytest.raises(PermanentError, match=r"quota.*; remove files, or ask for more"):
            catalog.put(name, write(tmp_path / "file"))
        assert catalog.facts([name])[name] is None
    finally:
        rucio_server.client(limit, ACCOUNT, ROOT, -1, "local", account="root")
    catalog.put(name, tmp_path / "file")
    assert len(rules(rucio_server, name)) == 1
    assert catalog.facts([name])[name] is not None


def test_a_killed_upload_is_made_again_with_other_content(
    open_catalog: OpenCatalog, rucio_server: RucioServer, run: str, tmp_path: Path
) -> None:
    """The bytes were there, whole or in part, and the name was not registered."""
    catalog, name = open_catalog(rse=ROOT), f"{run}/file"
    (url,) = catalog.write_urls([name]).values()
    place = rucio_server.settings.data(ROOT) / url.partition("//store/")[2]
    place.parent.mkdir(parents=True)
    for folder in place.parents:
        folder.chmod(0o777)
        if folder == rucio_server.settings.data(ROOT):
            break
    write(place, b"left")
    write(place.with_name(f"{place.name}.rucio.upload"), b"le")
    assert catalog.facts([name])[name] is None
    catalog.put(name, write(tmp_path / "file", b"new content"))
    catalog.get(name, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"new content"
    assert did(name)[0] == SCOPE
