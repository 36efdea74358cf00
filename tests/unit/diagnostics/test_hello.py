"""What the job of ``snakemake-grid check --submit`` answers: anything, if its worker lies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.diagnostics.hello import _own, read_answer
from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings

GENUINE = {"host": "node1", "python": "3.11", "executable": "/bin/python", "snakemake": "9.17"}


def test_answer_is_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "hello.json"
    path.write_text(json.dumps(GENUINE | {"host": "\x1b[2Jnode1", "more": [1]}))
    assert read_answer(path) == GENUINE


@pytest.mark.parametrize(
    "text", ["", "[]", "null", json.dumps(GENUINE | {"host": 1}), '{"host": "x"}', "[" * 50_000]
)
def test_damaged_answer_is_an_error_for_the_user(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hello.json"
    path.write_text(text)
    with pytest.raises(PermanentError, match=r"not JSON|name|nested"):
        read_answer(path)


def test_answer_is_not_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "other").write_text(json.dumps(GENUINE))
    (tmp_path / "hello.json").symlink_to("other")
    with pytest.raises(PermanentError, match="regular file"):
        read_answer(tmp_path / "hello.json")


@pytest.mark.parametrize(
    ("store", "own"),
    [
        ("davs://host/me/", "davs://host/me/job-1"),
        (
            "rucio://user.me/run?rse=RSE&lifetime=2d",
            "rucio://user.me/run/job-1?rse=RSE&lifetime=2d",
        ),
        (None, None),
    ],
)
def test_the_job_has_its_own_folder_in_the_store(store: str | None, own: str | None) -> None:
    assert _own(ExecutorSettings(store=store), "job-1").store == own
