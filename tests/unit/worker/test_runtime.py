from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.worker.runtime import Runtime


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
