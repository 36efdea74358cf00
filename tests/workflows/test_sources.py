"""Point 1: what a job reads though no rule names it is on the worker."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow

LARGE = "x" * (2 << 20)


def test_what_parsing_reads_travels_whatever_its_size(project: Project) -> None:
    project.put("Snakefile", 'include: "rules/more.smk"\n')
    project.put(
        "rules/more.smk",
        """
import csv, os, sys
from snakemake.utils import validate
sys.path.insert(0, os.path.join(workflow.basedir, "lib"))
from names import shout
configfile: "config/config.yaml"
validate(config, "../schemas/config.schema.yaml")
with open("config/samples.tsv") as table:
    SAMPLES = {row["name"]: row["word"] for row in csv.DictReader(table, delimiter="\\t")}
rule first:
    output: "first.txt"
    params: word=shout(SAMPLES["a"])
    shell: "echo {params.word} {config[greeting]} > {output}"
rule second:
    input: "first.txt"
    output: "second.txt"
    shell: "cp {input} {output}"
""",
    )
    project.put("lib/names.py", "def shout(text):\n    return text.upper()\n")
    project.put("config/config.yaml", "greeting: hello\n")
    project.put("config/samples.tsv", "name\tword\na\tone\n")
    project.put(
        "schemas/config.schema.yaml",
        "$schema: https://json-schema.org/draft/2020-12/schema\n"
        "type: object\nproperties: {greeting: {type: string}}\nrequired: [greeting]\n",
    )
    project.environment["PYTHONDONTWRITEBYTECODE"] = ""
    # From the first byte on all that is found, rather than read, is taken for data.
    limit = ("--grid-source-file-limit", "1")
    project.run("first.txt", *limit).succeeded()
    # Now Python reads the module from its cache of bytecode, and never opens it.
    assert list(project.folder.glob("lib/__pycache__/names.*.pyc"))
    project.run("second.txt", *limit).succeeded()
    assert project.read("second.txt") == "ONE hello\n"


def test_what_lies_beside_the_workflow_travels(project: Project) -> None:
    (project.folder / "run").mkdir()
    project.put(
        "flow/Snakefile",
        """
def lines(wildcards):
    with open("lists/lines.txt") as stream:
        return stream.read().split()
rule all:
    output: "out.txt"
    params: lines=lines, tool=workflow.source_path("tools/tool.sh")
    shell: "(echo {params.lines}; sh {params.tool}; sh {workflow.basedir}/tools/other.sh; "
           "sh local/here.sh) > {output}"
rule script:
    input: "out.txt"
    output: "script.txt"
    script: "scripts/copy.py"
""",
    )
    project.put("flow/tools/tool.sh", "echo tool\n")
    project.put("flow/tools/other.sh", "echo other\n")
    project.put(
        "flow/scripts/copy.py",
        "from helper import copy\ncopy(snakemake.input[0], snakemake.output[0])\n",
    )
    project.put(
        "flow/scripts/helper.py",
        "import shutil\ndef copy(a, b):\n    shutil.copyfile(a, b)\n",
    )
    project.put("run/lists/lines.txt", "x y\n")
    project.put("run/local/here.sh", "echo here\n")
    run = project.run("-s", "../flow/Snakefile", "script.txt", cwd=project.folder / "run")
    run.succeeded()
    assert project.read("run/script.txt") == "x y\ntool\nother\nhere\n"


def test_what_snakemake_lists_travels_though_a_rule_has_it_as_input(project: Project) -> None:
    project.put(
        "Snakefile",
        """
rule all:
    input: "named.txt", "unnamed.txt"
rule named:
    input: "scripts/words.txt", "tracked.txt"
    output: "named.txt"
    shell: "cat {input} > {output}"
rule unnamed:
    output: "unnamed.txt"
    script: "scripts/copy.py"
""",
    )
    project.put("scripts/words.txt", "word\n")
    project.put("tracked.txt", "tracked\n")
    project.put(
        "scripts/copy.py",
        """
from pathlib import Path
words = Path("scripts/words.txt").read_text() + Path("tracked.txt").read_text()
Path(snakemake.output[0]).write_text(words)
""",
    )
    for command in (("init", "--quiet"), ("add", "tracked.txt")):
        subprocess.run(["git", *command], cwd=project.folder, check=True)
    project.run().succeeded()
    assert project.read("named.txt") == project.read("unnamed.txt") == "word\ntracked\n"


def test_what_is_too_large_is_listed_once_and_travels_by_request(project: Project) -> None:
    project.put("tables/big.dat", LARGE)
    project.put("tables/small.dat", "small\n")
    project.put(
        "Snakefile",
        """
rule all:
    input: expand("size{n}.txt", n=range(2))
rule size:
    output: "size{n}.txt"
    shell: "ls tables > {output}; wc -c < tables/big.dat >> {output}"
""",
    )
    without = project.run("--keep-going").failed()
    assert without.output.count("tables/big.dat (2.1 MB)") == 1
    # Of each of the two jobs.
    assert without.output.count("add --grid-include FILE") == 2
    project.run("--grid-include", "tables/b*.dat", "--grid-exclude", "tables/sm*").succeeded()
    assert project.read("size1.txt").split() == ["big.dat", str(len(LARGE))]


def test_a_glob_that_matches_nothing_is_an_error(project: Project) -> None:
    project.write(Snakefile='rule all:\n    output: "a"\n    shell: "touch {output}"\n')
    run = project.run("--grid-include", "tabels/*").failed()
    assert "--grid-include tabels/*: matches nothing" in run.output
