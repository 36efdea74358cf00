"""What `container_command` makes does in a container what it has to (a stand-in for Apptainer)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.container import container_command, container_environment
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.servers.apptainer.fixture import URL, Apptainer, apptainer
from tests.servers.apptainer.image import NAME

__all__ = ["apptainer"]


def run(
    engine: Apptainer, job: Path, script: str, image: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    tree = job / "tree"
    tree.mkdir(parents=True)
    payload = job / "payload.sh"
    payload.write_text(script)
    runtime = Runtime("container", image=image, engine=str(engine.folder / "apptainer"))
    line = container_command(runtime, folder=str(job), cwd=str(tree), script=str(payload))
    node = {"PATH": "/node/bin", "HOME": os.environ["HOME"], "ON_NODE": "x"}
    given = container_environment(env or {}, runtime.engine)
    return subprocess.run(
        line, env=node | given, cwd=tree, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", ["folder", "file", "URL"])
def test_a_job_sees_the_image_and_its_own_folder(
    apptainer: Apptainer, tmp_path: Path, kind: str
) -> None:
    image = {
        "folder": str(apptainer.image),
        "file": str(apptainer.image_file(tmp_path / "image.sif")),
        "URL": URL,
    }[kind]
    script = (
        "cat /etc/grid-image; test ! -e /etc/ld.so.cache && echo $HOME; pwd; echo made > out.txt"
    )
    job = tmp_path / "job with 'quote'"
    done = run(apptainer, job, script, image)
    assert done.stdout.splitlines() == [NAME, str(job), str(job / "tree")], done.stderr
    assert (job / "tree" / "out.txt").read_text() == "made\n"


def test_a_job_gets_its_variables_as_they_are_and_no_others(
    apptainer: Apptainer, tmp_path: Path
) -> None:
    odd = "$(echo no) `no` $HOME \"double\" 'single' \\back\nsecond line"
    script = 'printf "%s|%s|%s" "$ODD" "${ON_NODE-unset}" "$OF_IMAGE"; of-image >&2'
    env = {"ODD": odd, "OF_IMAGE": "of the job", "PATH": "/node/bin", "LD_LIBRARY_PATH": "/node"}
    done = run(apptainer, tmp_path / "job", script, str(apptainer.image), env)
    assert done.stdout == f"{odd}|unset|of the job"
    assert done.stderr == f"{NAME}\n"


def test_the_jobs_end_is_the_containers(apptainer: Apptainer, tmp_path: Path) -> None:
    done = run(apptainer, tmp_path / "job", "exit 3", str(apptainer.image))
    assert done.returncode == 3
