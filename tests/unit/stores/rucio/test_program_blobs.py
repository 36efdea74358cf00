"""The calls for a store, with rucio-clients that are not there."""

from __future__ import annotations

from typing import Any

import pytest

from snakemake_executor_plugin_grid.stores.rucio.program import blobs
from snakemake_executor_plugin_grid.stores.rucio.program.errors import CallError, TakenError

from .test_program import ROW, Client, DuplicateRule, client, in_seconds

__all__ = ["client"]

FILE = ("s", "f", 18, "3ad405dc")


@pytest.fixture(autouse=True)
def asked_anew() -> None:
    blobs._scheme.cache_clear()


@pytest.fixture
def states(client: Client, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the states of replicas at the element, by the names of files, to fill in."""
    found: dict[str, str] = {}

    def list_replicas(dids: list[dict[str, str]], **options: Any) -> list[dict[str, Any]]:
        assert options["all_states"]
        assert options["rse_expression"] == "RSE"
        return [
            {**did, "states": {"RSE": found[did["name"]], "OTHER": "AVAILABLE"}}
            for did in dids
            if did["name"] in found
        ]

    monkeypatch.setattr(client, "list_replicas", list_replicas, raising=False)
    return found


def test_blobs_have_size_end_and_state(client: Client, states: dict[str, str]) -> None:
    end = in_seconds(100)
    client.rows = [
        {**ROW, "expired_at": end},
        {**ROW, "name": "elsewhere"},
        {**ROW, "name": "lost", "availability": "LOST"},
        {**ROW, "name": "set", "did_type": "DATASET"},
    ]
    states["f"] = "BAD"
    names = [("s", name) for name in ("f", "elsewhere", "lost", "set", "absent")]
    found = blobs.blobs(names, "RSE")
    assert found.keys() == {"s:f", "s:elsewhere"}
    assert found["s:f"][::2] == [18, "BAD"]
    assert found["s:elsewhere"] == [18, None, ""]


def test_new_files_are_registered_with_a_lifetime_and_a_rule(
    client: Client, states: dict[str, str]
) -> None:
    assert blobs.registration([FILE], "RSE", 100) == {"s:f": "AVAILABLE"}
    assert [change[0] for change in client.changes] == [
        *("add_replicas", "set_dids_metadata_bulk", "add_replication_rule")
    ]
    assert client.changes[1][1] == [{"scope": "s", "name": "f", "meta": {"lifetime": 100}}]


def test_what_is_there_is_kept_longer(client: Client, states: dict[str, str]) -> None:
    client.rows = [{**ROW, "expired_at": in_seconds(-10)}]
    states["f"] = "BEING_DELETED"
    asked: list[str] = []

    def add_replication_rule(*_: Any, **__: Any) -> None:
        asked.append("rule")
        raise DuplicateRule

    client.add_replication_rule = add_replication_rule  # type: ignore[attr-defined]
    assert blobs.registration([FILE], "RSE", 100) == {"s:f": "BEING_DELETED"}
    assert [change[0] for change in client.changes] == ["set_dids_metadata_bulk"]
    assert asked == ["rule"]


def test_a_file_at_another_element_gets_a_replica_here(
    client: Client, states: dict[str, str]
) -> None:
    client.rows = [ROW]
    blobs.registration([FILE], "RSE", 100)
    assert client.changes[0][0] == "add_replicas"


def test_other_content_is_an_error_before_anything_is_changed(
    client: Client, states: dict[str, str]
) -> None:
    client.rows = [ROW]
    with pytest.raises(TakenError, match="s:f is registered with other content"):
        blobs.registration([("s", "f", 18, "00000001")], "RSE", 100)
    assert not client.changes


def test_what_gets_no_rule_is_withdrawn(client: Client, states: dict[str, str]) -> None:
    client.denied = ("add_replication_rule",)

    def add_replicas(rse: str, files: list[dict[str, Any]]) -> None:
        client.rows = [ROW]

    client.add_replicas = add_replicas  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="not add_replication_rule"):
        blobs.registration([FILE], "RSE", 100)
    last = client.changes[-1]
    assert last[0] == "set_dids_metadata_bulk"
    assert last[1][0]["meta"]["lifetime"] < 0


@pytest.mark.parametrize(
    ("element", "schemes", "problem"),
    [
        ({"deterministic": False}, ["davs"], "RSE is not deterministic"),
        ({"rse_type": "TAPE"}, ["davs"], "RSE is on tape"),
        ({}, ["root"], "RSE cannot be used by davs, only by root"),
    ],
)
def test_elements_that_do_not_serve(
    client: Client, element: dict[str, Any], schemes: list[str], problem: str
) -> None:
    fit = {"deterministic": True, "rse_type": "DISK"}
    client.get_rse = lambda rse: {**fit, **element}  # type: ignore[attr-defined]
    client.get_protocols = lambda *_, **__: [  # type: ignore[attr-defined]
        {"scheme": scheme} for scheme in schemes
    ]
    with pytest.raises(CallError, match=problem):
        blobs.blob_urls([("s", "f")], "RSE", ["davs"])


def test_a_scheme_has_to_serve_for_everything(client: Client) -> None:
    by = {"read": ["root", "davs"], "write": ["root", "davs"], "delete": ["root"]}
    client.get_rse = lambda rse: {  # type: ignore[attr-defined]
        "deterministic": True,
        "rse_type": "DISK",
    }
    client.get_protocols = lambda rse, operation, **_: [  # type: ignore[attr-defined]
        {"scheme": scheme} for scheme in by[operation]
    ]
    client.lfns2pfns = lambda rse, dids, scheme, **_: {  # type: ignore[attr-defined]
        did: f"{scheme}://{did}" for did in dids
    }
    assert blobs.blob_urls([("s", "f")], "RSE", ["davs", "root"]) == {"s:f": "root://s:f"}
