from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from snakemake_executor_plugin_grid.backends.dirac import inventory
from snakemake_executor_plugin_grid.cli import main
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import DATABASE_FILE, FOLDER
from snakemake_executor_plugin_grid.journal.lock import lock_folder
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.model.errors import CredentialsError, TransientError
from tests.unit.journal.test_reader import Settled
from tests.unit.specs import spec, tracked

STORE = "/vo/user/u/me/store"
MINE = f"{STORE}/blobs/aa/aa11"
FETCHED = f"{STORE}/delivered/make-1-1/bb22.data"
UNFETCHED = f"{STORE}/delivered/make-1-2/cc33.data"
OTHERS = {f"{STORE}/blobs/dd/dd44": 4, f"{STORE}/delivered/other-9-1/ee55.data": 5}


class FakeClient:
    """A DIRAC with a file catalog."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.pieces: set[str] = set()
        self.stuck: dict[str, str] = {}
        self.broken: list[Exception] = []
        self.calls: list[tuple[str, int]] = []
        self.made: list[tuple[Path, Path]] = []
        self.closed = False

    def __call__(self, python: Path, log: Path) -> FakeClient:
        self.made.append((python, log))
        return self

    def call_now(self, name: str, subjects: Sequence[str], *more: Any, limit: float = 0) -> Any:
        self.calls.append((name, len(subjects)))
        if name == "remove" and self.broken:
            raise self.broken.pop()
        return getattr(self, name)(subjects, *more)

    def remnants(self, lfns: Sequence[str], elements: Sequence[str]) -> dict[str, str]:
        return {lfn: element for lfn in lfns for element in elements if lfn in self.pieces}

    def purge(self, lfns: Sequence[str], element: str) -> dict[str, str]:
        self.pieces -= set(lfns)
        return {lfn: "no answer" for lfn in lfns if lfn in self.stuck}

    def sizes(self, lfns: Sequence[str]) -> dict[str, int | None]:
        return {lfn: self.files.get(lfn) for lfn in lfns}

    def listing(self, folders: Sequence[str]) -> list[str]:
        return [lfn for lfn in self.files if lfn.rpartition("/")[0] in folders]

    def remove(self, lfns: Sequence[str]) -> dict[str, str]:
        for lfn in set(lfns) - self.stuck.keys():
            del self.files[lfn]
        return {lfn: self.stuck[lfn] for lfn in lfns if lfn in self.stuck}

    def close(self) -> None:
        self.closed = True


class Workflow:
    """A directory in which a workflow has run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.folder = directory / FOLDER
        self.database = Settled(self.folder / DATABASE_FILE)
        self.catalog = Catalog(self.database)
        self.journal = Journal(self.database, "run", "dirac")

    def submit(self, name: str, grid_id: str, *, open_: bool = False) -> None:
        self.journal.submitting([tracked(spec(name, rule="make"))])
        self.journal.submitted({name: grid_id})
        if not open_:
            self.journal.ended(name, Phase.FAILED)

    def clean(self, *args: str) -> Result:
        return CliRunner().invoke(main, ["clean", "--directory", str(self.directory), *args])


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(inventory, "Client", fake)
    return fake


@pytest.fixture
def workflow(tmp_path: Path, client: FakeClient) -> Iterator[Workflow]:
    made = Workflow(tmp_path)
    made.catalog.note_store(f"lfn:{STORE}", "SE-1")
    made.catalog.note_locations([("aa11", f"lfn:{MINE}"), ("bb22", f"lfn:{FETCHED}")]).wait()
    made.submit("make-1-1", "7")
    made.submit("make-1-2", "8")
    client.files = {MINE: 1000, FETCHED: 200, UNFETCHED: 34, **OTHERS}
    yield made
    made.database.close()


def test_what_the_workflow_stored_is_removed_and_nothing_else(
    workflow: Workflow, client: FakeClient
) -> None:
    result = workflow.clean("--yes")
    assert result.exit_code == 0, result.output
    assert client.files == OTHERS
    assert workflow.catalog.locations() == []
    for line in (
        f"1,000  lfn:{MINE}",
        f"34  lfn:{UNFETCHED}",
        "3 files, 1,234 bytes.",
        "Removed 3 files",
    ):
        assert line in result.output
    assert client.closed


def test_without_a_terminal_it_only_lists(workflow: Workflow, client: FakeClient) -> None:
    before = dict(client.files)
    result = workflow.clean()
    assert result.exit_code == 0
    assert UNFETCHED in result.output
    assert "Nothing is removed: add --yes" in result.output
    assert client.files == before
    assert len(workflow.catalog.locations()) == 2


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 3), ("\n", 3)])
def test_at_a_terminal_it_asks(
    workflow: Workflow, client: FakeClient, answer: str, left: int
) -> None:
    arguments = ["clean", "--directory", str(workflow.directory)]
    result = CliRunner().invoke(main, arguments, input=answer)
    assert result.exit_code == 0
    assert "Remove these files?" in result.output
    assert len(client.files) == len(OTHERS) + left


def test_what_cannot_be_removed_is_kept_in_mind(workflow: Workflow, client: FakeClient) -> None:
    client.stuck = {MINE: "the storage element is down", UNFETCHED: "not now"}
    result = workflow.clean("--yes")
    assert result.exit_code == 1
    assert "Removed 1 file, 200 bytes." in result.output
    assert "2 files could not be removed" in result.output
    assert f"{MINE}: the storage element is down" in result.output
    assert workflow.catalog.locations() == [f"lfn:{MINE}"]
    client.stuck = {}
    assert workflow.clean("--yes").exit_code == 0
    assert client.files == OTHERS


