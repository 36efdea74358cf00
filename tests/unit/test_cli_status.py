from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from snakemake_executor_plugin_grid import equipment
from snakemake_executor_plugin_grid.backends.base import Backend, Payload, SubmitError, Submitted
from snakemake_executor_plugin_grid.cli import main, server
from snakemake_executor_plugin_grid.cli.selection import in_words, latest, select
from snakemake_executor_plugin_grid.database import DATABASE_FILE, FOLDER
from snakemake_executor_plugin_grid.errors import CredentialsError, GridError, TransientError
from snakemake_executor_plugin_grid.journal import Phase
from snakemake_executor_plugin_grid.lock import lock_folder
from snakemake_executor_plugin_grid.settings import ExecutorSettings
from snakemake_executor_plugin_grid.states import JobState, JobStatus

from .test_history import Past, past

__all__ = ["past"]


class FakeBackend(Backend):
    """A server with some jobs.

    Attributes:
        jobs: Ids by unique name.
        statuses: States by id.
        texts: Outputs by id.
        stuck: Ids that cannot be cancelled.
        errors: By call, what it raises.
        calls: All calls, with their arguments sorted.
        made: With which options, and whether as a guest, it was made.
    """

    name = "dirac"
    poll_interval = 1.0
    settle_seconds = 600.0

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.statuses: dict[str, JobStatus] = {}
        self.texts: dict[str, str] = {}
        self.stuck: set[str] = set()
        self.errors: dict[str, Exception] = {}
        self.calls: list[tuple[str, list[str]]] = []
        self.made: list[tuple[ExecutorSettings, Path, bool]] = []
        self.warning = ""
        self.closed = 0

    def _call(self, name: str, subjects: Collection[str] = ()) -> None:
        self.calls.append((name, sorted(subjects)))
        if name in self.errors:
            raise self.errors[name]

    async def check(self) -> None:
        self._call("check")

    async def check_credentials(self) -> str:
        self._call("check_credentials")
        return self.warning

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | SubmitError]:
        raise AssertionError("no command submits jobs")

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        self._call("states", ids)
        return {grid_id: self.statuses[grid_id] for grid_id in ids if grid_id in self.statuses}

    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        self._call("find", names)
        return {name: self.jobs[name] for name in names if name in self.jobs}

    async def cancel(self, ids: Collection[str]) -> set[str]:
        self._call("cancel", ids)
        return self.stuck & set(ids)

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        raise AssertionError("no command takes results in")

    async def logs(self, grid_id: str) -> str:
        self._call("logs", [grid_id])
        return self.texts.get(grid_id, "")

    async def discard(self, ids: Collection[str]) -> None:
        self._call("discard", ids)

    def page(self, grid_id: str) -> str:
        return f"https://monitor/{grid_id}"

    def describe(self, payload: Payload) -> str:
        return ""

    async def close(self) -> None:
        self.closed += 1

    def called(self, name: str) -> list[list[str]]:
        return [subjects for call, subjects in self.calls if call == name]


class _Patience:
    loop: Any = None

    def stop(self) -> None:
        pass


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """Return what all commands take for the server."""
    fake = FakeBackend()

    def equip(
        settings: ExecutorSettings, workdir: Path, folder: Path, *_: Any, guest: bool
    ) -> tuple[Backend, None, _Patience]:
        assert folder == workdir / FOLDER / "command", "stores empty the folder of a run"
        fake.made.append((settings, workdir, guest))
        if "equip" in fake.errors:
            raise fake.errors["equip"]
        return fake, None, _Patience()

    monkeypatch.setattr(equipment, "equip", equip)
    monkeypatch.delenv("SNAKEMAKE_GRID_DIRAC_PYTHON", raising=False)
    monkeypatch.delenv("SNAKEMAKE_GRID_PANDA_PYTHON", raising=False)
    return fake


def call(past: Past, command: str, *args: str) -> Result:
    arguments = [command, *args, "--directory", str(past.directory)]
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": "200"})
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def document(past: Past, *args: str) -> dict[str, Any]:
    result = call(past, "status", "--json", *args)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def states_of(past: Past) -> None:
    """Submit a job to each state."""
    said = {
        "queued": JobState.QUEUED,
        "running": JobState.RUNNING,
        "held": JobState.HELD,
        "unknown": JobState.UNKNOWN,
        "ended": JobState.FAILED,
    }
    past.run("run1")
    past.job("waiting", sample="waiting")
    past.job("silent", "sort", "s", "1")
    for number, (name, state) in enumerate(said.items(), start=2):
        past.job(name, sample=name, grid_id=str(number), said=JobStatus(state, "why", "CERN"))
    for name, phase in (
        ("landed", Phase.LANDED),
        ("succeeded", Phase.SUCCEEDED),
        ("failed", Phase.FAILED),
        ("cancelled", Phase.CANCELLED),
    ):
        past.job(name, "sort", name, f"9{name}", said=JobStatus(JobState.DONE, "", "IN2P3"))
        past.journal.ended(name, phase, "exit code 1")
    past.job("cancelling", sample="cancelling", grid_id="8")
    past.journal.cancelling(["cancelling"])


