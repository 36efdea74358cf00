"""The program that runs with rucio-clients, on answers as those of a real server."""

from __future__ import annotations

import datetime
import logging
import sys
import time
import types
from typing import Any

import pytest

from snakemake_executor_plugin_grid.stores.rucio.program import calls, connection, names, rows
from snakemake_executor_plugin_grid.stores.rucio.program.errors import (
    CallError,
    DamagedError,
    MovingError,
    TakenError,
)
from snakemake_executor_plugin_grid.stores.rucio.program.notes import Notes
from snakemake_executor_plugin_grid.stores.rucio.program.registering import keep, register, same

MADE = datetime.datetime(2026, 11, 30, 6, 16, 35)
ROW = {
    "scope": "s",
    "name": "f",
    "did_type": "FILE",
    "bytes": 18,
    "adler32": "3ad405dc",
    "created_at": MADE,
    "updated_at": MADE + datetime.timedelta(days=1),
    "expired_at": None,
    "availability": "AVAILABLE",
}


class AccessDenied(Exception):  # noqa: N818 - its name in Rucio
    """Rucio's."""


class DuplicateRule(Exception):  # noqa: N818 - its name in Rucio
    """Rucio's."""


class DataIdentifierNotFound(Exception):  # noqa: N818 - its name in Rucio
    """Rucio's."""


class Client:
    """Stands for rucio-clients: knows rows and rules, and keeps the changes that are asked for."""

    account = "ci"

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.rules: list[dict[str, Any]] = []
        self.changes: list[tuple[Any, ...]] = []
        self.denied: tuple[str, ...] = ()

    def get_metadata_bulk(self, dids: list[dict[str, str]], plugin: str) -> list[dict[str, Any]]:
        assert plugin == "DID_COLUMN"
        wanted = [(did["scope"], did["name"]) for did in dids]
        return [row for row in self.rows if (row["scope"], row["name"]) in wanted]

    def list_did_rules(self, scope: str, name: str) -> list[dict[str, Any]]:
        return self.rules

    def __getattr__(self, call: str) -> Any:
        def change(*args: Any, **options: Any) -> None:
            self.changes.append((call, *args, *options.values()))
            if call in self.denied:
                raise AccessDenied(f"not {call}")

        return change


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    errors = types.ModuleType("rucio.common.exception")
    errors.__dict__.update(AccessDenied=AccessDenied, DuplicateRule=DuplicateRule)
    for name in ("rucio", "rucio.common"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "rucio.common.exception", errors)
    monkeypatch.setattr(connection, "client", lambda: made)
    return made


def in_seconds(seconds: float) -> datetime.datetime:
    moment = datetime.datetime.fromtimestamp(time.time() + seconds, datetime.UTC)
    return moment.replace(tzinfo=None)


def test_times_are_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert rows.row(ROW)["created"] == 1796019395.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_row_is_the_time_of_the_name_not_of_its_metadata() -> None:
    assert rows.row({**ROW, "expired_at": MADE}) == {
        "scope": "s",
        "name": "f",
        "type": "FILE",
        "size": 18,
        "adler32": "3ad405dc",
        "created": 1796019395.0,
        "expires": 1796019395.0,
        "lost": False,
    }


@pytest.mark.parametrize(
    "others",
    [
        {"created_at": "Mon, 30 Nov 2026 06:16:35 UTC"},
        {"bytes": [1]},
        {"bytes": "x"},
        {"created_at": None},
    ],
)
def test_an_answer_of_another_kind_is_an_error(others: dict[str, Any]) -> None:
    with pytest.raises(CallError, match="unexpected answer"):
        rows.row(ROW | others)


@pytest.mark.parametrize("answer", ["<html>log in</html>", {"scope": "s"}, None])
def test_an_answer_that_is_no_row_is_an_error(answer: Any) -> None:
    with pytest.raises(CallError, match="unexpected answer"):
        rows.row(answer)


@pytest.mark.parametrize(("text", "adler32"), [("BCB02FC", "0bcb02fc"), (None, ""), ("", "")])
def test_checksums_have_eight_digits(text: str | None, adler32: str) -> None:
    assert rows.row({**ROW, "adler32": text})["adler32"] == adler32


def pfn(rse: str, priority: int, kind: str = "DISK") -> dict[str, Any]:
    return {"rse": rse, "priority": priority, "type": kind}


def urls(client: Client, monkeypatch: pytest.MonkeyPatch, **answer: Any) -> dict[str, str]:
    given = {"scope": "s", "name": "f", **answer}
    monkeypatch.setattr(client, "list_replicas", lambda *_, **__: [given], raising=False)
    ((_, _, found),) = names.replicas([["s", "f"]], ["root", "davs"], "")
    return found


