"""What scripts get, and that each command is made from what Snakemake would give."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from snakemake.settings import types as options
from snakemake.shell import shell

from snakemake_executor_plugin_grid.snakemake_api.deciding import process_state
from snakemake_executor_plugin_grid.snakemake_api.deciding import step as module
from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.snakemake_api.deciding.paths import Paths
from snakemake_executor_plugin_grid.snakemake_api.deciding.scripts import Rendered
from snakemake_executor_plugin_grid.worker.decided.decision import TMPDIR, Command

from .conftest import Make, single

GROUP = """
rule all:
    input: "last.txt"
rule first:
    input: "in.csv"
    output: "first.txt"
    group: "pair"
    shell: "true"
rule last:
    input: "first.txt"
    output: "last.txt"
    group: "pair"
    resources: mem_mb=lambda wildcards, input: 2 * input.size_mb
    {extra}
    script: "scripts/show.py"
"""

Rendering = list[tuple[str, tuple[Any, ...]]]


@pytest.fixture
def rendering(monkeypatch: pytest.MonkeyPatch) -> Rendering:
    """Return the calls for which a command is rendered."""
    calls: Rendering = []

    def render(kind: str, args: tuple[Any, ...], job: Any, paths: Paths) -> Rendered:
        calls.append((kind, args))
        return Rendered(Command("python s.py"), {"s.py": "/here/s.py"}, ("numpy",))

    monkeypatch.setattr(module, "render", render)
    return calls


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('script: "scripts/show.py"', "script"),
        ('notebook: "scripts/show.ipynb"', "notebook"),
        ('wrapper: "v1.0/tool"', "wrapper"),
        ('template_engine: "jinja2"', "render_template"),
    ],
)
def test_scripts_get_what_snakemake_gives_them(
    deciding: Make, rendering: Rendering, monkeypatch: pytest.MonkeyPatch, body: str, kind: str
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # it names the script, and counts as set here
    decided = deciding(
        f'rule one:\n    input: "in.csv"\n    output: "one.txt"\n    params: cut=3\n    {body}\n'
    ).decided("one")
    ((called, args),) = rendering
    assert called == kind
    assert ["in.csv"] in args
    assert [3] in args
    if kind != "render_template":
        (resources,) = [arg for arg in args if hasattr(arg, "tmpdir")]
        assert resources.tmpdir == TMPDIR
    (step,) = decided.decision.steps
    assert step.commands == (Command("python s.py"),)
    assert decided.files == {"s.py": "/here/s.py"}
    assert decided.packages == ("numpy",)
    assert decided.undeclared == ()


def test_a_notebook_that_the_user_edits_is_not_decided(
    deciding: Make, rendering: Rendering, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deciding('rule one:\n    output: "one"\n    notebook: "scripts/show.ipynb"\n')
    made.workflow.execution_settings.edit_notebook = options.NotebookEditMode("127.0.0.1:8888")
    monkeypatch.setattr(made.workflow.dag, "targetfiles", {made.find("one").targetfile})
    with pytest.raises(Unsupported, match="notebook is edited"):
        made.decided("one")
    assert rendering == []


def test_a_script_in_a_group_gets_no_values_that_may_change(
    deciding: Make, rendering: Rendering
) -> None:
    made = deciding(GROUP.format(extra="params: cut=3"))
    assert [step.rule for step in made.group().decision.steps] == ["first", "last"]
    ((_, args),) = rendering
    (resources,) = [arg for arg in args if hasattr(arg, "tmpdir")]
    assert [name for name, _ in resources.items() if "mem" in name] == []


@pytest.mark.parametrize(
    ("source", "extra", "why"),
    [
        ("print(snakemake.resources.mem_mb)", "params: cut=3", "function of its resources"),
        ("print(1)", "params: late=lambda w, input: len(input)", "function of its params"),
    ],
)
def test_a_script_may_use_values_that_change_while_its_group_runs(
    deciding: Make, rendering: Rendering, tmp_path: Path, source: str, extra: str, why: str
) -> None:
    (tmp_path / "scripts" / "show.py").write_text(source)
    with pytest.raises(Unsupported, match=f"rule last of the group: a {why}"):
        deciding(GROUP.format(extra=extra)).group()
    assert rendering == []


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ("late=lambda w, input: open(input[0]).read()", "not there yet"),
        ("late=lambda w, input: ['x', open(input[0]).read()]", "not there yet"),
        ("mark='<grid_workdir>'", "<grid_"),
    ],
)
def test_a_script_gets_all_params(
    deciding: Make, rendering: Rendering, tmp_path: Path, params: str, why: str
) -> None:
    made = deciding(
        'rule first:\n    output: "first.txt"\n    shell: "true"\n'
        'rule one:\n    input: "first.txt"\n    output: "one.txt"\n'
        f'    params: {params}\n    script: "scripts/show.py"\n',
        targets=("one.txt",),
    )
    with pytest.raises(Unsupported, match=why):
        made.decided("one")
    assert rendering == []


def test_a_prefix_and_a_variable_may_name_files(
    deciding: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("env.sh", "lib/a.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(shell, "_process_prefix", "source env.sh;")
    monkeypatch.setattr(process_state, "_environment", dict(os.environ))
    monkeypatch.setenv("GRID_TEST_LIB", f"/opt/lib:{tmp_path}/lib")
    decided = deciding('rule one:\n    output: "one"\n    shell: "true"\n').decided("one")
    assert decided.undeclared == ("env.sh", "lib/a.py")


def test_a_snakefile_outside_of_the_working_directory(
    deciding: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is another one on the worker, so its files travel as they do for Snakemake."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    command = "python {workflow.basedir}/scripts/show.py {workflow.basedir}/gone /opt/x"
    made = deciding(f'rule one:\n    output: "one"\n    shell: "{command}"\n')
    decided = made.decided("one")
    assert decided.decision.steps[0].commands[0].text == (
        f"python <grid_workdir>/../scripts/show.py {tmp_path}/gone /opt/x"
    )
    assert decided.files == {
        f"../scripts/{name}": str(tmp_path / "scripts" / name) for name in ("show.py", "helper.py")
    }


def test_a_snakefile_by_a_path_that_climbs(
    deciding: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with ``-s ../Snakefile``; through a link, ``..`` is another folder."""
    (tmp_path / "far" / "run").mkdir(parents=True)
    (tmp_path / "far" / "scripts").mkdir()
    (tmp_path / "far" / "scripts" / "show.py").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("far/run")
    monkeypatch.chdir(tmp_path / "run")
    command = f"python {tmp_path}/run/../scripts/show.py {tmp_path}/link/../scripts/show.py"
    decided = deciding(f'rule one:\n    output: "one"\n    shell: "{command}"\n').decided("one")
    assert decided.files == {
        f"../scripts/{name}": str(tmp_path / "scripts" / name) for name in ("show.py", "helper.py")
    }
    assert decided.decision.steps[0].commands[0].text == (
        f"python <grid_workdir>/../scripts/show.py {tmp_path}/link/../scripts/show.py"
    )


def test_params_are_evaluated_once_for_a_job_that_is_ready(deciding: Make) -> None:
    counted = "numbers = iter(range(9))\n"
    made = deciding(
        counted + single('"echo {params.n}"', "params: n=lambda wildcards: next(numbers)")
    )
    job = made.find("one")
    job.reset_params_and_resources()  # as Snakemake's scheduler does when the inputs exist
    recorded = job.params.n
    assert made.command("one") == f"echo {recorded}" == made.command("one")