def test_jobs_are_counted_by_state_rule_and_site(past: Past) -> None:
    states_of(past)
    found = document(past)
    names = ("waiting", "running", "held", "unknown", "ended", "cancelling", "landed")
    ends = ("succeeded", "failed", "cancelled")
    assert found["states"] == {**dict.fromkeys((*names, *ends), 1), "queued": 2}
    assert found["rules"]["sort"] == {"queued": 1, "landed": 1, **dict.fromkeys(ends, 1)}
    assert found["sites"]["IN2P3"] == {"landed": 1, **dict.fromkeys(ends, 1)}
    assert found["sites"][""] == {"waiting": 1, "queued": 1, "cancelling": 1}
    assert {job["name"] for job in found["jobs"]} == {*names, "queued", "silent"}
    assert [job["name"] for job in found["failures"]] == ["failed"]


@pytest.mark.parametrize("going_on", [True, False])
def test_what_open_jobs_wait_for(past: Past, going_on: bool) -> None:
    states_of(past)
    past.put("queued", taken=time.time() - 7500)
    lock = lock_folder(past.folder) if going_on else None
    text = call(past, "status", "--all").output
    if lock:
        lock.close()
    assert "queued since 2 h 5 min" in text
    assert "held: somebody has to look at it" in text
    assert "unknown: dirac does not name it now" in text
    words = {
        True: ("being submitted", "being taken in", "being told", "being cancelled"),
        False: (
            *("submission not answered: the next run looks for it", "the next run takes it in"),
            *("outputs in place; the next run tells Snakemake", "the next run tries it again"),
        ),
    }
    assert all(some in text for some in words[going_on])
    assert not any(some in text for some in words[not going_on])
    assert ("the same snakemake command as before goes on with them" in text) is not going_on


def test_the_last_submission_decides(past: Past) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    past.journal.ended("a-1", Phase.FAILED, "a fault of the site")
    past.job("a-1.1", grid_id="2", origin="a-1", said=JobStatus(JobState.RUNNING))
    assert document(past)["states"] == {"running": 1}
    past.journal.ended("a-1.1", Phase.FAILED, "exit code 1")
    assert [job["name"] for job in document(past)["failures"]] == ["a-1.1"]
    past.run("run2")
    past.job("a-9", grid_id="3", said=JobStatus(JobState.QUEUED), attempt=2)
    found = document(past)
    assert found["states"] == {"queued": 1}, "a job that Snakemake sends again has failed no more"
    assert found["failures"] == []


def test_a_failure_comes_with_its_reason_and_its_log(past: Past) -> None:
    past.run("run1")
    for number in range(7):
        past.job(f"a-{number}", sample=str(number), grid_id=f"1{number}")
        past.journal.ended(f"a-{number}", Phase.FAILED, f"reason {number}")
    log = past.log("a-6", "boom")
    result = call(past, "status")
    assert "align (sample=6): dirac job 16" in result.output
    assert "reason 6" in result.output
    assert log.name in result.output
    assert "reason 1" not in result.output
    assert "and 2 more (--all lists them)" in result.output
    assert "reason 0" in call(past, "status", "--all").output
    assert document(past)["failures"][0]["log"] == str(log)


def test_many_open_jobs(past: Past) -> None:
    past.run("run1")
    for number in range(25):
        past.job(f"a-{number}", sample=f"s{number}", grid_id=str(number))
    result = call(past, "status")
    assert "and 5 more open jobs (--all lists them)" in result.output
    assert "sample=s24" not in result.output
    assert "sample=s24" in call(past, "status", "--all").output
    assert len(document(past)["jobs"]) == 25


