"""Jobs with inputs in Rucio go to the sites that have them, with a Rucio that is a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.faults import meddle

from .seen import Seen

pytestmark = [pytest.mark.panda, pytest.mark.workflow]

_RUCIO = """
import zlib
from pathlib import Path
from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts
from snakemake_executor_plugin_grid.stores.rucio.catalog import RucioCatalog

WHERE = {where}

def path_of(name):
    return Path({folder!r}, name.rpartition("/")[2])

def facts(self, names):
    found = dict.fromkeys(names)
    for name in names:
        if path_of(name).exists():
            data = path_of(name).read_bytes()
            found[name] = FileFacts(len(data), 1.5e9, f"{{zlib.adler32(data):08x}}")
    return found

def replicas(self, names):
    with open(Path({folder!r}, "calls"), "a") as calls:
        print(len(names), file=calls)
    return {{
        name: {{rse: path_of(name).as_uri() for rse in WHERE[name.rpartition("/")[2]]}}
        for name in names
    }}

RucioCatalog.facts, RucioCatalog.replicas = facts, replicas
"""
_WORKFLOW = """
rule all:
    input: expand("{n}.out", n=["a1", "a2", "b", "both", "own", "unknown"])
    localrule: True
rule one:
    input: storage.grid("rucio://scope/{n}")
    output: "{n}.out"
    wildcard_constraints: n="a.|b|unknown"
    shell: "cp {input} {output}"
rule both:
    input: storage.grid("rucio://scope/large"), storage.grid("rucio://scope/a1")
    output: "both.out"
    shell: "cat {input} > {output}"
rule own:
    input: storage.grid("rucio://scope/a1")
    output: "own.out"
    resources: grid_site="SITE_B"
    shell: "cp {input} {output}"
"""
_WHERE = {
    "a1": ["DISK-A"],
    "a2": ["DISK-A", "DISK-C"],
    "b": ["DISK-B"],
    "large": ["DISK-B"],
    "unknown": ["DISK-C"],
}


def test_jobs_go_to_their_data(project: Project, tmp_path: Path, seen: Seen) -> None:
    rucio = tmp_path / "rucio"
    rucio.mkdir()
    for name in _WHERE:
        (rucio / name).write_text(name * (50 if name == "large" else 1))
    meddle(project, tmp_path / "code", _RUCIO.format(where=_WHERE, folder=str(rucio)))
    rses = tmp_path / "rses.txt"
    rses.write_text("DISK-A SITE_A\nDISK-B SITE_B  # the largest\n")
    project.put("Snakefile", _WORKFLOW)
    options = ("--jobs", "6", "--grid-site", "", "--grid-panda-rse-sites", str(rses))
    described = project.run("--quiet", "all", *options, "--grid-describe").output
    assert described.count('"site": "SITE_A"') == 2
    assert described.count('"site": "SITE_B"') == 3
    (rucio / "calls").unlink()
    output = project.run(*options).succeeded().output
    assert output.count("has no entry for DISK-C") == 1
    asked = {
        task["parameters"].get("site"): len(task["parameters"]["pfnList"]) for task in seen.tasks()
    }
    assert asked == {"SITE_A": 2, "SITE_B": 3, None: 1}
    assert json.loads((rucio / "calls").read_text().split("\n")[0]) == len(_WHERE)
    assert project.read("both.out") == "large" * 50 + "a1"
