from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console.hints import Maker, hint
from snakemake_executor_plugin_grid.console.job_logs import JobLogs
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.report import Report

from .worker_logs import FOLDER, failed_rule, started

WORKDIR = Path("/home/me/analysis")
# As Python 3.11 (frozen) and 3.9 print it.
FROZEN = '  File "<frozen os>", line 679, in __getitem__\n'
OS_PY = '  File "/usr/lib/python3.9/os.py", line 679, in __getitem__\n    raise KeyError(key)\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "payload.log"


def advice(
    log: Path,
    output: str,
    reason: str = reports.PAYLOAD_FAILED,
    made_by: Maker = lambda _: "",
    **fields: object,
) -> str:
    log.write_text(output)
    report = Report("j", reason, **fields)  # type: ignore[arg-type]
    return hint(report, WORKDIR, JobLogs.read(log), made_by)


def test_missing_output_names_what_was_made_instead(log: Path) -> None:
    made = ["work/A.txt", "up1/b.txt"]
    text = advice(log, "", reports.OUTPUT_MISSING, missing=["work/a.txt"], undeclared=made)
    assert text == "files it made that no rule names: A.txt, b.txt"


def test_an_output_with_another_name_on_the_worker(log: Path) -> None:
    def about(missing: str, outputs: str, exit_code: int = 0) -> str:
        output = started(outputs=outputs)
        return advice(
            log, output, reports.OUTPUT_MISSING, missing=[f"work/{missing}"], exit_code=exit_code
        )

    changed = about("out/t_1795990000.txt", "out/t_1795993455.txt, out/b.txt")
    assert "out/t_1795993455.txt" in changed
    assert "must not change" in changed
    assert about("out/b.txt", "out/b.txt") == "", "the rule has just not made it"
    assert about("out/b.txt", f"{WORKDIR}/out/b.txt") == ""
    assert about("out/b.txt", "out/a.txt", exit_code=1) == "", "of a rule that did not start"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (f"open {WORKDIR}/data.csv failed", f"mentions {WORKDIR}, which exists on the submit host"),
        ("cat: x: No such file or directory", "--grid-include"),
        ("FileNotFoundError: x", "--grid-include"),
        ("MissingInputException in rule a", "--grid-include"),
        ("python: No module named snakemake", "--grid-runtime"),
        (f"KeyError in file \"{FOLDER}/Snakefile\", line 3:\n'KEY'\n{FROZEN}", "KEY"),
        (f"Error:\n  KeyError: 'KEY'\nTraceback:\n{FROZEN}", "envvars:"),
        (f"{OS_PY}KeyError: 'KEY'", "envvars:"),
        ("fatal: not a git repository (or any of the parent directories): .git", "git"),
        ("git.exc.InvalidGitRepositoryError: /tmp", "--config"),
        ("ModuleNotFoundError in file x, line 1:\nNo module named 'hist.axis'", "hist.axis"),
        ("ModuleNotFoundError: No module named 'hist'", "container:"),
        ("/usr/bin/bash: line 1: root: command not found", "has no root: choose a site"),
        ("sh: 1: tools/fit: not found", "has no tools/fit: choose a site"),
        ("bash: line 1: module: command not found", "environment modules"),
        ("sh: 1: module: not found", "envmodules:"),
    ],
)
def test_output_of_the_payload_gives_a_hint(log: Path, output: str, words: str) -> None:
    assert words in advice(log, output)
    assert words in advice(log, failed_rule(1, f"{output}\n"))
    assert advice(log, output, reports.KILLED) == ""


def test_a_log_of_the_rule_gives_a_hint(log: Path) -> None:
    log.write_text("ModuleNotFoundError: No module named 'hist'\n")
    logs = JobLogs.read(None, {"logs/a": log})
    assert "hist" in hint(Report("j", reports.PAYLOAD_FAILED), WORKDIR, logs, lambda _: "")


@pytest.mark.parametrize(
    "output",
    ["ValueError: x", "KeyError: 'column'", "gene: not found in table", failed_rule(1, "oops\n")],
)
def test_other_output_gives_no_hint(log: Path, output: str) -> None:
    assert advice(log, output) == ""
    log.unlink()
    report = Report("j", reports.PAYLOAD_FAILED)
    assert hint(report, WORKDIR, JobLogs.read(log), lambda _: "") == ""


def test_a_command_that_was_killed(log: Path) -> None:
    assert "mem_mb" in advice(log, failed_rule(137))
    assert advice(log, failed_rule(139)) == ""


@pytest.mark.parametrize(
    "line",
    [
        "cat: side/x.dat: No such file or directory",
        f"FileNotFoundError: [Errno 2] No such file or directory: '{FOLDER}/side/x.dat'",
        "python3: can't open file 'side/x.dat': [Errno 2] No such file or directory",
    ],
)
def test_a_file_that_another_rule_left_undeclared(log: Path, line: str) -> None:
    makers = {"side/x.dat": "rule fit (run=4)"}
    text = advice(log, failed_rule(1, f"{line}\n"), made_by=lambda path: makers.get(path, ""))
    assert "side/x.dat was made by rule fit (run=4)" in text
    assert "directory()" in text


@pytest.mark.parametrize(
    "line",
    [
        "Error: The package snakemake-storage-plugin-s3 is not installed.",
        "No storage provider found for query s3://bucket/in.txt. Either install the required",
        "__main__.py: error: unrecognized arguments: --latency --storage-s3-retries=3",
    ],
)
def test_a_missing_storage_plugin_is_explained(log: Path, line: str) -> None:
    text = advice(log, f"{line}\n")
    assert "lacks a storage plugin" in text
    assert "--grid-runtime wheels" in text