def test_oldest_jobs(past: Past) -> None:
    states_of(past)
    now = time.time()
    past.put("queued", taken=now - 86400 * 3 - 3600 * 4)
    past.put("running", running=now - 100)
    result = call(past, "status")
    assert "The oldest queued job: 3 d 4 h, the oldest running job: 1 min" in result.output
    ages = document(past)["oldest"]
    assert ages["queued"] == pytest.approx(3 * 86400 + 4 * 3600, abs=60)
    assert ages["running"] == pytest.approx(100, abs=60)


def test_marks_in_wildcards_are_shown_as_they_are(past: Past) -> None:
    past.run("run1")
    past.job("a-1", sample="[red]:smile:[/]", grid_id="1")
    assert "align (sample=[red]:smile:[/])" in call(past, "status").output


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_rule_is_lost_where_there_is_little_room(past: Past, width: int) -> None:
    states_of(past)
    result = CliRunner().invoke(
        main, ["status", "-d", str(past.directory)], env={"COLUMNS": str(width)}
    )
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= width
    begins = {line.split()[0] for line in lines if line.split()}
    assert {"align", "sort", "CERN", "IN2P3"} <= begins


def test_a_pipe_gets_whole_lines(past: Past) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1", sample="x" * 100)
    result = CliRunner().invoke(main, ["status", "-d", str(past.directory)], env={"COLUMNS": None})
    (line,) = [line for line in result.output.splitlines() if "xxx" in line]
    assert f"align (sample={'x' * 100})" in line
    assert "queued since 0 s" in line
    assert "\x1b" not in result.output


# The run


def test_a_run_that_is_going_on(past: Past) -> None:
    past.run("run1")
    with lock_folder(past.folder):
        result, found = call(past, "status"), document(past)
    assert "A run is going on since 0 s: backend dirac" in result.output
    assert f"process {os.getpid()} on host {socket.gethostname()}" in result.output
    assert found["going_on"] is True
    assert found["run"]["pid"] == os.getpid()


def test_what_the_last_run_has_seen_may_be_old(past: Past, backend: FakeBackend) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    assert "--server asks anew" in call(past, "status").output
    assert "--server asks anew" not in call(past, "status", "--server").output
    with lock_folder(past.folder):
        assert "--server asks anew" not in call(past, "status").output


def test_the_lock_is_tried_and_given_back(past: Past) -> None:
    lock_folder(past.folder).close()
    past.run("run1")
    call(past, "status")
    with lock_folder(past.folder):
        pass


def test_looking_does_not_keep_others_from_looking(past: Past) -> None:
    past.run("run1")
    lock_folder(past.folder).close()
    with (past.folder / "lock").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        assert document(past)["going_on"] is False


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("finished", "finished"),
        ("left", "left its jobs on the grid"),
        ("cancelled", "cancelled its jobs"),
    ],
)
def test_how_the_last_run_ended(past: Past, end: str, words: str) -> None:
    past.run("run1").end_run(end, 0, 0)
    past.put_run("run1", ended=time.time() - 300)
    text = call(past, "status").output
    assert "No run is going on." in text
    assert words in text
    assert "5 min ago" in text


def test_a_run_that_was_killed(past: Past) -> None:
    past.run("run1")
    assert "was killed, or the host went down: nothing is lost" in call(past, "status").output
    past.put_run("run1", host="elsewhere")
    text = call(past, "status").output
    assert "see on elsewhere whether it is still at work" in text
    assert "was killed" not in text


def test_a_run_that_begins(past: Past) -> None:
    past.run("run1").end_run("finished", 0, 0)
    with lock_folder(past.folder):
        text = call(past, "status").output
    assert "A run is beginning or ending here" in text


