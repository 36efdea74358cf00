"""The worker program in a DIRAC job, with stand-ins for DIRAC's commands."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Output
from snakemake_executor_plugin_grid.worker.environment import payload_environment

from .worker_node import Node, both_pythons


def in_dirac(folder: Path, python: str) -> Node:
    """A node whose store is a storage element, reached by DIRAC's command alone."""
    node = Node(folder, python)
    commands = folder / "diracos" / "bin"
    commands.mkdir(parents=True)
    command = commands / "dirac-dms-get-file"
    command.write_text(
        f'#!/bin/sh\ntest "$DIRACSYSCONFIG" = /d.cfg && cp {node.store}/"${{1##*/}}" .\n'
    )
    command.chmod(0o755)
    node.site = {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "JOBID": "1234",
        "DIRACSITE": "LCG.Here.org",
        "DIRACOS": str(commands.parent),
        "DIRACSYSCONFIG": "/d.cfg",
        "PYTHONWARNINGS": "ignore",
    }
    return node


@both_pythons
def test_a_job_from_one_end_to_the_other(tmp_path: Path, python: str) -> None:
    node = in_dirac(tmp_path, python)
    tar, raw = node.tar(a="small "), node.raw("work/b", b"large ")
    node.change(
        blobs=tuple(replace(blob, url=f"lfn:/vo/x/{blob.digest}") for blob in (tar, raw)),
        command="cat a b > c; cat a > d; dirac-dms-get-file LFN:/vo/x/" + raw.digest + " && pwd",
        outputs=(Output("work/c"), Output("work/d")),
        large_file=10,
        deliver="lfn:/vo/user/m/me",
    )
    report = node.run()
    assert (report.reason, report.message) == (reports.SUCCESS, "")
    assert (report.wms_id, report.site) == ("1234", "LCG.Here.org")
    # The payload used DIRAC's command.
    assert node.log == f"{node.sandbox}/scratch/tree\n"
    left = {path.name for path in node.sandbox.iterdir()}
    assert {f"{digest}.data" for digest in report.blobs} == {
        name for name in left if name.endswith(".data")
    }
    assert len(report.blobs) == 2
    assert {tar.digest, raw.digest} <= left
    assert "out" not in left


@both_pythons
def test_a_log_and_outputs_that_are_too_large(tmp_path: Path, python: str) -> None:
    node = in_dirac(tmp_path, python)
    node.change(
        command="seq 100000; head -c 2000000 /dev/zero > out; echo why > log",
        outputs=(Output("work/out"), Output("work/log", "log", required=False)),
        deliver="sandbox:",
        deliver_limit=1_000_000,
        deliver_hint="use a storage element",
        log_limit=50_000,
    )
    report = node.run()
    assert report.reason == reports.OUTPUT_TOO_LARGE
    assert report.message.endswith("1.0 MB; use a storage element")
    assert [item.member.name for item in report.returned] == ["work/log"]
    [blob] = node.sandbox.glob("*.blob")
    assert blob.stat().st_size == sum(report.blobs.values()) < 1_000_000
    assert len(node.log) == 50_000
    assert node.log.endswith("\n100000\n")
    assert "were cut out" in node.log.splitlines()[0]


def test_an_input_that_the_grid_does_not_have(tmp_path: Path) -> None:
    node = in_dirac(tmp_path, Node(tmp_path).python)
    blob = node.raw("work/a", b"data")
    (node.store / blob.digest).unlink()
    node.change(blobs=(replace(blob, url=f"lfn:/vo/x/{blob.digest}"),), command="true")
    report = node.run()
    assert report.reason == reports.INPUT_DAMAGED
    assert f"LFN:/vo/x/{blob.digest} could not be fetched" in report.message


def test_logs_of_a_failed_job_go_into_the_sandbox(tmp_path: Path) -> None:
    node = in_dirac(tmp_path, Node(tmp_path).python)
    node.change(
        command="echo o > out; echo l > log; exit 3",
        outputs=(Output("work/out"), Output("work/log", "log", required=False)),
        deliver="lfn:/vo/user/m/me",
        deliver_limit=1_000_000,
    )
    report = node.run()
    assert [item.member.name for item in report.returned] == ["work/log"]
    assert {path.name for path in node.sandbox.glob("*.*")} > {f"{d}.blob" for d in report.blobs}
    assert not list(node.sandbox.glob("*.data"))


@pytest.mark.parametrize(
    "name",
    [
        *("DIRAC", "DIRACOS", "DIRACSYSCONFIG", "DIRACSITE", "DIRAC_PROCESSORS", "JOBID"),
        *("DIRAC_USE_ACCESS_TOKEN", "X509_USER_PROXY", "X509_VOMSES", "XRD_WRITERECOVERY"),
    ],
)
def test_what_the_commands_need_reaches_the_payload(tmp_path: Path, name: str) -> None:
    assert payload_environment({name: "value"}, {}, tmp_path, "j")[name] == "value"


@pytest.mark.parametrize(
    "name",
    [
        *("PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "DIRAC_PASSWORD", "DIRACX_TOKEN"),
        *("CONDA_PREFIX", "CONDA_SHLVL", "MAMBA_ROOT_PREFIX"),
    ],
)
def test_what_is_of_diracos_alone_does_not(tmp_path: Path, name: str) -> None:
    site = {"DIRACOS": "/diracos", name: "value"}
    assert name not in payload_environment(site, {}, tmp_path, "j")
