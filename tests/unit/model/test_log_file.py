from __future__ import annotations

from collections import Counter
from pathlib import Path

from snakemake_executor_plugin_grid.model.job import log_file
from snakemake_executor_plugin_grid.model.names import JobName

RUN = "0a1b2c3d"


def test_no_folder_of_outputs_gets_more_than_a_few_hundred_entries(tmp_path: Path) -> None:
    files = [
        log_file(tmp_path, str(JobName(str(JobName.new("fit", RUN, number)), again)))
        for number in range(0, 100_000, 7)
        for again in range(2)
    ]
    assert len(set(files)) == len(files)
    assert max(Counter(file.parent for file in files).values()) <= 200
    assert len({file.parent for file in files}) == 1000


def test_the_submissions_of_a_job_are_in_one_folder(tmp_path: Path) -> None:
    first, second = (log_file(tmp_path, f"fit-{RUN}-1234{again}") for again in ("", ".1"))
    assert first == tmp_path / "logs" / RUN / "12" / f"fit-{RUN}-1234.log"
    assert second.parent == first.parent


def test_the_output_that_an_older_version_has_kept_is_found(tmp_path: Path) -> None:
    name = f"fit-{RUN}-1"
    old = tmp_path / "logs" / f"{name}.log"
    old.parent.mkdir()
    old.touch()
    assert log_file(tmp_path, name) == old
    old.unlink()
    assert log_file(tmp_path, name) != old
