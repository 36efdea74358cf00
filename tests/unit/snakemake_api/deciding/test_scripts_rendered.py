"""Wrappers, notebooks and templates of decided jobs."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from snakemake import notebook as snakemake_notebook
from snakemake.exceptions import WorkflowError
from snakemake.settings import types as options
from snakemake.template_rendering import render_template

from snakemake_executor_plugin_grid.snakemake_api.deciding import scripts
from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.snakemake_api.deciding.scripts import template
from snakemake_executor_plugin_grid.worker.decided.decision import SCRIPT, Command, Script
from snakemake_executor_plugin_grid.worker.description import WORKDIR
from tests.unit.snakemake_api.conftest import Build
from tests.unit.snakemake_api.deciding.node import Node, call, paths_of, render

WRAPPER = 'rule one:\n    output: "a"\n    params: x=1\n    wrapper: "v1/tool"\n'
NOTEBOOK = """
rule one:
    input: "in.csv"
    output: "a"
    params: path=f"{workflow.basedir}/data", s={"b", "a"}
    script_or_notebook
"""


def prefix() -> options.WorkflowSettings:
    return options.WorkflowSettings(wrapper_prefix=f"file://{Path.cwd()}/wrappers/")


def test_wrapper_is_a_script(build: Build, tmp_path: Path) -> None:
    folder = Path("wrappers/v1/tool")
    folder.mkdir(parents=True)
    (folder / "wrapper.py").write_text(
        "from snakemake.shell import shell\nimport helper\n"
        "shell('echo {snakemake.params.x} {helper.value} > {snakemake.output}')"
    )
    (folder / "helper.py").write_text("value = 2")
    job = build(WRAPPER, settings=prefix()).job("one")
    rendered = render(job)
    assert sorted(rendered.files) == ["wrappers/v1/tool/helper.py", "wrappers/v1/tool/wrapper.py"]
    node = Node(tmp_path)
    assert node.run(rendered).stderr == ""
    assert (node.workdir / "a").read_text() == "1 2\n"


def test_wrapper_in_bash_is_not_looked_for_as_in_snakemake(build: Build) -> None:
    Path("wrappers/v1/tool").mkdir(parents=True)
    Path("wrappers/v1/tool/wrapper.sh").write_text("")
    job = build(WRAPPER, settings=prefix()).job("one")
    with pytest.raises(WorkflowError, match=r"wrapper v1/tool of rule one is not found: "):
        render(job)


def notebook(language: str, **cell: Any) -> str:
    given = nbformat.v4.new_notebook()
    given["cells"] = [
        nbformat.v4.new_code_cell("old", id="old", metadata={"tags": ["snakemake-job-properties"]}),
        nbformat.v4.new_markdown_cell("# é", id="given"),
        nbformat.v4.new_code_cell("print(snakemake.input[0])", **cell),
    ]
    given["metadata"] = {
        "language_info": {"name": language},
        "kernelspec": {"name": "k", "display_name": "K", "language": language},
    }
    return str(nbformat.writes(given))


def of_notebook(build: Build, name: str, log: str = "") -> Any:
    rule = NOTEBOOK.replace("script_or_notebook", f'{log}\n    notebook: "scripts/{name}"')
    return build(rule).job("one")


def parsed(rendered: scripts.Rendered) -> Any:
    assert rendered.command.script is not None
    found = nbformat.reads(rendered.command.script.text, as_version=4)
    nbformat.validate(found)
    return found


def test_python_notebook_gets_the_cell_of_snakemake(build: Build, tmp_path: Path) -> None:
    Path("scripts/show.py.ipynb").write_text(notebook("python", id="code"))
    rendered = render(of_notebook(build, "show.py.ipynb"))
    found = parsed(rendered)
    assert [cell["id"] for cell in found["cells"]] == ["snakemake-job-0", "given", "code"]
    first = found["cells"][0]
    assert first["metadata"]["tags"] == ["snakemake-job-properties"]
    assert f"os.chdir('{WORKDIR}')" in first["source"]
    assert found["metadata"]["kernelspec"]["name"] == "k"
    script = rendered.command.script
    assert script is not None
    assert (script.name, script.uses_snakemake) == ("show.py.ipynb", True)
    assert sorted(rendered.files) == [
        "scripts/helper.py",
        "scripts/show.py",
        "scripts/show.py.ipynb",
    ]
    # The cells run as a script does.
    code = "\n".join(cell["source"] for cell in found["cells"] if cell["cell_type"] == "code")
    made = scripts.Rendered(Command("<grid_python> <grid_script>", Script("show.py", code, True)))
    done = Node(tmp_path).run(made)
    assert (done.stdout, done.stderr) == ("in.csv\n", "")


def test_r_notebook_differs_from_that_of_snakemake_only_in_the_folder(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("scripts/show.r.ipynb").write_text(notebook("R", id="code"))
    rule = NOTEBOOK.replace("script_or_notebook", 'notebook: "scripts/show.r.ipynb"')
    job = build(rule.replace(', s={"b", "a"}', "")).job("one")
    rendered = render(job)
    seen: list[str] = []

    def execute(self: Any, command: str, **values: Any) -> None:
        seen.append(Path(values.get("fname", os.devnull)).read_text())

    with monkeypatch.context() as patched:
        patched.setattr(snakemake_notebook.ScriptBase, "_execute_cmd", execute)
        made = call(job, tmpdir="/tmp/node")
        snakemake_notebook.notebook(*made.args)
    real = nbformat.reads(seen[-1], as_version=4)
    ours = parsed(rendered)
    source = ours["cells"][0]["source"].replace(WORKDIR, str(Path.cwd()))
    assert source.replace("<grid_tmpdir>", "/tmp/node") == real["cells"][0]["source"]
    assert f"setwd('{WORKDIR}')" in ours["cells"][0]["source"]
    assert [cell["source"] for cell in ours["cells"][1:]] == [
        cell["source"] for cell in real["cells"][1:]
    ]
    assert ours["metadata"] == real["metadata"]
    assert rendered.command.script is not None
    assert not rendered.command.script.uses_snakemake


def test_notebook_without_ids_is_the_same_in_each_run(build: Build) -> None:
    given = json.loads(notebook("python"))
    for cell in given["cells"]:
        cell.pop("id", None)
    given["nbformat_minor"] = 4
    Path("scripts/show.ipynb").write_text(json.dumps(given))
    job = of_notebook(build, "show.ipynb")
    assert render(job).command == render(job).command


FAKE_PAPERMILL = """#!/bin/sh
test "$1" = --version && exit $MISSING
test -d "$IPYTHONDIR" || exit 9
echo "papermill $*" "$(basename "$3")"
"""
FAKE_NBCONVERT = """#!/bin/sh
test -d "$IPYTHONDIR" || exit 9
echo "nbconvert $*"
"""


@pytest.mark.parametrize(
    ("log", "papermill", "nbconvert"),
    [
        ('log: notebook="logs/a b.ipynb"', "logs/a b.ipynb", "WORK/logs/a b.ipynb"),
        ("", "SCRIPT", "TMP/notebook.ipynb"),
    ],
)
@pytest.mark.parametrize("missing", ["0", "127"])
def test_papermill_or_nbconvert_executes_it(
    build: Build, tmp_path: Path, log: str, papermill: str, nbconvert: str, missing: str
) -> None:
    Path("scripts/show.ipynb").write_text(notebook("python", id="code"))
    node = Node(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("papermill", FAKE_PAPERMILL), ("jupyter-nbconvert", FAKE_NBCONVERT)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    node.environment.update(PATH=f"{programs}:/usr/bin:/bin", MISSING=missing)
    done = node.run(render(of_notebook(build, "show.ipynb", log)))
    assert (done.returncode, done.stderr) == (0, "")
    script = str(node.workdir / ".snakemake/scripts/tmp.show.ipynb")
    words = done.stdout.strip()
    if missing == "0":
        expected = f"papermill --log-level ERROR {script} {papermill.replace('SCRIPT', script)} "
        assert words == expected + Path(script).name
    else:
        output = nbconvert.replace("WORK", str(node.workdir))
        before, after = words.split(output.replace("TMP", ""))
        assert before.startswith("nbconvert --log-level ERROR --execute --output ")
        assert after == f" --to notebook --ExecutePreprocessor.timeout=-1 {script}"
    assert list(node.tmpdir.iterdir()) == []


def test_notebook_to_be_edited_falls_back(build: Build) -> None:
    Path("scripts/show.ipynb").write_text(notebook("python", id="code"))
    job = of_notebook(build, "show.ipynb")
    made = call(job)
    args = [*made.args]
    args[-4] = SimpleNamespace(draft_only=False)
    with pytest.raises(Unsupported, match="to be edited"):
        scripts.render("notebook", tuple(args), job, paths_of(job))


def test_notebook_of_another_language_falls_back(build: Build) -> None:
    Path("scripts/show.ipynb").write_text(notebook("julia", id="code"))
    with pytest.raises(Unsupported, match=r"neither in Python nor in R: show.ipynb"):
        render(of_notebook(build, "show.ipynb"))


def test_notebook_needs_nbformat_here(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("scripts/show.ipynb").write_text(notebook("python", id="code"))
    job = of_notebook(build, "show.ipynb")
    monkeypatch.setitem(sys.modules, "nbformat", None)
    with pytest.raises(Unsupported, match=r"its notebook cannot be read here: .*nbformat"):
        render(job)


TEMPLATE = """
rule one:
    input: {}
    output: "out's.txt"
    params: x="é", y=[1, 2]
    template_engine: "{}"