def test_the_url_of_a_replica_is_that_of_the_best_protocol(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pfns = {"https://a": pfn("A", 1), "davs://a": pfn("A", 3), "root://a": pfn("A", 2)}
    rses = {"A": list(pfns)}
    assert urls(client, monkeypatch, pfns=pfns, rses=rses) == {"A": "root://a"}


def test_a_replica_without_such_a_url_is_there_all_the_same(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {"A": "AVAILABLE", "B": "BEING_DELETED"}
    assert urls(client, monkeypatch, pfns={}, rses={}, states=states) == {"A": ""}


def test_a_replica_on_tape_is_none(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    pfns = {"root://tape": pfn("T", 1, "TAPE"), "root://disk": pfn("D", 2)}
    found = urls(client, monkeypatch, pfns=pfns, rses={"T": [], "D": []})
    assert found == {"D": "root://disk"}


def test_the_reasons_of_all_attempts_are_told() -> None:
    notes = Notes()
    notes.log(logging.DEBUG, "scheme: %s, exception: %s", "davs", "Missing dependency : gfal2")
    notes.log(logging.INFO, "Exception: RSE does not support it.\nDetails: refused")
    notes.log(logging.INFO, "Trying %s", "root")
    notes.log(logging.DEBUG, OSError("timed out"))
    error = notes.error([{"stateReason": "refused"}, {}])
    assert type(error) is MovingError
    assert str(error) == "refused; timed out; Missing dependency : gfal2"


def test_a_wrong_checksum_is_damage() -> None:
    notes = Notes()
    notes.log(logging.WARNING, "%sChecksum validation failed for file: %s", "", "s:f")
    assert type(notes.error([{"stateReason": "Checksum validation failed"}])) is DamagedError
    assert str(Notes().error([])) == "rucio-clients give no reason"


def test_a_name_is_the_same_with_the_same_content_only(client: Client) -> None:
    assert same(["s", "f"], 18, "3ad405dc") is None
    client.rows = [ROW]
    found = same(["s", "f"], 18, "3ad405dc")
    assert found is not None
    assert found["created"] == 1796019395.0
    for size, adler32 in ((17, "3ad405dc"), (18, "3ad405dd")):
        with pytest.raises(TakenError, match="s:f is registered with 18 bytes"):
            same(["s", "f"], size, adler32)
    client.rows = [{**ROW, "expired_at": MADE - datetime.timedelta(days=9000)}]
    with pytest.raises(TakenError, match="was removed, but is still registered"):
        same(["s", "f"], 1, "00000001")
    client.rows = [{**ROW, "did_type": "DATASET"}]
    with pytest.raises(TakenError, match="s:f is a dataset"):
        same(["s", "f"], 18, "3ad405dc")


def rule(expires: datetime.datetime | None, account: str = "ci") -> dict[str, Any]:
    return {"id": f"{account}-{expires}", "account": account, "expires_at": expires}


@pytest.mark.parametrize(
    ("rules", "lifetime", "change"),
    [
        ([], 60, "add_replication_rule"),
        ([rule(None, "other")], 60, "add_replication_rule"),
        ([rule(None)], 60, ""),
        ([rule(in_seconds(9000)), rule(in_seconds(1))], 60, ""),
        ([rule(in_seconds(10))], 600, "update_replication_rule"),
        ([rule(in_seconds(10))], None, "update_replication_rule"),
    ],
)
def test_a_file_is_kept_for_its_lifetime(
    client: Client, rules: list[dict[str, Any]], lifetime: int | None, change: str
) -> None:
    client.rules = rules
    keep([["s", "f"]], "SE", lifetime, expiring=False)
    assert [call for call, *_ in client.changes] == ([change] if change else [])


def test_what_was_removed_and_is_wanted_again_does_not_expire(client: Client) -> None:
    client.rules = [rule(None)]
    keep([["s", "f"]], "SE", None, expiring=True)
    assert client.changes == [("set_metadata", "s", "f", "lifetime", None)]


def test_who_may_not_change_a_rule_keeps_it_while_it_lasts(client: Client) -> None:
    client.denied = ("update_replication_rule",)
    client.rules = [rule(in_seconds(10))]
    keep([["s", "f"]], "SE", 600, expiring=False)
    client.rules = [rule(in_seconds(-10))]
    with pytest.raises(AccessDenied):
        keep([["s", "f"]], "SE", 600, expiring=False)


def test_what_has_no_rule_does_not_stay(client: Client) -> None:
    client.denied = ("add_replication_rule",)

    def add_replicas(rse: str, files: list[dict[str, Any]]) -> None:
        client.rows = [{**ROW, "name": file["name"]} for file in files]

    client.add_replicas = add_replicas  # type: ignore[attr-defined]
    with pytest.raises(AccessDenied):
        register([("s", "a", 18, "3ad405dc")], "SE", None)
    ended = [{"scope": "s", "name": "a", "meta": {"lifetime": -3600}}]
    assert client.changes[-1] == ("set_dids_metadata_bulk", ended)


def test_new_files_are_registered_and_others_are_refused(client: Client) -> None:
    client.rows = [ROW]
    client.rules = [rule(None)]
    refused = register([("s", "f", 5, "3ad405dc"), ("s", "new", 1, "00000001")], "SE", 60)
    assert list(refused) == ["s:f"]
    added = {"scope": "s", "name": "new", "bytes": 1, "adler32": "00000001"}
    new = [{"scope": "s", "name": "new"}]
    assert client.changes == [
        ("add_replicas", "SE", [added]),
        ("add_replication_rule", new, 1, "SE", 60),
    ]


def test_one_file_that_may_not_be_removed_does_not_keep_the_others(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.denied = ("set_dids_metadata_bulk",)

    def set_metadata(scope: str, name: str, key: str, value: int) -> None:
        if name == "absent":
            raise DataIdentifierNotFound
        if name == "foreign":
            raise AccessDenied("not yours")

    monkeypatch.setattr(client, "set_metadata", set_metadata, raising=False)
    files = [["s", "absent"], ["s", "foreign"], ["s", "mine"]]
    assert names.expire(files) == {"s:foreign": "not yours"}
    assert names.expire([]) == {}


def test_an_error_is_told_with_the_classes_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUCIO_AUTH_TYPE", "oidc")
    fields = calls.error_fields(TimeoutError("slow"))
    assert fields["bases"] == ["OSError", "Exception", "BaseException"]
    assert (fields["exception"], fields["message"], fields["auth"]) == (
        "TimeoutError",
        "slow",
        "oidc",
    )