def test_a_server_that_goes_away_in_between(workflow: Workflow, client: FakeClient) -> None:
    many = {f"{STORE}/blobs/ff/{number:03}": 1 for number in range(150)}
    client.files.update(many)
    workflow.catalog.note_locations((lfn[-3:], f"lfn:{lfn}") for lfn in many).wait()
    client.broken = [TransientError("no answer")]
    result = workflow.clean("--yes")
    assert result.exit_code == 1
    assert "153 files could not be removed" in result.output
    assert "Traceback" not in result.output
    assert client.calls.count(("remove", 100)) == 1, "it tried again in vain"
    client.calls.clear()
    assert workflow.clean("--yes").exit_code == 0
    assert [call for call in client.calls if call[0] == "remove"] == [
        ("remove", 100),
        ("remove", 53),
    ]
    assert client.files == OTHERS


def test_locations_that_are_gone_are_forgotten(workflow: Workflow, client: FakeClient) -> None:
    client.files = dict(OTHERS)
    result = workflow.clean("--yes")
    assert result.exit_code == 0
    assert "No file of this workflow" in result.output
    assert workflow.catalog.locations() == []


def test_jobs_that_may_need_the_files(workflow: Workflow, client: FakeClient) -> None:
    workflow.submit("make-1-3", "9", open_=True)
    listed = workflow.clean()
    assert listed.exit_code == 0
    assert "1 unfinished job" in listed.output
    refused = workflow.clean("--yes")
    assert refused.exit_code == 1
    assert "9 (rule make)" in refused.output
    assert "--force" in refused.output
    assert MINE in client.files
    assert workflow.clean("--yes", "--force").exit_code == 0
    assert client.files == OTHERS


def test_not_while_a_run_is_going_on(workflow: Workflow, client: FakeClient) -> None:
    with lock_folder(workflow.folder):
        result = workflow.clean("--yes")
    assert result.exit_code == 1
    assert "another run" in result.output
    assert client.calls == []


def test_a_workflow_that_stored_nothing_needs_no_client(tmp_path: Path, client: FakeClient) -> None:
    result = Workflow(tmp_path).clean()
    assert result.exit_code == 0
    assert "put no files on storage elements" in result.output
    assert client.made == []


def test_a_damaged_database(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / DATABASE_FILE).write_text("not a database, but longer than its header" * 9)
    result = CliRunner().invoke(main, ["clean", "-d", str(tmp_path)])
    assert result.exit_code == 1
    assert "is damaged" in result.output


def test_credentials_that_are_missing(
    workflow: Workflow, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Sequence[str]) -> None:
        raise CredentialsError("no proxy; run dirac-proxy-init")

    monkeypatch.setattr(client, "listing", refuse)
    result = workflow.clean("--yes")
    assert result.exit_code == 1
    assert "Error: no proxy; run dirac-proxy-init" in result.output
    assert client.closed


Choose = Callable[[Path, pytest.MonkeyPatch], list[str]]


def by_option(python: Path, _: pytest.MonkeyPatch) -> list[str]:
    return ["--grid-dirac-python", str(python)]


def by_variable(python: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("SNAKEMAKE_GRID_DIRAC_PYTHON", str(python))
    return []


@pytest.mark.parametrize("choose", [by_option, by_variable])
def test_the_python_that_has_dirac(
    workflow: Workflow, client: FakeClient, monkeypatch: pytest.MonkeyPatch, choose: Choose
) -> None:
    python = workflow.directory / "python"
    arguments = choose(python, monkeypatch)
    missing = workflow.clean(*arguments)
    assert missing.exit_code == 2
    assert "no program that can be run" in missing.output
    python.touch(mode=0o755)
    assert workflow.clean(*arguments).exit_code == 0
    assert client.made == [(python, workflow.folder / "dirac.log")]


def test_by_default_it_is_this_python(
    workflow: Workflow, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SNAKEMAKE_GRID_DIRAC_PYTHON", raising=False)
    assert workflow.clean().exit_code == 0
    assert client.made[0][0] == Path(sys.executable)


def test_the_variable_is_that_of_the_executor() -> None:
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

    import snakemake_executor_plugin_grid as plugin

    registry = ExecutorPluginRegistry()
    registry.register_plugin("grid", plugin)
    assert registry.get_plugin("grid").get_envvar("dirac_python") == "SNAKEMAKE_GRID_DIRAC_PYTHON"


def test_what_broken_uploads_left_is_removed_too(workflow: Workflow, client: FakeClient) -> None:
    del client.files[MINE]  # the catalog does not know of it
    client.pieces = {MINE}
    assert f"broken upload  lfn:{MINE} (SE-1)" in workflow.clean().output
    assert client.pieces == {MINE}
    client.stuck = {MINE: "no answer"}
    assert workflow.clean("--yes").exit_code == 1
    assert f"lfn:{MINE}" in workflow.catalog.locations()
    client.stuck, client.pieces = {}, {MINE}
    assert workflow.clean("--yes").exit_code == 0
    assert client.pieces == set()
    assert workflow.catalog.locations() == []
