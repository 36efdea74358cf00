from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from snakemake_executor_plugin_grid.backends.dirac.client import Client
from snakemake_executor_plugin_grid.backends.dirac.file_catalog import DiracCatalog
from snakemake_executor_plugin_grid.model.errors import (
    MissingError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts


class FakeClient:
    """The client process, with what it answers to each call."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[Any, ...]] = []
        self.closed = False

    def call_now(self, name: str, *args: Any, limit: float = 0) -> Any:
        self.asked.append((name, *json.loads(json.dumps(args))))
        answer = self.answers[name]
        return json.loads(json.dumps(answer(*args) if callable(answer) else answer))

    def close(self) -> None:
        self.closed = True


def catalog_of(client: FakeClient, element: str = "SE-1") -> DiracCatalog:
    return DiracCatalog(cast(Client, client), element)


def test_facts_of_many_files() -> None:
    names = [f"lfn:/vo/{n}" for n in range(1001)]
    client = FakeClient(look_up_files=lambda lfns: {lfn: [7, 5.0, "0000000a"] for lfn in lfns[1:]})
    found = catalog_of(client).facts(names)
    assert found[names[0]] is found[names[1000]] is None
    assert found[names[1]] == FileFacts(7, 5.0, "0000000a")
    assert [len(lfns) for _, lfns in client.asked] == [1000, 1]
    assert client.asked[0][1][0] == "/vo/0"


def test_replicas() -> None:
    client = FakeClient(find_replicas={"/vo/a": {"SE-1": "", "SE-2": "root://host//vo/a"}})
    assert catalog_of(client).replicas(["lfn:/vo/a", "lfn:/vo/b"]) == {
        "lfn:/vo/a": {"SE-1": "", "SE-2": "root://host//vo/a"},
        "lfn:/vo/b": {},
    }


def test_files_by_folder_and_by_metadata() -> None:
    client = FakeClient(list_folder=["/vo/run/a"], find_files=["/vo/run/b"])
    catalog = catalog_of(client)
    assert catalog.listing("lfn:/vo/run/") == ["lfn:/vo/run/a"]
    assert catalog.find("lfn:/vo", {"run": {">": 3}}) == ["lfn:/vo/run/b"]
    assert catalog.find("lfn:/", {"run": 3}) == ["lfn:/vo/run/b"]
    assert client.asked == [
        ("list_folder", "/vo/run"),
        ("find_files", {"run": {">": 3}}, "/vo"),
        ("find_files", {"run": 3}, "/"),
    ]


def downloads(content: bytes) -> Any:
    def get(lfn: str, folder: str) -> str:
        path = Path(folder) / lfn.rpartition("/")[2]
        path.write_bytes(content)
        return str(path)

    return get


def test_a_download_is_whole_when_it_is_there(tmp_path: Path) -> None:
    client = FakeClient(get=downloads(b"new"))
    target = tmp_path / "other name"
    catalog_of(client).get("lfn:/vo/a", target)
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_download_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def get(lfn: str, folder: str) -> str:
        downloads(b"par")(lfn, folder)
        raise PermanentError("checksum mismatch")

    with pytest.raises(PermanentError):
        catalog_of(FakeClient(look_up_files={"/vo/a": [3, 5.0, ""]}, get=get)).get(
            "lfn:/vo/a", tmp_path / "a"
        )
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_not_fetched_again(tmp_path: Path) -> None:
    """With 9.1.22, and two replicas: that of the last one is told."""

    def get(lfn: str, folder: str) -> str:
        raise TransientError(
            "DIRAC, asked to get: /vo/a: Bad checksum ( 1112 : downloaded = a, catalog = b)"
        )

    with pytest.raises(PermanentError, match=r"lfn:/vo/a is damaged: .*downloaded = a"):
        catalog_of(FakeClient(get=get)).get("lfn:/vo/a", tmp_path / "a")


def refuses(lfn: str, folder: str) -> str:
    raise PermanentError("No such file or directory")


def test_an_entry_without_bytes_is_an_empty_file(tmp_path: Path) -> None:
    client = FakeClient(look_up_files={"/vo/a": [0, 5.0, ""]}, get=refuses)
    catalog_of(client).get("lfn:/vo/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b""


def test_an_absent_file_cannot_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="lfn:/vo/a: there is no such file"):
        catalog_of(FakeClient(look_up_files={"/vo/a": None}, get=refuses)).get(
            "lfn:/vo/a", tmp_path / "a"
        )


def test_an_upload(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("new")
    client = FakeClient(store_file=[3, 5.0, "02820145"])
    facts = catalog_of(client).put("lfn:/vo/a", tmp_path / "a")
    assert facts == FileFacts(3, 5.0, "02820145")
    assert client.asked == [("store_file", "/vo/a", str(tmp_path / "a"), "SE-1")]


def test_empty_files_and_a_missing_element_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    client = FakeClient()
    with pytest.raises(PermanentError, match="DIRAC takes no empty files"):
        catalog_of(client).put("lfn:/vo/a", tmp_path / "a")
    with pytest.raises(PermanentError, match="--storage-grid-storage-element"):
        catalog_of(client, "").put("lfn:/vo/a", tmp_path / "a")
    assert not client.asked


def test_files_are_removed_in_bulk() -> None:
    names = [f"lfn:/vo/{n}" for n in range(250)]
    client = FakeClient(remove_files=lambda lfns, _: {"/vo/7": "busy"} if "/vo/7" in lfns else {})
    assert catalog_of(client).remove(names) == {"lfn:/vo/7": "busy"}
    assert [len(lfns) for _, lfns, _ in client.asked] == [100, 100, 50]
    assert client.asked[0][2] == ["SE-1"]


def test_whoever_shares_the_client_closes_it() -> None:
    client, ended = FakeClient(), []
    DiracCatalog(cast(Client, client), "", close=lambda: ended.append(True)).close()
    assert (ended, client.closed) == ([True], False)
    catalog_of(client).close()
    assert client.closed
