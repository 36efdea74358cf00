"""Reports of workers: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.model import report as model
from snakemake_executor_plugin_grid.model.report import for_journal, load_report, parse_report
from snakemake_executor_plugin_grid.model.untrusted import UntrustedError
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.archive.member import Member
from snakemake_executor_plugin_grid.worker.report import Report, Returned

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
FULL = Report(
    name="j",
    reason=reports.SUCCESS,
    message="ü",
    exit_code=0,
    host="node",
    wms_id="12",
    times={"received": 1.5},
    cpu_seconds=2.5,
    peak_memory_mb=10.0,
    bytes_in=1,
    bytes_out=2,
    returned=[
        Returned(Member("work/a", "file", 0o644, 3, 123456789, A), "output", B),
        Returned(Member("work/l", "link", 0o777, 0, 1, target="../é\udc80"), "log", B),
        Returned(Member("up1/\udc80\n", "file", 0o644, 7, 1, C), "log", C, raw=True),
        Returned(Member("work/d", "dir", 0o755, 0, -1), "output", B),
        Returned(Member("work/d/x", "file", 0o644, 0, 1, A), "output", B),
    ],
    missing=["work/m"],
    undeclared=["work/u"],
    undeclared_count=5,
    left_out=["work/x: link"],
    blobs={B: 4, C: 7},
)


@pytest.mark.parametrize("report", [FULL, Report("j")])
def test_submit_host_reads_what_was_written(tmp_path: Path, report: Report) -> None:
    path = tmp_path / "report.json"
    report.write(path)
    assert load_report(path) == report
    assert list(tmp_path.iterdir()) == [path]


def test_report_of_an_earlier_version_may_lack_fields() -> None:
    assert parse_report(b'{"name": "j", "returned": []}') == Report("j")


@pytest.mark.parametrize("filler", ["{}", '{"a":0}', "[]", "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"])
def test_many_brackets_do_not_fill_the_memory(filler: str) -> None:
    data = f'{{"name":"j","returned":[{f"{filler}," * (2_000_000 // len(filler))}{{}}]}}'.encode()
    tracemalloc.start()
    with pytest.raises(UntrustedError, match="brackets"):
        parse_report(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_large_report_with_brackets_in_names_is_read(tmp_path: Path) -> None:
    names = [f"work/{{{number}}}[a=1,b=2].txt" for number in range(5000)]
    returned = [Returned(Member(name, "dir", 0o755, 0, 1), "output", B) for name in names]
    path = tmp_path / "report.json"
    Report("j", returned=returned, blobs={B: 1}).write(path)
    assert path.stat().st_size > 1 << 20
    assert [item.member.name for item in load_report(path).returned] == names


@pytest.mark.parametrize("large", [False, True])
def test_large_reports_are_read_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    locked = []
    monkeypatch.setattr(model, "parse_report", lambda _: locked.append(model._one_large.locked()))
    path = tmp_path / "report.json"
    path.write_bytes(bytes(2 << 20 if large else 100))
    load_report(path)
    assert (locked, model._one_large.locked()) == ([large], False)


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("report") / "report.json"
    FULL.write(path)
    fields: dict[str, Any] = json.loads(path.read_text())
    return fields


def change(*where: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def apply(fields: dict[str, Any]) -> None:
        place: Any = fields
        for key in where[:-1]:
            place = place[key]
        place[where[-1]] = to

    return apply


def member(key: str, to: Any, number: int = 0) -> Callable[[dict[str, Any]], None]:
    return change("returned", number, "member", key, to=to)


DAMAGED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    # What made `/home/me/.ssh/x` and `../../x` files of the submit host.
    "a path as digest": (change("blobs", "/home/me/.ssh/x", to=1), "no SHA-256"),
    "a path up as digest": (change("blobs", "../../x", to=1), "no SHA-256"),
    "digits of another script": (change("blobs", "\u0660" * 64, to=1), "no SHA-256"),
    "capital digits": (change("blobs", "A" * 64, to=1), "no SHA-256"),
    "a path as blob": (change("returned", 0, "blob", to="../../x"), "no SHA-256"),
    "a number as blob": (change("returned", 0, "blob", to=7), "returned.*text"),
    "a list as blob": (change("returned", 0, "blob", to=[A]), "returned.*text"),
    "no blob": (change("returned", 0, "blob", to=None), "returned.*text"),
    "a list as reason": (change("reason", to=["success"]), "reason.*text"),
    "a list as message": (change("message", to=["x"]), "message.*text"),
    "a list as host": (change("host", to=["x"]), "host.*text"),
    "an unknown reason": (change("reason", to="fine"), "reason.*'fine'.*unknown"),
    "an unknown field": (change("surprise", to=1), "unknown field 'surprise'"),
    "an unknown step": (change("times", "lunch", to=1.0), "times.*unknown field 'lunch'"),
    "a text as time": (change("times", "received", to="1"), "times: received.*number"),
    "a truth value as time": (change("times", "received", to=True), "times: received.*number"),
    "a huge time": (change("times", "received", to=1e300), "times: received.*between"),
    "an early time": (change("times", "received", to=-1.0), "times: received.*between"),
    "times as list": (change("times", to=[1]), "times.*object"),
    "infinite memory": (change("peak_memory_mb", to=float("inf")), "Infinity"),
    "memory that is no number": (change("peak_memory_mb", to=float("nan")), "NaN"),
    "a truth value as size": (change("bytes_in", to=True), "bytes_in.*number"),
    "a fraction as size": (change("bytes_in", to=1.5), "bytes_in.*number"),
    "a huge size": (change("bytes_out", to=1 << 70), "bytes_out.*between"),
    "a negative size of a blob": (change("blobs", B, to=-1), "blobs.*between"),
    "an impossible exit code": (change("exit_code", to=1000), "exit_code.*between"),
    "a truth value as exit code": (change("exit_code", to=False), "exit_code.*number"),
    "a name of no job": (change("name", to="../x"), "name.*job"),
    "returned is null": (change("returned", to=None), "returned.*list"),
    "an entry that is a number": (change("returned", 0, to=1), "returned.*object"),
    "an entry without a member": (change("returned", 0, to={"kind": "log"}), "'member'"),
    "a member that is a number": (change("returned", 0, "member", to=3), "returned.*object"),
    "a member without fields": (change("returned", 0, "member", to={"name": "work/a"}), "'kind'"),
    "a member with a field more": (member("surprise", 1), "unknown field 'surprise'"),
    "raw is a number": (change("returned", 0, "raw", to=1), "returned.*truth"),
    "an unknown kind": (change("returned", 0, "kind", to="staying"), "'staying'.*unknown"),
    "an absolute name": (member("name", "/etc/passwd"), "absolute"),
    "a name that climbs": (member("name", "work/../../x"), "not a plain path"),
    "a name in no root": (member("name", "elsewhere/x"), "elsewhere/x.*'work'"),
    "a name in a root of many digits": (member("name", f"up{'9' * 5000}/x"), "too long"),
    "a name in root 0": (member("name", "up0/x"), "'work'"),
    "a name of 300 characters": (member("name", "work/" + "x" * 300), "too long"),
    "a name of 256 bytes": (member("name", "work/" + "ä" * 128), "too long"),
    "a path of 6000 bytes": (member("name", "work/" + "x/" * 3000 + "x"), "too long"),
    "a name with a lone surrogate": (member("name", "work/\ud800"), "surrogate"),
    "a name with a zero byte": (member("name", "work/\0"), "plain path"),
    "a name twice": (member("name", "work/l"), "twice"),
    "a name below a file": (member("name", "work/a/b", 4), "work/a.*no folder"),
    "a file below a link": (member("name", "work/l/x", 4), "work/l.*no folder"),
    "a huge modification time": (member("mtime_ns", 10**30), "mtime_ns"),
    "a negative size": (member("size", -1), "size"),
    "a folder with a size": (member("size", 1, 3), "dir.*size"),
    "a file without a digest": (member("sha256", ""), "no SHA-256"),
    "a target with a zero byte": (member("target", "a\0b", 1), "target"),
    "a target with a lone surrogate": (member("target", "\ud800", 1), "target"),
    "a target of a file": (member("target", "x"), "target"),
    "a blob of no file": (change("blobs", A, to=1), "blobs"),
    "a file without its blob": (change("blobs", to={}), "blobs"),
    "a raw file with another digest": (member("sha256", A, 2), "contradicts itself"),
    "a raw file with another size": (member("size", 8, 2), "contradicts itself"),
    "more undeclared files than are listed": (change("undeclared", to=["x"] * 101), "undeclared"),
    "undeclared names that are lists": (change("undeclared", to=[["x"]]), "undeclared.*text"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_report_is_refused(genuine: dict[str, Any], damage: str) -> None:
    fields = deepcopy(genuine)
    apply, words = DAMAGED[damage]
    apply(fields)
    with pytest.raises(UntrustedError, match=words) as caught:
        parse_report(json.dumps(fields).encode())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not JSON"),
        (b'{"name": "j", ', "not JSON"),
        (b"[]", "object"),
        (b"null", "object"),
        (b'"text"', "object"),
        (b"{}", "'name'"),
        (b'{"name": "j"}', "'returned'"),
        (b'{"returned": []}', "'name'"),
        (b'{"name": "\\ud800', "not JSON"),
        (b"\xff\xfe\x00{}", "UTF-8"),
        (b"\x80\x81", "UTF-8"),
        ('{"name": "j", "returned": []}'.encode("utf-16"), "UTF-8"),
        (b'{"name": "j", "name": "j", "returned": []}', "twice"),
        (b'{"returned": ' + 100_000 * b"[", "nested"),
        (b'{"returned": [], "bytes_in": ' + 5000 * b"1" + b"}", "digits"),
    ],
)
def test_text_that_is_no_report_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(UntrustedError, match=words):
        parse_report(data)


def test_texts_for_the_user_hold_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    hostile = "\x1b]0;title\x07\x1b[31mred\x1b[0m\r\n\x00\x9b2J\u202e\ud800"
    report = replace(FULL, message=hostile, host=hostile, site=hostile, python=hostile)
    report = replace(report, missing=[hostile], undeclared=[hostile], left_out=[hostile])
    report.write(tmp_path / "report.json")
    read = load_report(tmp_path / "report.json")
    for text in (read.message, read.host, read.site, read.python, *read.missing, *read.left_out):
        assert text.isprintable()
        assert "red" in text
        assert "title" not in text
    assert read.undeclared[0].isprintable()


def test_long_message_is_cut_not_refused() -> None:
    report = parse_report(
        json.dumps({"name": "j", "returned": [], "message": "x" * 10**6}).encode()
    )
    assert 1000 < len(report.message) < 20_000


def test_missing_report_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_report(tmp_path / "report.json")


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_report_that_is_not_a_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "report.json"
    if kind == "link":
        FULL.write(tmp_path / "other")
        path.symlink_to("other")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(UntrustedError, match="regular file"):
        load_report(path)


def test_report_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "MOST_BYTES", 1 << 20)
    path = tmp_path / "report.json"
    path.touch()
    os.truncate(path, 1 << 40)  # holes only
    with pytest.raises(UntrustedError, match="more than 1 MiB"):
        load_report(path)


def test_journal_gets_numbers_and_the_beginning_of_lists() -> None:
    report = replace(FULL, left_out=["x"] * 10_000, missing=["y"] * 10_000)
    noted = for_journal(report)
    assert noted["returned"] == 5
    assert noted["times"] == FULL.times
    assert len(json.dumps(noted)) < 10_000
