from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.snakemake_api import comparison
from snakemake_executor_plugin_grid.snakemake_api.comparison import watch
from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from snakemake_executor_plugin_grid.worker import comparison as worker_comparison
from snakemake_executor_plugin_grid.worker import interpreter, processes
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.comparison import (
    MODULES,
    compared_command,
    comparison_folder,
    found_difference,
    write_comparison,
)
from snakemake_executor_plugin_grid.worker.description import Job
from snakemake_executor_plugin_grid.worker.interpreter import RUNS_SNAKEMAKE
from snakemake_executor_plugin_grid.worker.payload import starter
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker.tree import Tree
from tests.unit.worker.worker_node import Node

COMMAND = '"$GRID_PYTHON" -m snakemake --snakefile Snakefile'
SOURCES = Path(str(comparison.__file__)).parent


def job(**fields: str) -> Job:
    return Job("n", COMMAND, (), (), (), Runtime("inherit"), **fields)  # type: ignore[arg-type]


def test_every_module_travels(tmp_path: Path) -> None:
    names = {path.stem for path in SOURCES.glob("*.py")}
    assert {*MODULES} == names
    write_worker(tmp_path / "worker.pyz")
    with zipfile.ZipFile(tmp_path / "worker.pyz") as archive:
        for name in names:
            text = archive.read(f"snakemake_api/comparison/{name}.py")
            assert text == (SOURCES / f"{name}.py").read_bytes()


def test_both_sides_name_the_files_alike() -> None:
    assert worker_comparison._EXPECTED == watch.EXPECTED_FILE
    assert worker_comparison._DIFFERENCE == watch.DIFFERENCE_FILE


def test_a_job_without_a_comparison_is_started_as_ever(tmp_path: Path) -> None:
    assert compared_command(COMMAND, job(), tmp_path) == COMMAND
    write_comparison(job(), tmp_path, Tree(tmp_path / "tree", ()))
    assert not comparison_folder(tmp_path).exists()


def test_the_command_starts_the_comparison(tmp_path: Path) -> None:
    scratch = tmp_path / "it's here"
    command = compared_command(COMMAND, job(comparison="{}"), scratch)
    assert RUNS_SNAKEMAKE in command  # so it gets a Python that has Snakemake
    assert command.startswith('"$GRID_PYTHON" ')
    assert command.endswith(" -m snakemake --snakefile Snakefile")
    words = subprocess.run(
        ["sh", "-c", command.replace('"$GRID_PYTHON"', "printf '%s\\n'")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert words[0] == str(comparison_folder(scratch))
    with pytest.raises(ValueError, match="does not contain"):
        compared_command("true", job(comparison="{}"), scratch)


def test_python_finds_modules_as_without_the_comparison(tmp_path: Path) -> None:
    """``sys.path[0]`` is the working directory, and Snakemake gets its arguments."""
    tree = Tree(tmp_path / "tree", ())
    asked = job(comparison='{"jobs": {}, "places": [], "secrets": []}')
    write_comparison(asked, tmp_path, tree)
    (tree.cwd / "snakemake.py").write_text("import sys; print(sys.path[0], sys.argv[1:])")
    folder = comparison_folder(tmp_path)
    main = (folder / "__main__.py").read_text()
    (folder / "grid_comparison" / "watch.py").write_text("def watch(folder): pass\n")
    assert "grid_comparison.start" in main
    shown = subprocess.run(
        [sys.executable, str(folder), "-m", "snakemake", "--x", "-m"],
        cwd=tree.cwd,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown == f"{tree.cwd} ['--x', '-m']\n"


def test_a_difference_is_the_reports_message(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.change(
        command='mkdir -p ../comparison; printf "it differs" > ../comparison/difference.txt; exit 1'
    )
    report = node.run()
    assert (report.reason, report.message) == (reports.PAYLOAD_FAILED, "it differs")


def test_no_difference_is_no_message(tmp_path: Path) -> None:
    assert found_difference(tmp_path) == ""


@pytest.mark.parametrize("kind", ["setup", "wheels", "container"])
def test_every_kind_of_runtime_starts_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(interpreter, "interpreter", lambda *_, **__: sys.executable)
    seen = []
    monkeypatch.setattr(processes, "starter", lambda line, *_: seen.append(line))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "environment.json").write_text("{}")
    image = "image.sif" if kind == "container" else ""
    runtime = Runtime(kind, setup="true" if kind == "setup" else "", image=image, python="3.11")
    asked = Job("n", COMMAND, (), (), (), runtime, comparison='{"jobs": {}}')
    starter(asked, tmp_path, scratch, Tree(scratch / "tree", ()), None)
    text = (scratch / "payload.sh").read_text()
    assert f'"$GRID_PYTHON" {comparison_folder(scratch)} -m snakemake --snakefile' in text
    assert (comparison_folder(scratch) / "expected.json").exists()
    if kind == "container":
        assert f"{scratch}:{scratch}" in seen[0]  # the container sees it
