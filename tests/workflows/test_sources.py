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
    snakemake = ("--grid-decide", "never", *limit)
    project.run("first.txt", *snakemake).succeeded()
    # Now Python reads the module from its cache of bytecode, and never opens it.
    assert list(project.folder.glob("lib/__pycache__/names.*.pyc"))
    project.run("second.txt", *snakemake).succeeded()
    assert project.read("second.txt") == "ONE hello\n"
    # A job that was decided needs none of these files.
    nothing = ("--grid-exclude", "lib/*", "config/*", "schemas/*", "rules/*")
    project.run("second.txt", "--forceall", "--grid-decide", "always", *nothing).succeeded()
    assert project.read("second.txt") == "ONE hello\n"


@pytest.mark.parametrize("decide", ["always", "never"])
def test_what_lies_beside_the_workflow_travels(project: Project, decide: str) -> None:
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
    options = ("-s", "../flow/Snakefile", "--grid-decide", decide)
    run = project.run(*options, "script.txt", cwd=project.folder / "run").succeeded()
    named = " names ../flow/tools/other.sh, local/here.sh, which no rule declares"
    assert (named in run.output) == (decide == "always")
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
    project.run("--grid-decide", "never").succeeded()
    assert project.read("named.txt") == project.read("unnamed.txt") == "word\ntracked\n"


def test_what_a_decided_script_opens_elsewhere_has_to_be_named(project: Project) -> None:
    project.put("Snakefile", 'rule all:\n    output: "made.txt"\n    script: "scripts/copy.py"\n')
    project.put(
        "scripts/copy.py",
        """
from pathlib import Path
words = Path("scripts/words.txt").read_text() + Path("elsewhere.txt").read_text()
Path(snakemake.output[0]).write_text(words)
""",
    )
    project.put("scripts/words.txt", "word\n")
    project.put("elsewhere.txt", "elsewhere\n")
    failed = project.run("--grid-decide", "always")
    assert failed.code == 1
    assert "No such file or directory: 'elsewhere.txt'" in failed.output
    assert "add --grid-include FILE" in failed.output
    named = ("--grid-include", "elsewhere.txt")
    project.run("--grid-decide", "always", *named).succeeded()
    assert project.read("made.txt") == "word\nelsewhere\n"


@pytest.mark.parametrize("decide", ["always", "never"])
def test_what_is_too_large_is_listed_once_and_travels_by_request(
    project: Project, decide: str
) -> None:
    project.put("tables/big.dat", LARGE)
    project.put("tables/small.dat", "small\n")
    project.put(
        "Snakefile",
        """
rule all:
    input: expand("size{n}.txt", n=range(2))
rule size:
    output: "size{n}.txt"
    shell: "wc -c < tables/big.dat > {output}"
""",
    )
    without = project.run("--keep-going", "--grid-decide", decide).failed()
    if decide == "never":  # otherwise only the jobs tell which file they lack
        assert without.output.count("tables/big.dat (2.1 MB)") == 1
    # Of each of the two jobs.
    assert without.output.count("add --grid-include FILE") == 2
    request = ("--grid-include", "tables/b*.dat", "--grid-exclude", "tables/sm*")
    project.run("--grid-decide", decide, *request).succeeded()
    assert project.read("size1.txt").strip() == str(len(LARGE))


def test_a_folder_with_what_is_excluded(project: Project) -> None:
    project.put("tables/small.dat", "small\n")
    project.put("tables/other.dat", "other\n")
    project.put(
        "Snakefile", 'rule all:\n    output: "all.txt"\n    shell: "ls tables > {output}"\n'
    )
    for decide in ("always", "never"):
        options = ("--forceall", "--grid-decide", decide, "--grid-exclude", "tables/sm*")
        project.run(*options).succeeded()
        assert project.read("all.txt") == "other.dat\n"


def test_a_glob_that_matches_nothing_is_an_error(project: Project) -> None:
    project.write(Snakefile='rule all:\n    output: "a"\n    shell: "touch {output}"\n')
    run = project.run("--grid-include", "tabels/*").failed()
    assert "--grid-include tabels/*: matches nothing" in run.output
