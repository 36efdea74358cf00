from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.journal.records import JobRecord, Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.model.tracked import TrackedJob
from snakemake_executor_plugin_grid.worker.description import Output
from tests.unit.specs import spec, tracked


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "grid.sqlite")


def entry(name: str, identity: str = "same", **fields: Any) -> TrackedJob:
    return tracked(spec(name, **fields), identity)


def submit(journal: Journal, *names: str) -> None:
    journal.submitting([entry(name) for name in names])


def row(database: Database, name: str, *columns: str) -> tuple[Any, ...]:
    query = f"SELECT {', '.join(columns)} FROM jobs WHERE name=?"  # noqa: S608
    (found,) = database.query(query, (name,))
    return tuple(found)


def left_names(database: Database, run: str = "later", backend: str = "local") -> list[str]:
    return sorted(left.name for left in Journal(database, run, backend).open_jobs())


def test_jobs_of_an_earlier_run_are_left(database: Database) -> None:
    earlier = Journal(database, "run1", "local")
    names = ("unsure", "there", "unwanted", "here", "good", "bad", "gone")
    submit(earlier, *names)
    earlier.submitted({name: f"id-{name}" for name in names[1:]})
    earlier.cancelling(["unwanted"])
    earlier.ended("here", Phase.OUTPUTS_INSTALLED, report="{}")
    earlier.ended("good", Phase.OUTPUTS_INSTALLED, report="{}")
    earlier.noted(["good"])
    earlier.ended("bad", Phase.FAILED, "exit code 1")
    earlier.ended("gone", Phase.CANCELLED)
    left = {job.name: job for job in Journal(database, "run2", "local").open_jobs()}
    assert {name: job.phase for name, job in left.items()} == {
        "unsure": Phase.SUBMITTING,
        "there": Phase.SUBMITTED,
        "unwanted": Phase.CANCELLING,
        "here": Phase.OUTPUTS_INSTALLED,
    }
    assert left["unsure"].grid_id is None
    assert left["there"].grid_id == "id-there"
    assert not any(job.phase.over for job in left.values())
    assert all(Phase(row(database, name, "phase")[0]).over for name in names if name not in left)


def test_what_the_next_run_has_to_know_of_a_job_is_kept(database: Database) -> None:
    outputs = tuple(Output(name, kind) for name, kind in (("b", "output"), ("a", "output")))
    outputs += (Output("l", "log"), Output("t", "benchmark"), Output("p", "staying"))
    one = spec("a-2.1", attempt=3, outputs=outputs)
    before = time.time()
    Journal(database, "run1", "local").submitting([tracked(one, "sum", "a-2")])
    (left,) = Journal(database, "run2", "local").open_jobs()
    assert before <= left.changed <= time.time()
    assert left.sent == left.changed
    assert left == JobRecord(
        name="a-2.1",
        origin="a-2",
        run="run1",
        rule="sort",
        wildcards={"sample": "a"},
        jobid="3",
        attempt=3,
        backend="local",
        grid_id=None,
        phase=Phase.SUBMITTING,
        detail="",
        state="",
        site="",
        outputs=("a", "b"),
        requested=asdict(one.resources),
        began=1.0,
        sent=left.sent,
        accepted=None,
        running=None,
        ended=None,
        finished=None,
        changed=left.changed,
        identity="sum",
    )


