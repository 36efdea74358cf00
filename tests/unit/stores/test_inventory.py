"""``snakemake-grid clean`` on remote stores other than DIRAC's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import PermanentError, TransientError
from snakemake_executor_plugin_grid.stores import inventory as inventory
from tests.unit.cli.test_clean import Workflow
from tests.unit.stores.remote_bench import URL, FolderTransport

OTHERS = {"blobs/dd/dd44", "delivered/other-9-1/ee55", "foreign"}
MINE = {"blobs/aa/aa11", "delivered/make-1-1/bb22", "delivered/make-1-2/cc33", "posted/chunk"}


@pytest.fixture
def transport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderTransport:
    transport = FolderTransport(tmp_path / "remote")
    for name in OTHERS | MINE:
        (transport.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (transport.folder / name).write_bytes(b"12345")
    monkeypatch.setattr(inventory, "open_transport", lambda url, _: {URL: transport}[url])
    monkeypatch.setattr(inventory, "REMOTE", ("test", "dead"))
    return transport


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[Workflow]:
    made = Workflow(tmp_path / "project")
    made.catalog.note_store(URL, "")
    noted = ("blobs/aa/aa11", "delivered/make-1-1/bb22", "posted/chunk", "blobs/gone/gone")
    made.catalog.note_locations((name[-4:], f"{URL}/{name}") for name in noted)
    made.submit("make-1-1", "7")
    made.submit("make-1-2", "8")
    yield made
    made.database.close()


def test_what_the_workflow_stored_is_removed_and_nothing_else(
    workflow: Workflow, transport: FolderTransport
) -> None:
    listed = workflow.clean()
    assert listed.exit_code == 0, listed.output
    assert "Nothing is removed: add --yes" in listed.output
    assert transport.files() == OTHERS | MINE
    result = workflow.clean("--yes")
    assert result.exit_code == 0, result.output
    for line in (*(f"5  {URL}/{name}" for name in MINE), "4 files, 20 bytes.", "Removed 4 files"):
        assert line in result.output
    assert transport.files() == OTHERS
    assert workflow.catalog.locations() == []
    folders = {path.name for path in transport.folder.rglob("*") if path.is_dir()}
    assert folders == {"blobs", "dd", "delivered", "other-9-1"}
    assert "No file of this workflow" in workflow.clean("--yes").output


def test_a_server_that_goes_away_in_between(workflow: Workflow, transport: FolderTransport) -> None:
    transport.errors["remove"] = [TransientError("no answer")]
    result = workflow.clean("--yes")
    assert result.exit_code == 1
    assert "4 files could not be removed" in result.output
    assert "no answer" in result.output
    assert transport.files() == OTHERS | MINE
    assert workflow.clean("--yes").exit_code == 0
    assert transport.files() == OTHERS


def test_a_store_that_does_not_answer_keeps_no_other_from_it(
    workflow: Workflow, transport: FolderTransport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Dead(FolderTransport):
        def listing(self, folder: str) -> list[str]:
            raise PermanentError("dead://host: no such bucket")

    both = {URL: transport, "dead://host": Dead(tmp_path / "dead")}
    both["dead://host"].url = "dead://host"
    monkeypatch.setattr(inventory, "open_transport", lambda url, _: both[url])
    workflow.catalog.note_store("dead://host", "")
    workflow.catalog.note_locations([("ff", "dead://host/blobs/ff")])
    result = workflow.clean("--yes")
    assert result.exit_code == 1
    assert "Error: dead://host: no such bucket" in result.output
    assert transport.files() == OTHERS
    assert workflow.catalog.locations() == ["dead://host/blobs/ff"]


@pytest.mark.parametrize("leaf", ["..", ".", "", "../other-9-1/ee55"])
def test_what_a_listing_says_leads_to_no_other_folder(
    workflow: Workflow, transport: FolderTransport, monkeypatch: pytest.MonkeyPatch, leaf: str
) -> None:
    asked: list[str] = []
    listing, size = transport.listing, transport.size

    def ask(name: str) -> int | None:
        asked.append(name)
        return size(name)

    monkeypatch.setattr(transport, "listing", lambda folder: [*listing(folder), leaf])
    monkeypatch.setattr(transport, "size", ask)
    result = workflow.clean("--yes")
    assert result.exit_code == 0, result.output
    assert transport.files() == OTHERS
    assert {*asked} == {*MINE, "blobs/gone/gone"}


@pytest.mark.parametrize("by", ["option", "variable", "nothing"])
def test_the_token_for_the_store(
    workflow: Workflow, transport: FolderTransport, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    given: list[Path | None] = []

    def open_transport(_: str, token_file: Path | None) -> FolderTransport:
        given.append(token_file)
        return transport

    monkeypatch.setattr(inventory, "open_transport", open_transport)
    monkeypatch.delenv("SNAKEMAKE_GRID_STORE_TOKEN", raising=False)
    token = workflow.directory / "token"
    arguments = ["--grid-store-token", str(token)] if by == "option" else []
    if by == "variable":  # that of the executor's option
        monkeypatch.setenv("SNAKEMAKE_GRID_STORE_TOKEN", str(token))
    if by != "nothing":
        missing = workflow.clean(*arguments)
        assert missing.exit_code == 2
        assert "does not exist" in missing.output
        token.write_text("word")
    assert workflow.clean(*arguments).exit_code == 0
    assert given == [None if by == "nothing" else token]
