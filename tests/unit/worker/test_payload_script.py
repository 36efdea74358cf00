from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.description import in_folder
from snakemake_executor_plugin_grid.worker.payload_script import (
    PYTHON_MISSING,
    SETUP_FAILED,
    script,
)
from tests.unit.worker.programs import SNAKEMAKE, program, python

SHELLS = [shell for shell in ("dash", "bash", "sh") if shutil.which(shell)]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    found = shutil.which(request.param)
    assert found
    return found


def run(
    shell: str, folder: Path, text: str, path: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    file = folder / "job.sh"
    file.write_text(text)
    return subprocess.run(
        [shell, str(file)],
        cwd=folder,
        env={"PATH": path or "/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def without_bash(folder: Path) -> str:
    """A PATH on which there is no bash."""
    folder.mkdir()
    for name in ("cat", "true"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return str(folder)


def test_setup_is_seen_by_the_command(tmp_path: Path, shell: str) -> None:
    (tmp_path / "setup.sh").write_text("GREETING='hello  there'\nexport GREETING\n")
    text = script('echo "$GREETING"; exit 7', "# comment\n. ./setup.sh\n# 'end")
    done = run(shell, tmp_path, text)
    assert (done.stdout, done.stderr, done.returncode) == ("hello  there\n", "", 7)


def test_setup_may_be_written_for_bash(tmp_path: Path, shell: str) -> None:
    (tmp_path / "setup.sh").write_text("a=(1 2 3)\nexport COUNT=${#a[@]}\n")
    done = run(shell, tmp_path, script("echo $COUNT", "source ./setup.sh\n[[ $COUNT == 3 ]]"))
    assert (done.stdout, done.returncode) == ("3\n", 0)


@pytest.mark.parametrize(
    "setup",
    [
        ". ./missing",
        ". ./missing\nexport A=1",
        "source ./missing\nexport A=1",
        "export A=1\nfalse",
        "echo 'unclosed",
        "if true; then",
        "exit 0",
        "set -e\nfalse\ntrue",
        ". ./three\nexport A=1",
    ],
)
def test_a_failing_setup_has_its_own_exit_code(tmp_path: Path, shell: str, setup: str) -> None:
    (tmp_path / "three").write_text("return 3\n")
    done = run(shell, tmp_path, script("echo ran", setup))
    assert done.returncode == SETUP_FAILED
    assert "--grid-runtime-setup" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "setup",
    [
        "false\ntrue",
        "[ -n '' ] && echo no\nexport A=1",
        ". ./missing || true\nexport A=1",
        ". ./fickle",
    ],
)
def test_what_a_normal_setup_does_is_no_failure(tmp_path: Path, shell: str, setup: str) -> None:
    (tmp_path / "fickle").write_text("false\n. ./missing\nexport A=1\n")
    done = run(shell, tmp_path, script("echo ran; false; exit 4", setup))
    assert (done.stdout, done.returncode) == ("ran\n", 4)


@pytest.mark.skipif("dash" not in SHELLS, reason="needs a shell that is not bash")
def test_setup_without_bash(tmp_path: Path) -> None:
    dash = shutil.which("dash")
    assert dash
    path = without_bash(tmp_path / "bin")
    good = run(dash, tmp_path, script("echo $A", "A=1"), path)
    assert (good.stdout, good.returncode) == ("1\n", 0)
    bad = run(dash, tmp_path, script("echo ran", ". ./missing\nA=1"), path)
    assert (bad.stdout, bad.returncode) == ("", SETUP_FAILED)


def test_the_interpreter_is_found_after_setup(tmp_path: Path, shell: str) -> None:
    python(tmp_path / "old", "python", "3.9", False)
    python(tmp_path / "new", "python3", "3.12", True)
    setup = f"PATH={tmp_path}/new:$PATH"
    done = run(shell, tmp_path, script(SNAKEMAKE, setup), GRID_PYTHON=f"{tmp_path}/old/python")
    assert done.stdout == "python3 -m snakemake --version\n"


def test_without_setup_the_environment_names_the_interpreter(tmp_path: Path, shell: str) -> None:
    found = python(tmp_path / "a folder", "python", "3.12", False)
    done = run(shell, tmp_path, script(SNAKEMAKE, ""), GRID_PYTHON=str(found))
    assert done.stdout == "python -m snakemake --version\n"


def test_a_fixed_interpreter_outlives_setup(tmp_path: Path, shell: str) -> None:
    python(tmp_path / "new", "python", "3.12", True)
    found = python(tmp_path / "a folder", "mine", "3.11", False)
    text = script(
        SNAKEMAKE + '; echo "$PYTHONPATH|$PATH|${PYTHONHOME-unset}"',
        f"export PYTHONPATH=/view PYTHONHOME=/view PATH={tmp_path}/new:$PATH",
        python=str(found),
        packages="/job/wheels",
    )
    version, paths = run(shell, tmp_path, text).stdout.splitlines()
    assert version == "mine -m snakemake --version"
    assert paths.startswith(f"/job/wheels:/view|/job/wheels/bin:{tmp_path}/new:")
    assert paths.endswith("|unset")


@pytest.mark.parametrize("setup", ["", "true", "set -eu"])
def test_no_interpreter_has_its_own_exit_code(tmp_path: Path, shell: str, setup: str) -> None:
    python(tmp_path / "bin", "python", "3.12", False)
    program(tmp_path / "bin", "python3", "exit 1")
    done = run(shell, tmp_path, script(SNAKEMAKE, setup), f"{tmp_path}/bin:/usr/bin:/bin")
    assert done.returncode == PYTHON_MISSING
    assert "none of python python3" in done.stderr
    assert "has snakemake" in done.stderr
    assert done.stdout == ""


def test_a_command_without_snakemake_takes_any_python_3(tmp_path: Path, shell: str) -> None:
    python(tmp_path / "bin", "python", "2.7", False)
    python(tmp_path / "bin", "python3", "3.9", False)
    text = script('"$GRID_PYTHON" x.py', "")
    assert run(shell, tmp_path, text, f"{tmp_path}/bin:/usr/bin:/bin").stdout == "python3 x.py\n"


def test_a_command_without_python_needs_none(tmp_path: Path, shell: str) -> None:
    done = run(shell, tmp_path, script("echo ran", ""), without_bash(tmp_path / "bin"))
    assert (done.stdout, done.returncode) == ("ran\n", 0)


def test_working_directory_in_a_command(shell: str, tmp_path: Path) -> None:
    folder = tmp_path / "with blank & $(sign)"
    folder.mkdir()
    command = in_folder('printf %s \'{"out": "<grid_workdir>/results"}\'', folder)
    assert json.loads(run(shell, folder, command).stdout) == {"out": f"{folder}/results"}
