"""Absolute paths of the configuration on a worker: breaks when Snakemake changes that."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from snakemake.cli import parse_config
from snakemake.common.configfile import load_configfile
from snakemake.settings import types as options
from snakemake_interface_executor_plugins.utils import format_cli_arg

from snakemake_executor_plugin_grid.snakemake_api.config_paths import ConfigPaths
from snakemake_executor_plugin_grid.snakemake_api.workflow import WorkflowApi
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.worker.description import in_folder

from .conftest import Build

RULE = "rule a:\n    output: 'a'\n    shell: 'true'\n"
SNAKEFILE = f'configfile: "config.yaml"\n{RULE}'
ELSEWHERE = Path("/scratch/of a worker (1)")


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    return tmp_path


class Found:
    """The paths of a configuration, and what a worker makes of it."""

    def __init__(
        self,
        build: Build,
        workdir: Path,
        declared: Iterable[str],
        snakefile: str = SNAKEFILE,
        **values: Any,
    ) -> None:
        self.workdir = workdir
        self.workflow = build(snakefile, **values).workflow
        paths = [text.replace("WD", str(workdir)) for text in declared]
        self.paths = ConfigPaths(self.workflow, Layout(workdir).on_worker, paths)

    def texts(self) -> dict[str, str]:
        """Return the travelling files, with WORKER for the folder of a worker."""
        return {
            name: in_folder(data.decode(), ELSEWHERE).replace(str(ELSEWHERE), "WORKER")
            for name, data in self.paths.copies.items()
        }

    def origin(self, path: str) -> tuple[str, str]:
        return self.paths.origin(path.replace("WD", str(self.workdir)))


def put(workdir: Path, text: str, name: str = "config.yaml") -> None:
    (workdir / name).write_text(text.replace("WD", str(workdir)))


def test_a_copy_keeps_order_types_and_comments(build: Build, workdir: Path) -> None:
    text = (
        "# where\nsamples: {A: rel, B: WD/b, C: 'WD/b'}\nn: 007\ndate: 2020-01-01\nno: .nan\n"
        'files:\n  - "WD/in/x.txt"   # the first\n  - 1\n  - /cvmfs/c\nout: WD/results\n'
    )
    put(workdir, text)
    found = Found(build, workdir, ["WD/b", "WD/in/x.txt", "WD/results/o.txt"])
    (copy,) = found.texts().values()
    assert copy == text.replace("WD", "WORKER")
    put(workdir, in_folder(found.paths.copies["config.yaml"].decode(), ELSEWHERE), "there.yaml")
    there = load_configfile(workdir / "there.yaml")
    assert list(there["samples"]) == ["A", "B", "C"]
    assert there["files"] == [f"{ELSEWHERE}/in/x.txt", 1, "/cvmfs/c"]


def test_only_what_a_declared_path_begins_with_is_translated(build: Build, workdir: Path) -> None:
    put(
        workdir, "out: WD/results\nprefix: WD/p\ndb: WD/big.db\ncommand: WD/bin/x --u http://a//b\n"
    )
    found = Found(build, workdir, ["WD/results/o.txt", "WD/p_1.txt", "big.db", "/else/big.db"])
    assert found.texts() == {
        "config.yaml": "out: WORKER/results\nprefix: WORKER/p\n"
        f"db: {workdir}/big.db\ncommand: {workdir}/bin/x --u http://a//b\n"
    }
    assert found.origin("WD/results/o.txt") == ("<grid_workdir>/results", "")
    assert found.origin("WD/p_1.txt") == ("<grid_workdir>/p", "")
    assert found.origin("WD/big.db") == ("", "")


def test_a_value_is_replaced_where_it_stands_alone(build: Build, workdir: Path) -> None:
    put(workdir, "a: WD/r\nlist: [WD/r,WD/r2, 'WD/r/']\nold: WD/r.old\nflag: --db=WD/r\n")
    (copy,) = Found(build, workdir, ["WD/r/x"]).texts().values()
    kept = "old: WD/r.old\nflag: --db=WD/r\n".replace("WD", str(workdir))
    assert copy == f"a: WORKER/r\nlist: [WORKER/r,{workdir}/r2, 'WORKER/r/']\n{kept}"


def test_json_with_escapes_keeps_its_form(build: Build, workdir: Path) -> None:
    text = '{"b": "WD/m\\u00fcll",\t"a": 1.0}'
    put(workdir, text)
    (copy,) = Found(build, workdir, ["WD/müll/x"]).texts().values()
    assert copy == text.replace("WD", "WORKER")


def test_another_name_of_the_working_directory(build: Build, workdir: Path) -> None:
    (workdir / "alias").symlink_to(workdir)
    outer = workdir.parent / f"{workdir.name}-alias"
    outer.symlink_to(workdir)
    put(workdir, f"a: WD/alias/results\nb: {outer}/other/\n")
    found = Found(build, workdir, ["WD/alias/results/x", f"{outer}/other/x"])
    # A link below the working directory keeps its name: the job makes a folder of this name.
    assert found.texts() == {"config.yaml": "a: WORKER/alias/results\nb: WORKER/other/\n"}


@pytest.mark.parametrize(
    "text",
    [
        "out: WD/r\nlabels: {WD/r: one}\n",  # a key
        "out: WD/r\nhelp: see WD/r there\n",  # part of a longer text
        'out: "WD/\\x72"\n',  # spelled in another way
        "out: WD/r\nmark: <grid_workdir>/x\n",
        "__use_yte__: true\nout: ?'WD' + '/r'\n",
    ],
)
def test_a_file_that_would_change_otherwise_stays(build: Build, workdir: Path, text: str) -> None:
    put(workdir, text)
    found = Found(build, workdir, ["WD/r/x"])
    assert found.texts() == {}
    assert found.origin("WD/r/x") == ("<grid_workdir>/r", "config.yaml")


def test_a_value_that_one_file_cannot_hold_stays_in_all(build: Build, workdir: Path) -> None:
    put(workdir, "out: WD/r\nother: WD/s\n")
    put(workdir, "out: WD/r\nhelp: see WD/r there\n", "more.yaml")
    both = f'configfile: "config.yaml"\nconfigfile: "more.yaml"\n{RULE}'
    found = Found(build, workdir, ["WD/r/x", "WD/s/x"], both)
    assert found.texts() == {"config.yaml": f"out: {workdir}/r\nother: WORKER/s\n"}
    assert found.origin("WD/r/x")[1] == "more.yaml"


def test_a_value_that_is_a_key_elsewhere_stays(build: Build, workdir: Path) -> None:
    put(workdir, "out: WD/r\n")
    put(workdir, "labels: {WD/r: one}\n", "more.yaml")
    both = f'configfile: "config.yaml"\nconfigfile: "more.yaml"\n{RULE}'
    found = Found(build, workdir, ["WD/r/x"], both)
    assert (found.texts(), found.origin("WD/r/x")[1]) == ({}, "more.yaml")


def test_two_files_and_the_command_line_may_differ(build: Build, workdir: Path) -> None:
    put(workdir, "out: WD/one\n")
    put(workdir, "out: WD/two\n", "more.yaml")
    both = f'configfile: "config.yaml"\nconfigfile: "more.yaml"\n{RULE}'
    config = options.ConfigSettings(config={"out": f"{workdir}/three"})
    found = Found(build, workdir, ["WD/one/x", "WD/two/x", "WD/three/x"], both, config=config)
    assert found.texts() == {"config.yaml": "out: WORKER/one\n", "more.yaml": "out: WORKER/two\n"}
    (argument,) = found.paths.arguments
    assert parse_config([in_folder(argument, ELSEWHERE)]) == {"out": f"{ELSEWHERE}/three"}


def test_a_file_that_stays_at_home_is_named(build: Build, workdir: Path) -> None:
    elsewhere = workdir.parent / f"{workdir.name}-shared.yaml"
    put(workdir, "out: WD/r\n", str(elsewhere))
    found = Found(build, workdir, ["WD/r/x"], f"configfile: '{elsewhere}'\n{RULE}")
    assert found.texts() == {}
    assert found.origin("WD/r/x")[1] == f"../{elsewhere.name}"
    given = options.ConfigSettings(configfiles=[elsewhere])  # the worker gets a relative path
    assert Found(build, workdir, ["WD/r/x"], RULE, config=given).texts() != {}


def test_a_workdir_directive_drops_no_values(build: Build, workdir: Path) -> None:
    (workdir / "inner").mkdir()
    put(workdir, "out: WD/inner/r\n")
    snakefile = f'configfile: workflow.basedir + "/config.yaml"\nworkdir: "inner"\n{RULE}'
    build(snakefile)  # changes the directory
    inner = workdir / "inner"
    found = Found(build, inner, ["WD/r/x"], snakefile.replace('workdir: "inner"\n', ""))
    assert found.texts() == {"../config.yaml": "out: WORKER/r\n"}


def test_the_command_of_a_job_has_only_what_the_user_gave(build: Build, workdir: Path) -> None:
    put(workdir, "out: WD/r\n")
    snakefile = SNAKEFILE.replace("'a'", "config['out'] + '/x'")
    words = [f"out={workdir}/line", "number=007", f"deep={json.dumps({'a': f'{workdir}/line'})}"]
    for given in ([], words):
        config = options.ConfigSettings(config=parse_config(given), config_args=given)
        workflow = build(snakefile, config=config).workflow
        workflow_api = WorkflowApi(workflow, Layout(workdir).on_worker)
        before = f"snakemake {format_cli_arg('--config', given) if given else ''} --quiet"
        command = in_folder(workflow_api.worker_command(before), ELSEWHERE)
        after = [word.replace(str(workdir), str(ELSEWHERE)) for word in given]
        start = [*(["--config", *after] if given else []), "--quiet"]
        assert shlex.split(command)[1 : 1 + len(start)] == start
        assert command.count("--config") == len(given[:1])


def test_jobs_of_a_checkpoint_are_foreseen(build: Build, workdir: Path) -> None:
    put(workdir, "late: WD/late\n")
    snakefile = (
        "configfile: 'config.yaml'\n"
        "checkpoint c:\n    output: 'c'\n    shell: 'true'\n"
        "rule later:\n    output: config['late'] + '/{x}'\n    shell: 'true'\n"
    )
    workflow_api = WorkflowApi(build(snakefile).workflow, Layout(workdir).on_worker)
    assert list(workflow_api.config_paths.copies) == ["config.yaml"]


def test_wildcards_with_an_absolute_path(build: Build, workdir: Path) -> None:
    snakefile = (
        f"rule all:\n    input: '{workdir}/x/o.txt'\n"
        "rule b:\n    output: '{folder}/o.txt'\n    shell: 'true'\n"
    )
    made = build(snakefile)
    workflow_api = WorkflowApi(made.workflow, Layout(workdir).on_worker)
    job = made.job("b", folder=f"{workdir}/x")
    assert workflow_api.targets(job) == (["b:folder=<grid_workdir>/x"], [])
