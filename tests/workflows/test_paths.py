"""Point 10: every way of naming a file means the same on the worker."""

from __future__ import annotations

import re

import pytest

from tests.conftest import MakeProject, Project

from .both_ways import is_decided, site

__all__ = ["site"]

pytestmark = pytest.mark.workflow


def test_10_climbing_paths_and_a_snakefile_outside_of_the_directory(
    make_project: MakeProject,
) -> None:
    project = make_project("base/runs/now")
    base = project.folder.parents[1]
    project.put("../../data/in püt (1).txt", "climbed\n")
    project.put(
        "../../flow/workflow/Snakefile",
        """
rule all:
    input: "../out dir/last ü.txt"
rule first:
    input: "../../data/in püt (1).txt"
    output: "../out dir/first 'ü.txt"
    log: "../log dir/first.log"
    shell: "cat {input:q} > {output:q}; echo logged > {log:q}"
rule last:
    input: "../out dir/first 'ü.txt"
    output: "../out dir/last ü.txt"
    script: "scripts/last one.py"
""",
    )
    project.put(
        "../../flow/workflow/scripts/last one.py",
        "import os\n"
        "text = open(snakemake.input[0]).read()\n"
        "print(text + os.path.basename(os.getcwd()), file=open(snakemake.output[0], 'w'))\n",
    )
    elsewhere = make_project("elsewhere").folder
    snakefile = str(base / "flow" / "workflow" / "Snakefile")
    project.run(*("-s", snakefile, "--directory", str(project.folder)), cwd=elsewhere).succeeded()
    assert project.read("../out dir/last ü.txt") == "climbed\nnow\n"
    assert project.read("../log dir/first.log") == "logged\n"
    assert not list(elsewhere.iterdir())


def test_10_workdir_directive_and_absolute_paths_below_it(project: Project) -> None:
    project.put(
        "Snakefile",
        """
import os
workdir: "inner"
rule all:
    input: os.path.abspath("out/b.txt")
rule a:
    input: os.path.abspath("in.txt")
    output: os.path.abspath("out/a.txt")
    log: os.path.abspath("out/a.log")
    shell: "cat in.txt > out/a.txt; echo logged > out/a.log"
rule b:
    input: os.path.abspath("out/a.txt")
    output: os.path.abspath("out/b.txt")
    run:
        with open(input[0]) as source, open(output[0], "w") as target:
            target.write(source.read() + str(os.getcwd() == workflow.basedir))
""",
    )
    project.put("inner/in.txt", "x" * 3000)
    project.run("--grid-source-file-limit", "2000").succeeded()
    assert project.read("inner/out/b.txt") == "x" * 3000 + "False"
    assert project.read("inner/out/a.log") == "logged\n"


def test_10_absolute_paths_elsewhere(project: Project, make_project: MakeProject) -> None:
    site = make_project("cvmfs")
    store = make_project("store").folder
    site.put("data.txt", "MARK-OF-SITE-DATA\n")
    project.put("own.txt", "MARK-OF-OWN-DATA\n")
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "read.txt", "{site.folder}/written.txt"
rule read:
    input: "{site.folder}/data.txt", "own.txt"
    output: "read.txt"
    shell: "wc -l < {{input[0]}} > {{output}}"
rule write:
    output: "{site.folder}/written.txt"
    shell: "touch {{output}}"
""",
    )
    finished = project.run("--keep-going", "--grid-store", f"file://{store}").failed()
    assert project.read("read.txt") == "1\n"
    assert f"input {site.folder}/data.txt is expected at the site" in finished.output
    assert f"output {site.folder}/written.txt is outside of the working directory" in (
        finished.output
    )
    assert "write, not submitted" in finished.output
    assert not (site.folder / "written.txt").exists()
    stored = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    if project.site.backend != "panda":  # where small files travel with the job itself
        assert b"MARK-OF-OWN-DATA" in stored
    assert b"MARK-OF-SITE-DATA" not in stored


def test_10_paths_with_dots_and_absolute_paths_of_the_configuration(project: Project) -> None:
    (project.folder.parent / "alias").symlink_to(project.folder)
    project.write(
        Snakefile="""
configfile: "config.yaml"
rule all:
    input: "runs/first/../summary.txt"
rule last:
    input: "runs/second/../middle.txt", "empty/../in.txt", "../project/in.txt"
    output: "runs/first/../summary.txt"
    log: "logs/a/../last.log"
    shell: "cat {input} > {output}; echo logged > {log}"
rule middle:
    input: config["data"] + "/first.txt", config["alias"] + "/first.txt"
    output: "runs/second/../middle.txt"
    shell: "cat {input} > {output}"
rule first:
    input: workflow.source_path("tool.sh")
    output: config["data"] + "/first.txt"
    params: wait=config["wait"]
    shell: "cd /; sh {input} {params.wait} > {output}"
rule second:
    output: config["alias"] + "/first.txt"
    shell: "cd /; echo second > {output}"
"""
    )
    project.put("tool.sh", "echo first $1\n")
    project.put("in.txt", "given\n")
    (project.folder / "empty").mkdir()
    base = project.folder
    project.put(
        "config.yaml",
        f"data: {base}/data/\nalias: {base.parent}/alias/through\nwait: 1\n",
    )
    finished = project.run().succeeded()
    assert project.read("runs/summary.txt") == "first 1\nsecond\ngiven\ngiven\n"
    assert project.read("logs/last.log") == "logged\n"
    assert project.read("through/first.txt") == "second\n"
    assert "expected at the site" not in finished.output


def test_10_a_path_that_cannot_work_is_refused_before_anything_is_sent(project: Project) -> None:
    project.write(
        Snakefile=f"""
rule last:
    input: "first.txt"
    output: "{project.folder}/last.txt"
    shell: "cp {{input}} {{output}}"
rule first:
    output: "first.txt"
    shell: "touch {{output}}"
"""
    )
    if is_decided(project):  # only the command needs another path on the worker
        project.run().succeeded()
        assert (project.folder / "last.txt").exists()
        return
    finished = project.run().failed()
    assert f"rule last: output {project.folder}/last.txt" in finished.output
    assert "submitted" not in finished.output
    assert not (project.folder / "first.txt").exists()


def test_10_a_configuration_with_absolute_paths_keeps_its_order_and_other_values(
    project: Project,
) -> None:
    project.write(
        Snakefile="""
if not config:
    configfile: "config.yaml"
config["out"] += "/deep"
rule all:
    input: config["out"] + "_all.txt"
rule join:
    input: [f"{name}.txt" for name in config["samples"].values()], "config.yaml"
    output: config["out"] + "_all.txt"
    params: config["big"], config["number"], config["url"]
    shell: "cat {input[0]} {input[1]} > {output}; echo {params} >> {output}; grep out {input[2]}"
rule sample:
    output: "{name}.txt"
    shell: "echo $(basename {wildcards.name}) > {output}"
"""
    )
    base = project.folder
    project.put(
        "config.yaml",
        f"samples: {{A: rel, B: {base}/b}}\nnumber: 007\nbig: {base}/big.db\n"
        f"url: {base}/x http://a//b\nout: {base}/results\n",
    )
    project.run().succeeded()
    made = f"rel\nb\n{base}/big.db 7 {base}/x http://a//b\n"
    text = project.read("results/deep_all.txt")
    if is_decided(project):  # a command has the worker's path of the working directory everywhere
        (there,) = set(re.findall(r"(/\S+)/(?:big\.db|x) ", text))
        assert there != str(base)
        text = text.replace(there, str(base))
    assert text == made
