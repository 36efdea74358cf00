"""The container of a job."""

from __future__ import annotations

from pathlib import Path

import pytest
from snakemake.exceptions import WorkflowError
from snakemake.settings import types as options

from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.worker.decided.decision import Container
from snakemake_executor_plugin_grid.worker.description import WORKDIR

from .conftest import Make

APPTAINER = {options.DeploymentMethod.APPTAINER}


def snakefile(image: str, command: str = "true", top: str = "") -> str:
    line = f"    container: {image}\n" if image else ""
    return f'{top}\nrule one:\n    output: "one.txt"\n{line}    shell: "{command}"\n'


def test_a_container_is_used_only_if_the_user_wants_it(deciding: Make, tmp_path: Path) -> None:
    assert deciding(snakefile("'docker://a'")).step("one").container is None
    (tmp_path / "docker").touch()  # no part of the URL
    decided = deciding(snakefile("'docker://a'"), deployment=APPTAINER).decided("one")
    assert decided.decision.steps[0].container == Container("docker://a")
    assert decided.files == {}
    assert deciding(snakefile(""), deployment=APPTAINER).step("one").container is None


def test_the_container_of_the_workflow(deciding: Make) -> None:
    for top in ("container: 'docker://a'", "containerized: 'docker://a'"):
        step = deciding(snakefile("", top=top), deployment=APPTAINER).step("one")
        assert step.container == Container("docker://a")
    made = deciding(snakefile("None", top="container: 'docker://a'"), deployment=APPTAINER)
    assert made.step("one").container is None


def test_arguments_of_the_engine(deciding: Make, tmp_path: Path) -> None:
    args = f"--nv --bind {tmp_path}/data:/data"
    made = deciding(snakefile("'docker://a'"), deployment=APPTAINER, apptainer_args=args)
    container = made.step("one").container
    assert container is not None
    assert container.arguments == f"--nv --bind {WORKDIR}/data:/data"


def test_an_image_file_travels_unless_the_node_has_it(deciding: Make, tmp_path: Path) -> None:
    (tmp_path / "a.sif").touch()
    for image in ("a.sif", f"{tmp_path}/a.sif", f"file://{tmp_path}/a.sif"):
        decided = deciding(snakefile(f"'{image}'"), deployment=APPTAINER).decided("one")
        assert decided.decision.steps[0].container == Container(f"{WORKDIR}/a.sif")
        assert decided.files == {"a.sif": str(tmp_path / "a.sif")}
        assert decided.undeclared == ()
    made = deciding(snakefile("'a.sif'"), deployment=APPTAINER, products={"a.sif"})
    assert made.decided("one").files == {}
    folder = "/cvmfs/unpacked.example.org/image:1"
    decided = deciding(snakefile(f"'{folder}'"), deployment=APPTAINER).decided("one")
    assert decided.decision.steps[0].container == Container(folder)
    assert decided.files == {}


def test_images_that_cannot_be_used(deciding: Make, tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    with pytest.raises(Unsupported, match="image is a folder below"):
        deciding(snakefile("'image'"), deployment=APPTAINER).decided("one")
    made = deciding(snakefile("lambda w: 'docker://a'"), deployment=APPTAINER)
    made.find("one")._container_img_url = "docker://a b"
    with pytest.raises(WorkflowError, match="whitespace"):
        made.decided("one")


def test_a_command_that_names_its_image_is_not_decided(deciding: Make) -> None:
    text = snakefile("'docker://a'", "echo {container_img}")
    assert deciding(text).command("one") == "echo None"
    with pytest.raises(Unsupported, match="contains container_img"):
        deciding(text, deployment=APPTAINER).decided("one")
