"""Snakemake's marks of incomplete outputs: breaks when it changes them."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.settings import types as options
from snakemake.settings.enums import PersistenceBackend

from snakemake_executor_plugin_grid.snakemake_api.incomplete import (
    mark_incomplete,
    marked_incomplete,
)

from .conftest import Build

RULE = "rule a:\n    output: 'a', 'b'\n    shell: 'true'\n"


@pytest.mark.parametrize("group", [False, True])
def test_outputs_are_marked_as_incomplete_with_the_job_that_makes_them(
    build: Build, tmp_path: Path, group: bool
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    made = build(RULE)
    job = made.job("a")
    persistence = made.workflow.persistence
    assert not made.workflow.async_run(persistence.incomplete(job))
    before = time.time()
    given: Any = job
    if group:
        given = SimpleNamespace(jobs=[job], is_group=lambda: True, register=job.register)
    mark_incomplete(given, "17", 3600.0)
    assert made.workflow.async_run(persistence.incomplete(job))
    assert persistence.external_jobids(job) == ["17"]
    (folder,) = [path for path in tmp_path.rglob("incomplete") if path.is_dir()]
    times = [path.stat().st_mtime for path in folder.rglob("*") if path.is_file()]
    assert len(times) == 2
    # Snakemake takes the age of a mark for how long the job ran.
    assert all(abs(mark - before + 3600) < 60 for mark in times)


def test_marks_are_seen_until_snakemake_has_noted_the_success(build: Build, tmp_path: Path) -> None:
    outside = tmp_path.with_name(f"{tmp_path.name}-beside") / "c"
    made = build(f"rule a:\n    output: 'x/a', 'b', '{outside}'\n    shell: 'true'\n")
    workflow, job = made.workflow, made.job("a")
    paths = ["x/a", "b", str(outside), "other"]
    assert marked_incomplete(workflow, paths) == set()
    mark_incomplete(job, "17", 0.0)
    assert marked_incomplete(workflow, paths) == set(paths[:3])
    assert marked_incomplete(workflow, iter(["b", "other"])) == {"b"}
    assert marked_incomplete(workflow, []) == set()
    workflow.execution_settings = options.ExecutionSettings(keep_metadata=False)
    workflow.async_run(workflow.persistence.finished(job))
    assert marked_incomplete(workflow, paths) == set()


def test_a_mark_that_a_killed_run_has_left_is_seen(build: Build) -> None:
    snakefile = "rule a:\n    output: 'a'\n    shell: 'true'\n"
    earlier = build(snakefile)
    mark_incomplete(earlier.job("a"), "17", 0.0)
    assert marked_incomplete(build(snakefile).workflow, ["a"]) == {"a"}


def test_outputs_are_marked_in_a_database_as_well(build: Build, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    made = build(RULE, settings=options.WorkflowSettings(persistence_backend=PersistenceBackend.DB))
    mark_incomplete(made.job("a"), "17", 3600.0)
    assert marked_incomplete(made.workflow, ["a", "b", "other"]) == {"a", "b"}
    assert made.workflow.async_run(made.workflow.persistence.incomplete(made.job("a"))) == ["a"]
