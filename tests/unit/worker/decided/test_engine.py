"""Commands in containers: those of a rule, and those of a whole job.

A program stands in for Apptainer: it writes down its arguments and the variables for the container,
and runs the command outside of any.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.decided.decision import (
    PYTHON,
    SCRIPT,
    Command,
    Container,
    Script,
)
from snakemake_executor_plugin_grid.worker.description import WORKDIR
from snakemake_executor_plugin_grid.worker.payload_script import SETUP_FAILED
from snakemake_executor_plugin_grid.worker.runtime import Runtime

from ..programs import program
from .place import Place, place, step

__all__ = ["place"]

STAND_IN = """\
printf '%s\\n' "$@" > "$HOME/arguments"
env > "$HOME/variables"
while [ "$1" != sh ] && [ "$1" != bash ] && [ "$1" != /bin/sh ]; do shift; done
exec "$@"
"""


@pytest.fixture
def node(place: Place, tmp_path: Path) -> Place:
    program(tmp_path / "bin", "apptainer", STAND_IN)
    place.env["PATH"] = f"{tmp_path}/bin:/usr/bin:/bin"
    (place.cwd / "my image.sif").touch()
    return place


def arguments(place: Place) -> list[str]:
    return (place.scratch / "arguments").read_text().splitlines()


def test_the_line_of_the_engine(node: Place) -> None:
    container = Container(
        f"{WORKDIR}/my image.sif",
        "--nv --env 'A=b c'",
        (f"{WORKDIR}:/data:ro", "/no/such/folder", "/usr"),
    )
    result = node.run(step('echo "it\'s" in; exit 3', container=container))
    assert result.exit_code == 3
    assert node.log.startswith("it's in\n")
    cwd, scratch = str(node.cwd), str(node.scratch)
    assert arguments(node) == [
        *("exec", "--home", cwd, "--bind", scratch, "--bind", f"{cwd}:/data:ro", "--bind", "/usr"),
        *("--pwd", cwd, "--nv", "--env", "A=b c", f"{cwd}/my image.sif", "bash", "-c"),
        'set -euo pipefail;  echo "it\'s" in; exit 3',
    ]


def test_a_url_is_left_to_the_engine(node: Place) -> None:
    assert not node.run(step("true", container=Container("docker://busybox:1"))).exit_code
    assert "docker://busybox:1" in arguments(node)


def test_singularity_is_taken_where_there_is_no_apptainer(node: Place, tmp_path: Path) -> None:
    (tmp_path / "bin/apptainer").rename(tmp_path / "bin/singularity")
    assert node.run(step("true", container=Container("docker://x"))).reason == reports.SUCCESS


def test_a_node_without_an_engine(node: Place, tmp_path: Path) -> None:
    (tmp_path / "bin/apptainer").unlink()
    result = node.run(step("true", container=Container("docker://x")))
    assert (result.reason, result.exit_code) == (reports.NO_RUNTIME, None)
    assert "neither apptainer nor singularity" in result.message


def test_an_image_that_is_not_there(node: Place) -> None:
    result = node.run(step("true", container=Container("/cvmfs/no/image")))
    assert result.reason == reports.NO_RUNTIME
    assert "no container image /cvmfs/no/image" in result.message


def test_python_in_a_container_is_that_of_the_image(node: Place, tmp_path: Path) -> None:
    program(tmp_path / "bin", "python", "echo image; exit 2")
    one = Command(f"{PYTHON} {SCRIPT}", Script("s.py", "x"))
    result = node.run(step(commands=(one,), container=Container("docker://x")))
    assert (result.exit_code, node.log.split()[0]) == (2, "image")


@pytest.mark.parametrize(("before", "inside"), [("", "unset"), (":/of/setup", "/of/setup")])
def test_packages_of_the_node_stay_out_of_an_image(
    node: Place, tmp_path: Path, before: str, inside: str
) -> None:
    program(tmp_path / "bin", "apptainer", 'echo "${PYTHONPATH-unset}"')
    node.runtime = Runtime("wheels", python="3.11")
    node.env["GRID_PYTHON"] = "/usr/bin/python3.11"
    node.env["PYTHONPATH"] = f"{node.scratch}/runtime{before}"
    node.run(step("true", container=Container("docker://x")))
    assert node.log.strip() == inside


def test_a_long_command_in_a_container(node: Place) -> None:
    text = ": " + "x" * 70_000 + "; echo done; exit 5"
    assert node.run(step(text, container=Container("docker://x"))).exit_code == 5
    line, path = shlex.split(arguments(node)[-1])
    assert line == "bash"
    assert path.startswith(f"{node.cwd}/.snakemake/")


def whole(place: Place, setup: str = "") -> None:
    place.runtime = Runtime("container", image="image.sif", setup=setup, binds=("/usr:/usr",))


def test_commands_of_a_job_in_an_image(node: Place) -> None:
    whole(node, "echo setup; export OF_SETUP=7")
    node.env.update(SECRET="of 'mine'", LD_LIBRARY_PATH="/node")
    result = node.run(step('echo "$OF_SETUP $0"; exit 4', threads=5))
    assert (result.reason, result.exit_code) == (reports.PAYLOAD_FAILED, 4)
    assert node.log.splitlines()[:2] == ["setup", "7 bash"]
    found = arguments(node)
    assert found[:3] == ["exec", "--cleanenv", "--home"]
    assert found[found.index("--pwd") + 1] == str(node.cwd)
    assert not [one for one in found if "mine" in one]
    variables = (node.scratch / "variables").read_text().splitlines()
    assert "APPTAINERENV_SECRET=of 'mine'" in variables
    assert "APPTAINERENV_OMP_NUM_THREADS=5" in variables
    assert not [one for one in variables if one.startswith("APPTAINERENV_LD_")]
    assert not [one for one in node.cwd.rglob("*.sh") if one.is_file()]


@pytest.mark.parametrize(
    ("setup", "code"), [(". /no/such/file", SETUP_FAILED), ("exec true", 0), ("exec false", 1)]
)
def test_a_command_in_the_image_that_is_not_reached(node: Place, setup: str, code: int) -> None:
    whole(node, setup)
    result = node.run(step("touch ran"))
    assert result.reason == reports.NO_RUNTIME
    assert f"the command was not reached (exit code {code})" in result.message
    assert not (node.cwd / "ran").exists()


def test_a_command_in_the_image_with_an_exit_code_of_setup_lines(node: Place) -> None:
    whole(node, "true")
    result = node.run(step(f"exit {SETUP_FAILED}"))
    assert (result.reason, result.exit_code) == (reports.PAYLOAD_FAILED, SETUP_FAILED)
    assert not list(node.cwd.rglob("*began*"))


def test_an_engine_that_is_not_there(node: Place, tmp_path: Path) -> None:
    (tmp_path / "bin/apptainer").unlink()
    whole(node)
    result = node.run(step("true"))
    assert result.reason == reports.NO_RUNTIME
    assert "no apptainer; see --grid-runtime" in result.message


def test_the_image_of_a_rule_comes_before_that_of_the_job(node: Place) -> None:
    whole(node)
    node.run(step("true", container=Container("docker://rule")))
    assert "docker://rule" in arguments(node)
    assert "image.sif" not in arguments(node)
