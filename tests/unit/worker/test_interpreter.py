from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.interpreter import PROBE, find_python, interpreter
from snakemake_executor_plugin_grid.worker.runtime import Runtime, RuntimeMissing
from tests.unit.worker.programs import SNAKEMAKE, program, python


def test_python_comes_before_python3(tmp_path: Path) -> None:
    first = python(tmp_path, "python", "3.9", False)
    python(tmp_path, "python3", "3.11", False)
    assert find_python("inherit", path=str(tmp_path)) == str(first)


def test_python_2_is_passed_over(tmp_path: Path) -> None:
    python(tmp_path, "python", "2.7", False)
    second = python(tmp_path, "python3", "3.9", False)
    assert find_python("inherit", path=str(tmp_path)) == str(second)


def test_the_one_with_snakemake_is_taken(tmp_path: Path) -> None:
    python(tmp_path, "python", "3.12", False)
    second = python(tmp_path, "python3", "3.11", True)
    assert find_python("inherit", path=str(tmp_path), snakemake=True) == str(second)


def test_without_snakemake_the_error_says_what_is_there(tmp_path: Path) -> None:
    python(tmp_path, "python", "3.12", False)
    program(tmp_path, "python3", "exit 127")
    with pytest.raises(RuntimeMissing) as caught:
        find_python("inherit", path=str(tmp_path), snakemake=True)
    text = str(caught.value)
    assert f"{tmp_path}/python is Python 3.12 without snakemake" in text
    assert f"{tmp_path}/python3 does not run" in text
    assert "--grid-runtime wheels" in text


def test_no_python_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeMissing, match=r"no Python 3 on .* found: none"):
        find_python("setup", path=str(tmp_path))


def test_wheels_take_this_interpreter_if_it_matches(tmp_path: Path) -> None:
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert find_python("wheels", path=str(tmp_path), wanted=mine) == sys.executable


@pytest.mark.parametrize("name", ["python3.99", "python3", "python"])
def test_wheels_look_for_the_version(tmp_path: Path, name: str) -> None:
    found = python(tmp_path, name, "3.99", False)
    assert find_python("wheels", path=str(tmp_path), wanted="3.99") == str(found)


def test_wheels_without_that_version(tmp_path: Path) -> None:
    python(tmp_path, "python3", "3.98", True)
    with pytest.raises(RuntimeMissing) as caught:
        find_python("wheels", path=str(tmp_path), wanted="3.99")
    text = str(caught.value)
    assert "no Python 3.99" in text
    assert f"{tmp_path}/python3 is Python 3.98" in text
    assert sys.executable in text
    assert "--grid-runtime-python" in text


def test_a_folder_named_snakemake_is_not_snakemake(tmp_path: Path) -> None:
    (tmp_path / "snakemake").mkdir()
    bare = [sys.executable, "-S", "-c", PROBE]
    env = {"PYTHONPATH": str(tmp_path)}
    assert subprocess.check_output(bare, env=env, text=True).split()[1] == "no"
    (tmp_path / "snakemake" / "__init__.py").touch()
    assert subprocess.check_output(bare, env=env, text=True).split()[1] == "yes"


def test_where_the_script_looks_itself(tmp_path: Path) -> None:
    path = str(tmp_path)
    assert interpreter(Runtime("container", image="a.sif"), SNAKEMAKE, path=path) == ""
    assert interpreter(Runtime("setup", setup=". a"), SNAKEMAKE, path=path) == ""
    assert interpreter(Runtime("inherit"), "echo", path=path) == ""
    with pytest.raises(RuntimeMissing):
        interpreter(Runtime("wheels", setup=". a", python="3.99"), SNAKEMAKE, path=path)
    found = python(tmp_path, "python3", "3.11", False)
    assert interpreter(Runtime("inherit"), '"$GRID_PYTHON" x.py', path=path) == str(found)
    with pytest.raises(RuntimeMissing, match="without snakemake"):
        interpreter(Runtime("inherit"), SNAKEMAKE, path=path)
