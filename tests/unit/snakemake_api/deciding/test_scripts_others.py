"""Scripts in R, R Markdown, Julia and bash: the same text as Snakemake's, but for the folders."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import snakemake.script
from snakemake.exceptions import WorkflowError

from snakemake_executor_plugin_grid.snakemake_api.deciding import scripts
from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.worker.decided.decision import SCRIPT, TMPDIR
from snakemake_executor_plugin_grid.worker.description import WORKDIR
from tests.unit.snakemake_api.conftest import Build
from tests.unit.snakemake_api.deciding.node import Node, call, render

RULE = r"""
from pathlib import Path
config["nested"] = {"a": [1, "two", None], "b": True, "path": f"{Path.cwd()}/x"}

rule one:
    input: "in.csv", named="shared.csv", both=["in.csv", "shared.csv"]
    output: "out's.html"
    params:
        quotes="it's \"quoted\" \\ \n", unicode="åé→", nothing=None, flag=True, number=2.5,
        mixed=[1, "a"], place=Path("a b/c"), inside=Path.cwd() / "data", text=f"{Path.cwd()}/d",
        braces=lambda wildcards: "{x} {{y}}", tmp=lambda wildcards, resources: resources.tmpdir,
    log: "a.log"
    resources: mem_mb=100
    script: "scripts/show.{}"
"""
MARKDOWN = "---\ntitle: x\n---\n\n# Text\n---\nmore\n"
BASH = r"""#!/bin/bash -e
printf '%s\n' "${snakemake_input[0]}" "${snakemake_input[named]}" "${snakemake_output[0]}" \
    "${snakemake_params[quotes]}" "${snakemake_params[unicode]}" "${snakemake_params[inside]}" \
    "${snakemake_params[braces]}" "${snakemake[threads]}" "${snakemake[scriptdir]}" \
    "${snakemake_params[mixed]}" "${snakemake_resources[tmpdir]}" "${snakemake_config[nested]}"