def test_own_jobs_and_those_of_other_backends_are_not_left(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    submit(journal, "a")
    submit(Journal(database, "run0", "dirac"), "b", "c", "d", "e")
    dirac = Journal(database, "run0", "dirac")
    dirac.submitted({"c": "1"})
    dirac.ended("d", Phase.OUTPUTS_INSTALLED)
    dirac.ended("e", Phase.FAILED)
    assert journal.open_jobs() == []
    assert left_names(database, "run2", "dirac") == ["b", "c", "d"]
    assert journal.open_elsewhere() == {"dirac ()": 3}
    assert Journal(database, "run2", "dirac").open_elsewhere() == {"local ()": 1}


def test_jobs_on_another_server_are_not_left(database: Database) -> None:
    here, there = Journal(database, "run1", "dirac"), Journal(database, "run2", "dirac")
    here.endpoint, there.endpoint = "dirac.example.org", "other.example.org"
    submit(here, "a", "b")
    submit(there, "c")
    submit(Journal(database, "run0", "dirac"), "d")  # of a former version
    later = Journal(database, "run3", "dirac")
    later.endpoint = here.endpoint
    assert sorted(left.name for left in later.open_jobs()) == ["a", "b", "d"]
    assert later.open_elsewhere() == {"dirac (other.example.org)": 1}


def test_the_last_endpoint_is_that_of_the_last_open_job(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    assert journal.last_endpoint() == ""
    for endpoint in ("a:/one", "a:/two", "a:/three"):
        journal.endpoint = endpoint
        submit(journal, endpoint[3:])
    dirac = Journal(database, "run2", "dirac")
    dirac.endpoint = "dirac.example.org"
    submit(dirac, "there")
    assert journal.last_endpoint() == "a:/three"
    journal.ended("three", Phase.SUCCEEDED)
    assert journal.last_endpoint() == "a:/two"
    journal.submitted({"one": "17"})  # which is newer
    assert journal.last_endpoint() == "a:/one"
    for phase in (Phase.CANCELLING, Phase.OUTPUTS_INSTALLED):
        journal.ended("one", phase)
        assert journal.last_endpoint() == "a:/one"
    journal.noted(["one"])
    journal.ended("two", Phase.FAILED)
    assert journal.last_endpoint() == ""
    assert dirac.last_endpoint() == "dirac.example.org"


def test_jobs_that_are_over_need_cleanup_until_they_are_discarded(database: Database) -> None:
    earlier = Journal(database, "run1", "local")
    names = ("good", "bad", "gone", "here", "there", "unwanted", "refused")
    submit(earlier, *names)
    earlier.submitted({name: f"id-{name}" for name in names if name != "refused"})
    earlier.ended("good", Phase.OUTPUTS_INSTALLED)
    earlier.ended("here", Phase.OUTPUTS_INSTALLED)
    earlier.noted(["good"])
    earlier.ended("bad", Phase.FAILED)
    earlier.ended("gone", Phase.CANCELLED)
    earlier.ended("refused", Phase.FAILED)
    earlier.cancelling(["unwanted"])
    later = Journal(database, "run2", "local")
    assert sorted(later.needs_cleanup()) == ["bad", "gone", "good"]
    assert earlier.needs_cleanup() == []  # it has not ended yet, and does it by itself
    later.discarded(["good", "gone", "unknown"])
    assert later.needs_cleanup() == ["bad"]
    assert row(database, "good", "phase") == ("succeeded",)
    later.noted(["here"])
    assert sorted(later.needs_cleanup()) == ["bad", "here"]


def test_an_adopted_job_needs_cleanup_until_it_is_discarded(database: Database) -> None:
    submit(Journal(database, "run1", "local"), "a")  # the answer was lost
    later = Journal(database, "run2", "local")
    later.adopted({"a": ("17", "3")})
    later.ended("a", Phase.FAILED)
    last = Journal(database, "run3", "local")
    assert last.needs_cleanup() == ["a"]
    last.discarded(["a"])
    assert last.needs_cleanup() == []


def test_jobs_of_other_servers_are_not_cleaned_up_here(database: Database) -> None:
    for run, (backend, endpoint) in enumerate(
        (("local", "a:/one"), ("local", "a:/two"), ("local", ""), ("dirac", "a:/one"))
    ):
        journal = Journal(database, f"run{run}", backend)
        journal.endpoint = endpoint
        submit(journal, f"{run}")
        journal.submitted({f"{run}": "17"})
        journal.ended(f"{run}", Phase.FAILED)
    later = Journal(database, "later", "local")
    later.endpoint = "a:/one"
    assert sorted(later.needs_cleanup()) == ["0", "2"]  # an older version noted no endpoint


def test_a_job_that_is_adopted_belongs_to_the_later_run(database: Database) -> None:
    earlier = Journal(database, "run1", "local")
    names = ("unsure", "there", "here")
    submit(earlier, *names)
    earlier.submitted({"there": "17", "here": "18"})
    earlier.ended("here", Phase.OUTPUTS_INSTALLED)
    (accepted,) = row(database, "there", "accepted")
    later = Journal(database, "run2", "local")
    later.adopted({"unsure": ("16", "7"), "there": ("17", "8"), "here": ("18", "9")})
    assert later.open_jobs() == []
    found = {name: row(database, name, "run", "grid_id", "jobid", "phase") for name in names}
    assert found == {
        "unsure": ("run2", "16", "7", "submitted"),
        "there": ("run2", "17", "8", "submitted"),
        "here": ("run2", "18", "9", "outputs installed"),
    }
    assert row(database, "there", "accepted") == (accepted,)
    assert row(database, "unsure", "accepted") != (None,)
    assert left_names(database, "run3") == sorted(names)


def test_what_is_told_of_a_job_is_kept(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    journal.submitting([entry("a", attempt=2, wildcards=(("x", 'q"ü'),))])
    journal.submitted({"a": "17"})
    journal.ended("a", Phase.FAILED, "out of disk", '{"name": "a"}')
    (wildcards, *rest) = row(
        database,
        "a",
        *("wildcards", "rule", "jobid", "attempt", "grid_id", "phase", "detail", "report", "began"),
    )
    assert json.loads(wildcards) == {"x": 'q"ü'}
    assert rest == ["sort", "3", 2, "17", "failed", "out of disk", '{"name": "a"}', 1.0]


def test_a_success_that_snakemake_has_noted_keeps_its_report(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    submit(journal, "a", "b")
    journal.ended("a", Phase.OUTPUTS_INSTALLED, "success", "{}")
    journal.noted(["a", "b", "unknown"])
    assert row(database, "a", "phase", "detail", "report") == ("succeeded", "success", "{}")
    assert row(database, "b", "phase") == ("submitting",)  # its outputs are not installed


def test_an_answer_that_comes_after_cancelling_does_not_undo_it(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    submit(journal, "a", "b")
    journal.cancelling(["a"])
    journal.submitted({"a": "17", "b": "18"})
    assert row(database, "a", "phase", "grid_id") == ("cancelling", "17")
    assert row(database, "b", "phase", "grid_id") == ("submitted", "18")


def test_times_of_a_job_are_those_when_they_were_seen_first(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    submit(journal, "a")
    journal.seen({"a": JobStatus(JobState.RUNNING, site="A")})
    (running,) = row(database, "a", "running")
    journal.seen({"a": JobStatus(JobState.QUEUED)})
    journal.seen({"a": JobStatus(JobState.RUNNING)})
    assert row(database, "a", "running", "site", "ended") == (running, "A", None)
    journal.seen({"a": JobStatus(JobState.DONE, site="B")})
    (ended,) = row(database, "a", "ended")
    assert ended >= running
    journal.seen({"a": JobStatus(JobState.FAILED)})
    assert row(database, "a", "ended", "site", "state") == (ended, "B", "failed")


def test_name_is_submitted_once(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    submit(journal, "a")
    with pytest.raises(GridError):
        journal.submitting([entry("b"), entry("a")]).wait()
    assert left_names(database) == ["a"]


def test_runs_are_noted_with_their_ends(database: Database) -> None:
    first, second = Journal(database, "run1", "local"), Journal(database, "run2", "dirac")
    first.begin_run("file:///s", {"large_file": 7})
    second.begin_run("", {})
    first.end_run("left", 10, 20)
    columns = "name, backend, store, settings, end, ended IS NULL, stored_bytes, reused_bytes"
    assert database.query(f"SELECT {columns} FROM runs ORDER BY name") == [  # noqa: S608
        ("run1", "local", "file:///s", '{"large_file": 7}', "left", 0, 10, 20),
        ("run2", "dirac", "", "{}", "", 1, 0, 0),
    ]


def test_trouble_is_noted_with_its_beginning_until_it_is_over(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    journal.begin_run("", {})
    begins = []
    for words in ("it is down", "it is down; the disk is full", "", "down again"):
        journal.trouble(words)
        ((noted, since),) = database.query("SELECT trouble, trouble_since FROM runs")
        assert noted == words
        begins.append(since)
    first, second, third, fourth = begins
    assert first == second > 0
    assert third is None
    assert fourth > 0
    journal.end_run("left", 0, 0)
    assert database.query("SELECT trouble, trouble_since FROM runs") == [("", None)]


def test_troubles_of_several_backends_are_noted_together(database: Database) -> None:
    shared: dict[str, str] = {}
    first, second = (Journal(database, "run1", name, shared) for name in ("dirac", "panda"))
    Journal(database, "run1", "dirac,panda").begin_run("", {})
    noted = []
    for journal, words in ((first, "a is down"), (second, "b is down"), (first, ""), (second, "")):
        journal.trouble(words)
        ((text,),) = database.query("SELECT trouble FROM runs")
        noted.append(text)
    assert noted == ["a is down", "a is down; b is down", "b is down", ""]


def test_sites_are_good_where_jobs_succeeded_lately(database: Database) -> None:
    journal, elsewhere = Journal(database, "run1", "dirac"), Journal(database, "run2", "panda")
    submit(journal, "good", "noted", "bad", "old", "nowhere")
    submit(elsewhere, "there")
    names = ("good", "noted", "bad", "old", "there")
    journal.seen({name: JobStatus(JobState.DONE, "", f"at {name}") for name in names})
    for name in (*names, "nowhere"):
        journal.ended(name, Phase.FAILED if name == "bad" else Phase.OUTPUTS_INSTALLED)
    journal.noted(["noted"])
    database.change("UPDATE jobs SET changed=? WHERE name='old'", [(time.time() - 30 * 86400,)])
    assert sorted(Journal(database, "run3", "dirac").good_sites()) == ["at good", "at noted"]