"""
JINJA = "{% for one in params.y %}{{ one }} {{ params['x'] }}\n{% endfor %}{{ input }} end\n\n"
YTE = "a: ?params.x\n?for one in params.y:\n  b_?one: 1\nc: ?input[0]\n"


@pytest.mark.parametrize(("engine", "text"), [("jinja2", JINJA), ("yte", YTE)])
def test_template_gives_the_bytes_of_snakemake(
    build: Build, tmp_path: Path, engine: str, text: str
) -> None:
    pytest.importorskip(engine)
    Path("in.csv").write_text(text)
    job = build(TEMPLATE.format('"in.csv"', engine)).job("one")
    node = Node(tmp_path)
    done = node.run(render(job))
    assert done.stderr == ""
    render_template(*call(job).args)
    assert (node.workdir / "out's.txt").read_bytes() == Path("out's.txt").read_bytes()
    assert "in.csv" in Path("out's.txt").read_text()
    mode = stat.S_IMODE((node.workdir / "out's.txt").stat().st_mode)
    assert mode == stat.S_IMODE(Path("out's.txt").stat().st_mode)


def test_template_engine_that_is_not_installed_falls_back(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "find_spec", lambda name: None)
    with pytest.raises(Unsupported, match="yte, its template engine, is not installed here"):
        render(build(TEMPLATE.format('"in.csv"', "yte")).job("one"))


def test_wrong_template_is_the_same_error(build: Build) -> None:
    Path("in.csv").write_text("{% for %}")
    with pytest.raises(WorkflowError, match="Error rendering template in rule one"):
        render(build(TEMPLATE.format('"in.csv"', "jinja2")).job("one"))
    assert not Path("out's.txt").exists()


def test_template_with_several_outputs_is_the_same_error(build: Build) -> None:
    rule = TEMPLATE.format('"in.csv"', "jinja2").replace('"out', '"b", "out')
    with pytest.raises(WorkflowError, match="Error rendering template in rule one"):
        render(build(rule).job("one"))
    assert not Path("b").exists()


def test_template_that_the_group_makes_falls_back(build: Build) -> None:
    rule = (
        TEMPLATE.format('"made.txt"', "jinja2").replace(
            "rule one:\n", 'rule one:\n    group: "g"\n'
        )
        + 'rule made:\n    output: "made.txt"\n    group: "g"\n    shell: "true"\n'
    )
    job = build(rule).job("one")
    with pytest.raises(Unsupported, match=r"an input that its group makes: made.txt"):
        render(job)


def test_cwl_falls_back(build: Build) -> None:
    job = build(WRAPPER.replace("wrapper:", "cwl:")).job("one")
    with pytest.raises(Unsupported, match="it has cwl:"):
        render(job)


def test_other_arguments_of_another_snakemake_fall_back(build: Build) -> None:
    job = build('rule one:\n    output: "a"\n    script: "scripts/show.py"\n').job("one")
    made = call(job)
    with pytest.raises(Unsupported, match=r"this Snakemake calls script\(\) anew: too many"):
        scripts.render("script", (*made.args, 1), job, paths_of(job))


def test_script_is_named_by_its_mark(build: Build) -> None:
    job = build('rule one:\n    output: "a"\n    script: "scripts/show.py"\n').job("one")
    assert render(job).command.text == f"<grid_python> {SCRIPT}"


@pytest.mark.parametrize("name", ["show.py", "show.R", "show.sh"])
def test_what_reads_as_a_mark_is_not_replaced_in_a_script(build: Build, name: str) -> None:
    Path(f"scripts/{name}").write_text('x = "<grid_tmpdir>"\n')
    job = build(f'rule one:\n    output: "a"\n    script: "scripts/{name}"\n').job("one")
    with pytest.raises(Unsupported, match="contains the text <grid_"):
        render(job)


def test_what_reads_as_a_mark_is_not_replaced_in_a_configuration(build: Build) -> None:
    Path("scripts/show.py").write_text("")
    text = 'config["x"] = {"y": ["<grid_workdir>"]}\nrule one:\n    output: "a"\n'
    with pytest.raises(Unsupported, match="contains the text <grid_"):
        render(build(f'{text}    script: "scripts/show.py"\n').job("one"))


def test_what_reads_as_a_mark_is_not_replaced_in_a_template(build: Build) -> None:
    pytest.importorskip("jinja2")
    Path("in.csv").write_text("<grid_script>")
    with pytest.raises(Unsupported, match="contains the text <grid_"):
        render(build(TEMPLATE.format('"in.csv"', "jinja2")).job("one"))
