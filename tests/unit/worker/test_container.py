from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.worker.container import container_command, container_environment
from snakemake_executor_plugin_grid.worker.runtime import Runtime, RuntimeMissing


def test_container_command_line() -> None:
    runtime = Runtime(
        "container",
        image="/cvmfs/images/snakemake",
        engine_options=("--nv",),
        binds=("/cvmfs:/cvmfs:ro", "/data"),
    )
    argv = container_command(
        runtime,
        folder="/job",
        cwd="/job/tree",
        env_names=["A", "PATH"],
        script="/job/payload.sh",
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
