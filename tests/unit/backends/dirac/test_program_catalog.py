"""The calls of the client process for files in the catalog, on a DIRAC in memory."""

from __future__ import annotations

import sys
import time
import types
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.dirac.program import catalog
from snakemake_executor_plugin_grid.backends.dirac.program.replies import ReplyError
from snakemake_executor_plugin_grid.backends.dirac.replies import classify
from snakemake_executor_plugin_grid.model.errors import PermanentError

ABSENT = "No such file or directory"
Reply = dict[str, Any]


def ok(value: Any) -> Reply:
    return {"OK": True, "Value": value}


class FakeDirac:
    """A catalog and storage elements; ``broken`` are failures, by method and file."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.bytes: dict[str, set[str]] = {"SE-1": set(), "SE-2": set()}
        self.broken: dict[tuple[str, str], str] = {}
        self.folders: dict[str, Reply] = {}
        self.appears: dict[str, Any] | None = None
        self.spoiled = False

    def add(self, lfn: str, content: bytes = b"old", *elements: str) -> None:
        where = elements or ("SE-1",)
        for element in where:
            self.bytes[element].add(lfn)
        self.entries[lfn] = {
            "Size": len(content),
            "CreationDate": datetime(2026, 11, 30, 12, 0, 0),
            "ModificationDate": datetime(2027, 1, 1, 12, 0, 0),
            "Checksum": f"{zlib.adler32(content):x}",
            "ChecksumType": "Adler32",
            "at": where,
        }

    def _each(self, method: str, lfns: Sequence[str], value: Any) -> Reply:
        successful, failed = {}, {}
        for lfn in lfns:
            if (method, lfn) in self.broken:
                failed[lfn] = self.broken[method, lfn]
            elif lfn not in self.entries:
                failed[lfn] = ABSENT
            else:
                successful[lfn] = value(lfn)
        return ok({"Successful": successful, "Failed": failed})

    def getFileMetadata(self, lfns: list[str]) -> Reply:  # noqa: N802
        return self._each("metadata", lfns, lambda lfn: self.entries[lfn])

    def getReplicas(self, lfns: list[str], allStatus: bool) -> Reply:  # noqa: N802, N803
        return self._each("replicas", lfns, lambda lfn: dict.fromkeys(self.entries[lfn]["at"], lfn))

    def listDirectory(self, folders: list[str]) -> Reply:  # noqa: N802
        successful = {one: self.folders[one] for one in folders if one in self.folders}
        failed = {one: "Directory not found" for one in folders if one not in self.folders}
        return ok({"Successful": successful, "Failed": failed})

    def removeFile(self, lfns: list[str]) -> Reply:  # noqa: N802
        def remove(lfn: str) -> bool:
            for element in self.entries.pop(lfn)["at"]:
                if ("physical", lfn) not in self.broken:
                    self.bytes[element].discard(lfn)
            return True

        return self._each("remove", lfns, remove)

    def putAndRegister(self, lfn: str, path: str, element: str, checksum: str) -> Reply:  # noqa: N802
        if self.appears is not None:
            self.entries[lfn] = self.appears
        if lfn in self.entries:
            message = f"The supplied LFN already exists in the File Catalog. {lfn}"
            return {"OK": False, "Message": message}
        self.add(lfn, Path(path).read_bytes()[: 1 if self.spoiled else None], element)
        assert self.spoiled or checksum == f"{zlib.adler32(Path(path).read_bytes()):08x}"
        return ok({"Successful": {lfn: {}}, "Failed": {}})


class FakeElement:
    def __init__(self, dirac: FakeDirac, name: str) -> None:
        self.dirac, self.name = dirac, name

    def exists(self, lfns: list[str]) -> Reply:
        held = self.dirac.bytes[self.name]
        return ok({"Successful": {lfn: lfn in held for lfn in lfns}, "Failed": {}})

    def removeFile(self, lfns: list[str]) -> Reply:  # noqa: N802
        failed = {lfn: "busy" for lfn in lfns if ("physical", lfn) in self.dirac.broken}
        self.dirac.bytes[self.name] -= set(lfns) - failed.keys()
        return ok({"Successful": {}, "Failed": failed})

    def getURL(self, lfns: list[str], protocol: list[str]) -> Reply:  # noqa: N802
        if self.name == "SE-1":
            return {"OK": False, "Message": "no such protocol"}
        return ok({"Successful": {lfn: f"root://se2/{lfn}" for lfn in lfns}, "Failed": {}})


@pytest.fixture
def dirac(monkeypatch: pytest.MonkeyPatch) -> FakeDirac:
    fake = FakeDirac()
    monkeypatch.setattr(catalog, "_catalog", lambda: fake)
    monkeypatch.setattr(catalog, "_data", lambda: fake)
    module = types.ModuleType("StorageElement")
    module.StorageElement = lambda name: FakeElement(fake, name)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "DIRAC.Resources.Storage.StorageElement", module)
    return fake


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize(
    "date",
    [
        datetime(2026, 11, 30, 12, 0, 0),
        datetime(2026, 11, 30, 13, 0, 0, tzinfo=timezone(timedelta(hours=1))),
        "2026-11-30 12:00:00",
        "2026-11-30T12:00:00Z",
        "2026-11-30T12:00:00+00:00",
    ],
)
def test_dates_are_in_utc(monkeypatch: pytest.MonkeyPatch, zone: str, date: Any) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert catalog.seconds_of(date) == 1796040000.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_something_that_is_no_date_is_an_error() -> None:
    with pytest.raises(ReplyError, match="no date but None"):
        catalog.seconds_of(None)


def test_facts_are_those_of_the_content(dirac: FakeDirac) -> None:
    dirac.add("/vo/a")
    dirac.entries["/vo/b"] = {**dirac.entries["/vo/a"], "Checksum": "AB", "ChecksumType": ""}
    dirac.entries["/vo/c"] = {**dirac.entries["/vo/a"], "ChecksumType": "MD5"}
    found = catalog.look_up_files(["/vo/a", "/vo/b", "/vo/c", "/vo/absent"])
    assert found == {
        "/vo/a": (3, 1796040000.0, "028c0140"),
        "/vo/b": (3, 1796040000.0, "000000ab"),
        "/vo/c": (3, 1796040000.0, ""),
        "/vo/absent": None,
    }


def test_an_error_for_one_file_is_not_absence(dirac: FakeDirac) -> None:
    dirac.add("/vo/a")
    dirac.broken["metadata", "/vo/a"] = "Permission denied"
    with pytest.raises(ReplyError, match="/vo/a: Permission denied") as raised:
        catalog.look_up_files(["/vo/a"])
    assert classify(str(raised.value)) is PermanentError


@pytest.mark.parametrize(
    ("ping", "said"),
    [
        ({"OK": False, "Message": "('::1', 9197) [Errno 111] Connection refused"}, "'::1', 9197"),
        ({"OK": False, "Message": "URL for service FileCatalog not found"}, "1604"),
        ({"OK": True, "Value": {}}, "1604"),
    ],
)
def test_why_the_catalog_does_not_answer(
    dirac: FakeDirac, monkeypatch: pytest.MonkeyPatch, ping: Reply, said: str
) -> None:
    message = "FileCatalog error ( 1604 : Failed to perform getFileMetadata from any catalog)"
    monkeypatch.setattr(dirac, "getFileMetadata", lambda _: {"OK": False, "Message": message})
    module = types.ModuleType("FileCatalogClient")
    module.FileCatalogClient = lambda: types.SimpleNamespace(  # type: ignore[attr-defined]
        ping=lambda: ping
    )
    monkeypatch.setitem(sys.modules, "DIRAC.Resources.Catalog.FileCatalogClient", module)
    with pytest.raises(ReplyError, match=said):
        catalog.look_up_files(["/vo/a"])


def test_replicas_have_urls_where_there_are_any(dirac: FakeDirac) -> None:
    dirac.add("/vo/a", b"x", "SE-1", "SE-2")
    dirac.broken["replicas", "/vo/none"] = "File has zero replicas"
    assert catalog.find_replicas(["/vo/a", "/vo/none", "/vo/absent"]) == {
        "/vo/a": {"SE-1": "", "SE-2": "root://se2//vo/a"},
        "/vo/none": {},
        "/vo/absent": {},
    }


def test_a_tree_is_one_question_for_each_level(dirac: FakeDirac) -> None:
    dirac.folders = {
        "/vo/run": {"Files": {"/vo/run/a": {}, "/etc/passwd": {}}, "SubDirs": {"/vo/run/s": {}}},
        "/vo/run/s": {"Files": {"/vo/run/s/b": {}}, "SubDirs": {}},
    }
    assert catalog.list_folder("/vo/run") == ["/vo/run/a", "/vo/run/s/b"]
    assert catalog.list_folder("/vo/absent") == []


@pytest.fixture
def new(tmp_path: Path) -> str:
    (tmp_path / "new").write_bytes(b"new")
    return str(tmp_path / "new")


NEW = (3, 1796040000.0, "028e014b")


def test_a_file_takes_the_place_of_the_old_one(dirac: FakeDirac, new: str) -> None:
    dirac.add("/vo/a", b"older")
    assert catalog.store_file("/vo/a", new, "SE-2") == NEW
    assert dirac.bytes == {"SE-1": set(), "SE-2": {"/vo/a"}}


@pytest.mark.parametrize(("content", "same"), [(b"new", True), (b"other", False), (b"nev", False)])
def test_a_file_that_appears_meanwhile(
    dirac: FakeDirac, new: str, content: bytes, same: bool
) -> None:
    dirac.add("/vo/other", content)
    dirac.appears = dirac.entries.pop("/vo/other")
    if same:
        assert catalog.store_file("/vo/a", new, "SE-1") == NEW
    else:
        with pytest.raises(ReplyError, match="already exists in the file catalog, with other"):
            catalog.store_file("/vo/a", new, "SE-1")


def test_an_upload_that_is_not_whole_is_an_error(dirac: FakeDirac, new: str) -> None:
    dirac.spoiled = True
    with pytest.raises(ReplyError, match="/vo/a has not arrived whole on SE-1"):
        catalog.store_file("/vo/a", new, "SE-1")


def test_an_old_file_that_cannot_be_removed_is_an_error(dirac: FakeDirac, new: str) -> None:
    dirac.add("/vo/a")
    dirac.broken["remove", "/vo/a"] = "Write access not permitted"
    with pytest.raises(ReplyError, match="Write access"):
        catalog.store_file("/vo/a", new, "SE-1")
    assert "/vo/a" in dirac.entries


def test_files_are_removed_with_their_replicas(dirac: FakeDirac) -> None:
    dirac.add("/vo/a", b"x", "SE-1", "SE-2")
    dirac.add("/vo/b")
    assert catalog.remove_files(["/vo/a", "/vo/b", "/vo/absent"], ["SE-1"]) == {}
    assert dirac.bytes == {"SE-1": set(), "SE-2": set()}


def test_what_is_still_registered_has_a_reason(dirac: FakeDirac) -> None:
    dirac.add("/vo/a")
    dirac.broken["remove", "/vo/a"] = "Write access not permitted"
    assert catalog.remove_files(["/vo/a"], []) == {"/vo/a": "Write access not permitted"}


@pytest.mark.parametrize("told", [True, False])
def test_a_replica_without_an_entry_is_removed(
    dirac: FakeDirac, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """DIRAC can be set to call a file removed that its catalog does not have."""
    if not told:
        nothing = ok({"Successful": {"/vo/a": True}, "Failed": {}})
        monkeypatch.setattr(dirac, "removeFile", lambda _: nothing)
    dirac.bytes["SE-1"].add("/vo/a")
    assert catalog.remove_files(["/vo/a"], ["SE-1"]) == {}
    assert not dirac.bytes["SE-1"]


def test_a_replica_without_an_entry_that_stays_has_a_reason(dirac: FakeDirac) -> None:
    dirac.bytes["SE-1"].add("/vo/a")
    dirac.broken["physical", "/vo/a"] = "busy"
    assert catalog.remove_files(["/vo/a"], ["SE-1"]) == {"/vo/a": "a replica is left on SE-1: busy"}