def test_a_lock_that_cannot_be_tried(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    past.run("run1")
    lock_folder(past.folder).close()

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    text = call(past, "status").output
    assert "Whether a run is going on cannot be told" in text
    assert document(past)["going_on"] is None


def test_snakemakes_own_lock(past: Past) -> None:
    past.run("run1")
    locks = past.directory / ".snakemake" / "locks"
    locks.mkdir()
    assert "--unlock" not in call(past, "status").output
    (locks / "0.input.lock").touch()
    with lock_folder(past.folder):
        assert "--unlock" not in call(past, "status").output
        assert document(past)["snakemake_lock"] == {"files": 1, "stale": False}
    text = call(past, "status").output
    assert "'snakemake --unlock' is safe" in text
    assert "See on host" not in text
    assert document(past)["snakemake_lock"] == {"files": 1, "stale": True}
    past.put_run("run1", host="elsewhere")
    assert "See on host elsewhere first" in call(past, "status").output


def test_a_directory_in_which_nothing_has_happened_yet(past: Past) -> None:
    result = call(past, "status")
    assert result.exit_code == 0
    assert "No run has noted its beginning here." in result.output
    assert "No job has been submitted here yet." in result.output
    assert document(past)["run"] is None


# The server


def test_the_server_is_asked_in_one_call(past: Past, backend: FakeBackend) -> None:
    states_of(past)
    backend.statuses = {"2": JobStatus(JobState.RUNNING, "", "LYON")}
    found = document(past, "--server")
    assert found["servers"] == {"dirac": None}
    assert backend.called("states") == [sorted(["1", "2", "3", "4", "5", "6", "8"])]
    assert backend.closed == 1
    jobs = {job["name"]: job for job in found["jobs"]}
    assert (jobs["queued"]["state"], jobs["queued"]["site"]) == ("running", "LYON")
    assert jobs["running"]["state"] == "unknown"
    assert jobs["landed"]["state"] == "landed"
    assert past.records()["queued"].state == "queued", "it has written into the journal"


def test_without_need_no_server_is_asked(past: Past, backend: FakeBackend) -> None:
    states_of(past)
    document(past)
    assert backend.made == []
    past.database.change("UPDATE jobs SET phase='failed'", [()])
    assert document(past, "--server")["servers"] == {}
    assert backend.made == []


def test_it_is_asked_by_the_options_of_its_last_run(past: Past, backend: FakeBackend) -> None:
    past.run("run1", "dirac", site="A")
    past.run("run2", "dirac", site="B")
    past.put_run("run2", started=time.time() + 1)
    past.run("run3", "panda", site="C")
    past.put_run("run3", started=time.time() + 2)
    past.run("run4", "dirac", site="B")
    past.put_run("run4", started=1.0)
    past.job("a-1", grid_id="1")
    document(past, "--server")
    ((settings, workdir, guest),) = backend.made
    assert (settings.backend, settings.site) == ("dirac", "B")
    assert workdir == past.directory.resolve()
    assert guest


@pytest.mark.parametrize("by", ["run", "option", "variable"])
def test_a_python_that_has_moved(
    past: Past, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    past.run("run1", dirac_python="/gone/python", panda_python="/other/python")
    past.job("a-1", grid_id="1")
    python = past.directory / "python"
    arguments = ["--grid-dirac-python", str(python)] if by == "option" else []
    if by == "variable":
        monkeypatch.setenv("SNAKEMAKE_GRID_DIRAC_PYTHON", str(python))
    if by != "run":
        missing = call(past, "status", "--server", *arguments)
        assert missing.exit_code == 2
        assert "no program that can be run" in missing.output
        python.touch(mode=0o755)
    document(past, "--server", *arguments)
    ((settings, _, _),) = backend.made
    assert settings.dirac_python == (Path("/gone/python") if by == "run" else python)
    assert settings.panda_python == Path("/other/python")


@pytest.mark.parametrize("place", ["equip", "check_credentials", "states"])
@pytest.mark.parametrize(
    "error",
    [
        TransientError("no answer"),
        CredentialsError("no answer; run dirac-proxy-init"),
        RuntimeError("no answer of the library"),
    ],
)
def test_an_outage(past: Past, backend: FakeBackend, place: str, error: Exception) -> None:
    if place == "equip" and not isinstance(error, GridError):
        error = GridError("no answer")
    states_of(past)
    backend.errors[place] = error
    result = call(past, "status", "--server")
    assert result.exit_code == 0
    assert "dirac was not asked, this is what was known before: no answer" in result.output
    assert "held: somebody has to look at it" in result.output
    assert document(past, "--server")["servers"]["dirac"].startswith("no answer")
    assert backend.closed == (0 if place == "equip" else 2)


def test_a_warning_spoils_no_document(past: Past, backend: FakeBackend) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    backend.warning = "the proxy expires in 5 min"
    result = call(past, "status", "--server", "--json")
    assert json.loads(result.stdout)["servers"] == {"dirac": None}
    assert "expires in 5 min" in result.stderr


def test_jobs_of_a_backend_whose_options_nobody_noted(past: Past, backend: FakeBackend) -> None:
    past.job("a-1", grid_id="1")
    assert "no run has noted" in document(past, "--server")["servers"]["dirac"]
    assert backend.made == []


def test_a_local_site_of_another_host(past: Past, backend: FakeBackend) -> None:
    past.run("run1", "local")
    past.put_run("run1", host="elsewhere")
    past.job("a-1", grid_id="1")
    assert "run on elsewhere" in document(past, "--server")["servers"]["local"]
    assert backend.made == []


def test_what_the_server_says_of_a_job_that_is_held(past: Past, backend: FakeBackend) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1", said=JobStatus(JobState.HELD))
    backend.statuses = {"1": JobStatus(JobState.HELD, "pilot is paused")}
    assert "look at it (pilot is paused)" in call(past, "status", "--server").output


# Watching


def test_watching(past: Past, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    states_of(past)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        past.journal.ended("queued", Phase.FAILED, "seen later")
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "sleep", sleep)
    result = call(past, "status", "--watch", "--server")
    assert result.exit_code == 0
    assert pauses == [5.0] * 3
    assert result.output.count("No run is going on") == 3
    assert result.output.count("seen later") == 2
    assert len(backend.made) == 1, "it opens the client anew each time"
    assert len(backend.called("states")) == 3
    assert backend.closed == 1


def test_watching_at_another_pace(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    past.run("run1")

    async def sleep(seconds: float) -> None:
        assert seconds == 2.5
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert call(past, "status", "--watch", "2.5").exit_code == 0
    assert call(past, "status", "--watch", "0").exit_code == 2
    assert call(past, "status", "--watch", "--json").exit_code == 2


# Errors


@pytest.mark.parametrize("command", ["status", "logs", "describe", "cancel"])
def test_a_directory_without_a_workflow(tmp_path: Path, command: str) -> None:
    arguments = [command, "-d", str(tmp_path), *([] if command == "status" else ["align"])]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "no workflow has run here" in result.output
    assert list(tmp_path.iterdir()) == [], "it has made something"


@pytest.mark.parametrize("command", ["status", "logs", "describe", "cancel"])
def test_a_damaged_database(tmp_path: Path, command: str) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / DATABASE_FILE).write_text("not a database, but longer than its header" * 9)
    arguments = [command, "-d", str(tmp_path), *([] if command == "status" else ["align"])]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert f"{DATABASE_FILE}: cannot be read" in result.output


# Choosing


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["align"], ["a-1", "a-1.1", "a-2", "a-3"]),
        (["align", "sample=b"], ["a-2"]),
        (["align sample=b"], ["a-2"]),
        (["align (sample=b)"], ["a-2"]),
        (["align", "sample=b", "sample=c"], ["a-2", "a-3"]),
        (["align", "sample=b", "sort"], ["a-2", "s-1"]),
        (["123"], ["a-2"]),
        (["a-1"], ["a-1", "a-1.1"]),
        (["a-1.1"], ["a-1.1"]),
        (["77"], ["a-3"]),
        (["77:a-3"], ["a-3"]),
        (["sort", "align", "sample=c"], ["a-3", "s-1"]),
    ],
)
def test_choosing_jobs(past: Past, words: list[str], names: list[str]) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    past.job("a-1.1", origin="a-1")
    past.job("a-2", sample="b", grid_id="123")
    past.job("a-3", sample="c", grid_id="77:a-3")
    past.job("s-1", "sort", "")
    chosen = select(list(past.records().values()), words)
    assert [job.name for job in chosen] == names


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["algin"], "no rule and no job 'algin' in the journal. Its rules are align, sort"),
        (["align", "sample=z"], r"align: no job has sample=z. There is align \(sample=a\)."),
        (["sample=a"], "name the rule before its wildcards, as in: align sample=a"),
    ],
)
def test_choosing_none(past: Past, words: list[str], said: str) -> None:
    past.run("run1")
    past.job("a-1")
    past.job("s-1", "sort", "")
    with pytest.raises(GridError, match=said):
        select(list(past.records().values()), words)


def test_jobs_without_outputs_are_told_apart_by_their_wildcards(past: Past) -> None:
    past.run("run1")
    for name, sample in (("a-1", "a"), ("a-2", "b"), ("a-3", "a")):
        past.job(name, sample=sample)
        past.put(name, outputs="[]")
    assert [job.name for job in latest(past.records().values())] == ["a-2", "a-3"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7500, "2 h 5 min")],
)
def test_lengths_of_time(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_options_are_those_of_the_executor() -> None:
    def command() -> None: ...

    made = click.command()(server.python_options(command))
    found = {
        option.name: option.envvar for option in made.params if isinstance(option, click.Option)
    }
    assert found == {
        "dirac_python": "SNAKEMAKE_GRID_DIRAC_PYTHON",
        "panda_python": "SNAKEMAKE_GRID_PANDA_PYTHON",
    }