"""


def real(job: Any, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[str, str]:
    """Return the script that Snakemake writes, and the command with which it runs it."""
    seen: list[tuple[str, str]] = []

    def execute(self: Any, command: str, **values: Any) -> None:
        text = Path(values["fname"]).read_text()
        shown = snakemake.script.format(command, **values)
        seen.append((text, shown.replace(values["fname"], SCRIPT)))

    with monkeypatch.context() as patched:
        patched.setattr(snakemake.script.ScriptBase, "_execute_cmd", execute)
        snakemake.script.script(*call(job, tmpdir="/tmp/of node", **options).args)
    (one,) = seen
    return one


def here(text: str) -> str:
    return text.replace(WORKDIR, str(Path.cwd())).replace(TMPDIR, "/tmp/of node")


def text_of(rendered: scripts.Rendered) -> str:
    assert rendered.command.script is not None
    return rendered.command.script.text


@pytest.mark.parametrize(
    ("suffix", "source", "command"),
    [
        ("R", "cat(snakemake@input[[1]])\r\n", f"Rscript --vanilla {SCRIPT}"),
        ("jl", "println(snakemake.input[1])\n", f"julia {SCRIPT}"),
        ("sh", "echo\n", f"bash {SCRIPT}"),
        ("sh", BASH, f"bash {SCRIPT}"),
        ("Rmd", MARKDOWN, None),
    ],
)
def test_text_and_command_are_those_of_snakemake(
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    source: str,
    command: str | None,
) -> None:
    Path(f"scripts/show.{suffix}").write_bytes(source.encode())
    job = build(RULE.replace("show.{}", f"show.{suffix}")).job("one")
    for iteration in (None, 2):
        rendered = render(job, iteration=iteration)
        script, run = real(job, monkeypatch, iteration=iteration)
        if suffix == "sh":  # quotes around the mark are not needed around the path
            assert shlex.split(here(text_of(rendered))) == shlex.split(script)
        else:
            assert here(text_of(rendered)) == script
        assert here(rendered.command.text) == run
        assert str(Path.cwd()) not in text_of(rendered) + rendered.command.text
        assert rendered.command.script is not None
        assert not rendered.command.script.uses_snakemake
        assert command in (None, rendered.command.text)
        assert f"scripts/show.{suffix}" in rendered.files
        assert rendered.packages == ()


def test_markdown_knows_the_folder_of_its_output(build: Build) -> None:
    Path("scripts/show.Rmd").write_text(MARKDOWN)
    job = build(RULE.replace("show.{}", "show.Rmd").replace("out's", "out")).job("one")
    assert render(job).command.text == (
        f'Rscript --vanilla -e \'rmarkdown::render("{SCRIPT}", '
        f'output_file="{WORKDIR}/out.html", quiet=TRUE, knit_root_dir = "{WORKDIR}", '
        f'params = list(rmd="{SCRIPT}"))\''
    )


def test_markdown_with_two_outputs_is_the_same_error(build: Build) -> None:
    Path("scripts/show.Rmd").write_text(MARKDOWN)
    rule = 'rule one:\n    output: "a", "b"\n    script: "scripts/show.Rmd"\n'
    with pytest.raises(WorkflowError, match="only have a single output"):
        render(build(rule).job("one"))


def test_bash_script_runs_with_the_values_of_the_node(build: Build, tmp_path: Path) -> None:
    Path("scripts/show.sh").write_text(BASH)
    node = Node(tmp_path)
    done = node.run(render(build(RULE.replace("show.{}", "show.sh")).job("one")))
    assert done.stderr == ""
    assert done.stdout.split("\n") == [
        *("in.csv", "shared.csv", "out's.html", 'it\'s "quoted" \\ ', "", "åé→"),
        *(f"{node.workdir}/data", "{x} {{y}}", "1", f"{node.workdir}/scripts"),
        *("1 a", str(node.tmpdir), "a b path", ""),
    ]


def test_file_that_a_bash_script_sources_is_there(build: Build, tmp_path: Path) -> None:
    Path("scripts/lib.sh").write_text("say() { echo said; }\n")
    Path("scripts/show.sh").write_text('source "${snakemake[scriptdir]}/lib.sh"\nsay\n')
    done = Node(tmp_path).run(render(build(RULE.replace("show.{}", "show.sh")).job("one")))
    assert (done.stdout, done.stderr) == ("said\n", "")


def test_set_has_the_same_order_in_each_run(build: Build) -> None:
    Path("scripts/show.R").write_text("")
    rule = (
        'rule one:\n    output: "a"\n    params: s={"c", "a", "b"}, t=[{2, 1}]\n'
        '    script: "scripts/show.R"\n'
    )
    text = text_of(render(build(rule).job("one")))
    assert """"s" = c('a', 'b', 'c')""" in text
    assert '"t" = list(c(1L, 2L))' in text


def test_value_that_the_language_lacks_falls_back(build: Build) -> None:
    Path("scripts/show.R").write_text("")
    rule = (
        'rule one:\n    output: "a"\n    params: lambda wildcards: object()\n'
        '    script: "scripts/show.R"\n'
    )
    with pytest.raises(Unsupported, match="its values cannot be written in r: Unsupported value"):
        render(build(rule).job("one"))


def test_name_that_needs_quotes_gets_another_one(build: Build, tmp_path: Path) -> None:
    shutil.copy("scripts/show.py", "scripts/it's a show.sh")
    Path("scripts/it's a show.sh").write_text("echo said")
    rule = 'rule one:\n    output: "a"\n    script: "scripts/it\'s a show.sh"\n'
    rendered = render(build(rule).job("one"))
    assert rendered.command.script is not None
    assert rendered.command.script.name == "it_s_a_show.sh"
    assert Node(tmp_path).run(rendered).stdout == "said\n"


def test_remote_script_keeps_its_address(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("far").mkdir()
    Path("far/show.R").write_text("source('b.R')\n")
    address = "https://example.org/far/show.R"

    def cache(self: Any, source: Any) -> Path:
        assert str(source) == address
        return Path.cwd() / "far" / "show.R"

    job = build(f'rule one:\n    output: "a"\n    script: "{address}"\n').job("one")
    monkeypatch.setattr("snakemake.sourcecache.SourceCache._cache", cache)
    rendered = render(job)
    assert here(text_of(rendered)) == real(job, monkeypatch)[0]
    assert "scriptdir = 'https://example.org/far'" in text_of(rendered)
    assert dict(rendered.files) == {}


def test_name_that_is_not_utf8_falls_back(build: Build) -> None:
    Path("scripts/show.sh").write_text("")
    rule = (
        'rule one:\n    output: "a"\n    params: lambda wildcards: "\\udcff"\n'
        '    script: "scripts/show.sh"\n'
    )
    with pytest.raises(Unsupported, match="not UTF-8"):
        render(build(rule).job("one"))


def test_folder_of_links_out_of_itself_falls_back(build: Build) -> None:
    Path("far/rules").mkdir(parents=True)
    Path("far/show.sh").write_text("")
    Path("near").symlink_to("far/rules")
    rule = 'rule one:\n    output: "a"\n    script: "near/../show.sh"\n'
    with pytest.raises(Unsupported, match="leads out of a link to a folder"):
        render(build(rule).job("one"))


def test_order_of_a_json_configuration_is_kept(build: Build) -> None:
    Path("c.json").write_text(json.dumps({"z": {"b": str(Path.cwd()), "a": 1}, "a": 2}))
    Path("scripts/show.R").write_text("")
    rule = 'configfile: "c.json"\nrule one:\n    output: "a"\n    script: "scripts/show.R"\n'
    text = text_of(render(build(rule).job("one")))
    assert f"""config = list("z" = list("b" = '{WORKDIR}', "a" = 1L), "a" = 2L)""" in text
