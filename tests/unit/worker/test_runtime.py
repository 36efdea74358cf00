"""How a job's command gets its Snakemake on the worker node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import runtime as module
from snakemake_executor_plugin_grid.worker.runtime import (
    PYTHON_MISSING,
    SETUP_FAILED,
    Runtime,
    RuntimeMissing,
    container_command,
    container_environment,
    find_python,
    interpreter,
    payload_argv,
    script,
    wheels_environment,
)

SNAKEMAKE = '"$GRID_PYTHON" -m snakemake --version'


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def python(folder: Path, name: str, version: str, snakemake: bool) -> Path:
    """A program that answers the probe as a Python of that version would."""
    answer = f"{version} {'yes' if snakemake else 'no'}"
    return program(
        folder, name, f'if [ "$1" = -c ]; then echo "{answer}"; else echo {name} "$@"; fi'
    )


# --- what a job says of its runtime


@pytest.mark.parametrize(
    "runtime",
    [
        Runtime("inherit"),
        Runtime("setup", setup="source /cvmfs/x/setup.sh\nexport A=1"),
        Runtime("container", image="docker://a/b:1", engine_options=("--nv",), binds=("/cvmfs",)),
        Runtime("wheels", python="3.11"),
    ],
)
def test_json_round_trip(runtime: Runtime) -> None:
    assert Runtime.from_json(runtime.to_json()) == runtime


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"kind": "conda"}, "--grid-runtime 'conda'"),
        ({"kind": "setup", "setup": " \n"}, "--grid-runtime-setup"),
        ({"kind": "container"}, "--grid-runtime-image"),
        ({"kind": "container", "image": "--writable"}, "--writable"),
        ({"kind": "container", "image": "a.sif", "engine": "docker"}, "'docker'"),
        ({"kind": "wheels"}, "--grid-runtime-python"),
        ({"kind": "wheels", "python": "3.11.4"}, "3.11.4"),
        ({"kind": "inherit", "shell": "x"}, "shell"),
        ({"kind": "inherit", "binds": "/cvmfs"}, "binds"),
        ({"kind": "inherit", "setup": None}, "setup must be a string"),
        ({}, "no kind"),
    ],
)
def test_what_does_not_fit_is_named(data: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match="runtime") as caught:
        Runtime.from_json(data)
    assert named in str(caught.value)


def test_the_engine_may_be_a_path() -> None:
    assert Runtime("container", image="a.sif", engine="/cvmfs/a/bin/apptainer").image == "a.sif"


# --- the interpreter


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
    bare = [sys.executable, "-S", "-c", module._PROBE]
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


# --- the script

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


# --- the command line


def test_on_the_node_sh_runs_the_script() -> None:
    argv = payload_argv(Runtime("inherit"), "/job/a b.sh", folder="/job", cwd="/job/w")
    assert argv == ["/bin/sh", "/job/a b.sh"]


def test_container_command_line() -> None:
    runtime = Runtime(
        "container",
        image="/cvmfs/images/snakemake",
        engine_options=("--nv",),
        binds=("/cvmfs:/cvmfs:ro", "/data"),
    )
    argv = payload_argv(
        runtime, "/job/payload.sh", folder="/job", cwd="/job/tree", env_names=["A", "PATH"]
    )
    assert argv == [
        *("apptainer", "exec", "--cleanenv", "--home", "/job", "--bind", "/job:/job"),
        *("--bind", "/cvmfs:/cvmfs:ro", "--bind", "/data", "--pwd", "/job/tree", "--nv"),
        *("/cvmfs/images/snakemake", "/bin/sh", "/job/payload.sh"),
    ]


@pytest.mark.parametrize("folder", ["/job:1", "/job,1"])
def test_a_folder_that_cannot_be_bound(folder: str) -> None:
    with pytest.raises(RuntimeMissing, match=folder):
        container_command(
            Runtime("container", image="a.sif"), folder=folder, cwd=folder, script="x"
        )


def test_a_variable_that_cannot_be_handed_in() -> None:
    with pytest.raises(RuntimeMissing, match=r"'my\.key'.*envvars"):
        container_command(
            Runtime("container", image="a.sif"),
            folder="/job",
            cwd="/job",
            env_names=["my.key"],
            script="x",
        )


@pytest.mark.parametrize(
    ("engine", "prefix"),
    [
        ("apptainer", "APPTAINER"),
        ("singularity", "SINGULARITY"),
        ("/cvmfs/bin/apptainer", "APPTAINER"),
    ],
)
def test_variables_go_through_the_engines_environment(engine: str, prefix: str) -> None:
    env = {
        "TOKEN": "$(secret) 'x'",
        "HOME": "/home/me",
        "PATH": "/node/bin",
        "LD_LIBRARY_PATH": "/node/lib",
        "APPTAINER_BIND": "/x",
        "SINGULARITYENV_A": "b",
        "BASH_FUNC_module%%": "() { :; }",
    }
    assert container_environment(env, engine) == {
        f"{prefix}ENV_TOKEN": "$(secret) 'x'",
        f"{prefix}_NO_EVAL": "1",
    }


def test_wheels_environment() -> None:
    env = {"A": "1", "PATH": "/bin", "PYTHONPATH": "/site", "PYTHONHOME": "/site"}
    assert wheels_environment(env, "/job/wheels") == {
        "A": "1",
        "PATH": f"/job/wheels/bin{os.pathsep}/bin",
        "PYTHONPATH": "/job/wheels",
        "PYTHONNOUSERSITE": "1",
    }
    assert wheels_environment({}, "/w")["PATH"] == "/w/bin"
    assert env["PYTHONHOME"] == "/site"
