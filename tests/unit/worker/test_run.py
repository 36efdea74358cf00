"""The worker program as a node runs it: ``python worker.pyz FOLDER``, with a stand-in payload."""

from __future__ import annotations

import hashlib
import tarfile
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Output
from snakemake_executor_plugin_grid.worker.runtime import Runtime

from .worker_node import Node, both_pythons, node

__all__ = ["node"]


@both_pythons
def test_job_from_inputs_to_outputs(tmp_path: Path, python: str) -> None:
    node = Node(tmp_path, python, {"TOKEN": "s3cret"})
    node.change(
        nesting=("home", "project"),
        blobs=(node.tar(a="small"), node.raw("up1/shared/b", b"large")),
        outputs=(
            Output("work/out/c"),
            Output("work/folder"),
            Output("up2/beside"),
            Output("work/log", "log", required=False),
            Output("work/never", "log", required=False),
        ),
        command=(
            'cat a ../shared/b; echo " $TOKEN $SNAKEMAKE_GRID_JOB $TMPDIR $HOME"; '
            "mkdir out folder; printf 123456 > out/c; ln -s inner folder/link; "
            "echo x > folder/inner; echo b > ../../beside; echo l > log; echo > stray; "
            'mkdir shut; touch shut/file; chmod 500 shut; "$GRID_PYTHON" -V'
        ),
        large_file=6,
        deliver=node.store.as_uri(),
    )
    report = node.run()
    assert (report.reason, report.exit_code, report.message) == (reports.SUCCESS, 0, "")
    words = node.log.split()
    assert words[:3] == ["smalllarge", "s3cret", node.job.name]
    for folder in words[3:5]:
        assert folder.startswith(str(node.sandbox))
    assert words[5] == "Python"
    assert list(report.times) == ["received", "staging in", "running", "staging out", "ended"]
    assert report.undeclared == ["work/shut/file", "work/stray"]
    returned = {item.member.name: item for item in report.returned}
    assert sorted(returned) == [
        *("up2/beside", "work/folder", "work/folder/inner", "work/folder/link"),
        *("work/log", "work/out/c"),
    ]
    assert returned["work/out/c"].raw
    assert (node.store / returned["work/out/c"].blob).read_text() == "123456"
    assert returned["work/log"].kind == "log"
    with tarfile.open(node.store / returned["work/log"].blob) as archive:
        assert sorted(archive.getnames()) == sorted(set(returned) - {"work/out/c"})
    for digest, size in report.blobs.items():
        data = (node.store / digest).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (digest, size)
    assert not [path for path in node.store.iterdir() if path.name.endswith(".part")]


@both_pythons
def test_failed_payload_returns_only_its_log(tmp_path: Path, python: str) -> None:
    node = Node(tmp_path, python)
    node.change(
        command="echo why; echo o > out; echo l > log; exit 3",
        outputs=(Output("work/out"), Output("work/log", "log", required=False)),
    )
    report = node.run()
    assert (report.reason, report.exit_code) == (reports.PAYLOAD_FAILED, 3)
    assert "exit code 3" in report.message
    assert [item.member.name for item in report.returned] == ["work/log"]
    assert (node.sandbox / "out" / report.returned[0].blob).exists()
    assert node.log == "why\n"


def test_outputs_of_a_failed_job_are_returned_on_request(node: Node) -> None:
    node.change(command="echo o > out; false", outputs=(Output("work/out"),), keep_incomplete=True)
    assert [item.member.name for item in node.run().returned] == ["work/out"]


@pytest.mark.parametrize("end", ["true", "false"])
def test_outputs_of_kind_staying_are_not_returned(node: Node, end: str) -> None:
    scratch = Output("work/scratch", "staying", required=False)
    node.change(
        command=f"echo s > scratch; echo o > out; {end}",
        outputs=(Output("work/out"), scratch),
        keep_incomplete=end == "false",
        fetch_undeclared=True,
    )
    report = node.run()
    assert [item.member.name for item in report.returned] == ["work/out"]
    assert report.undeclared == []


def test_missing_output_is_named_with_undeclared_files(node: Node) -> None:
    node.change(command="echo > otu.txt", outputs=(Output("work/out.txt"),))
    report = node.run()
    assert report.reason == reports.OUTPUT_MISSING
    assert "out.txt" in report.message
    assert (report.missing, report.undeclared) == (["work/out.txt"], ["work/otu.txt"])


def test_node_without_snakemake(node: Node) -> None:
    node.environment["PATH"] = "/nowhere"
    node.change(command='"$GRID_PYTHON" -m snakemake --version')
    report = node.run()
    assert report.reason == reports.NO_RUNTIME
    assert "--grid-runtime" in report.message


MODULE = {"BASH_FUNC_module%%": '() { echo "module $*"; }'}


def test_an_exported_function_reaches_the_payload(node: Node) -> None:
    node.site = MODULE
    node.change(command="bash -c 'module load root'", env_modules=True)
    assert node.run().reason == reports.SUCCESS
    assert node.log == "module load root\n"


def test_a_node_without_the_environment_modules_that_a_rule_needs(node: Node) -> None:
    node.change(command="bash -c 'module load root; touch out.txt'", env_modules=True)
    report = node.run()
    assert report.reason == reports.NO_RUNTIME
    assert "environment modules" in report.message
    assert "--grid-runtime-setup" in report.message


def test_setup_lines_bring_the_environment_modules(node: Node) -> None:
    setup = 'module() { echo "module $*"; }; export -f module'
    runtime = Runtime("setup", setup=setup)
    node.change(command="bash -c 'module load root'", env_modules=True, runtime=runtime)
    assert node.run().reason == reports.SUCCESS
    assert node.log == "module load root\n"


def test_description_for_another_version_of_the_worker(node: Node) -> None:
    node.change(version=99)
    process = node.start()
    output, _ = process.communicate(timeout=10)
    assert process.returncode == reports.NO_REPORT
    assert "version 99" in output


def test_second_worker_leaves_the_job_to_the_first(node: Node) -> None:
    node.change(command=f"echo ran >> {node.outside}/notes; sleep 0.5")
    first = node.start()
    node.wait_for(lambda: (node.outside / "notes").exists())
    second = node.start()
    assert "Another worker" in second.communicate(timeout=10)[0]
    assert second.returncode == 1
    assert first.wait(10) == 0
    assert (node.outside / "notes").read_text() == "ran\n"
    assert load_report(node.sandbox / "report.json").reason == reports.SUCCESS


def test_archive_is_the_same_for_the_same_sources(tmp_path: Path) -> None:
    write_worker(tmp_path / "a")
    time.sleep(0.01)
    write_worker(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_paths_lead_through_folders_that_hold_no_file(node: Node) -> None:
    node.change(
        nesting=("project",),
        blobs=(node.raw("work/in.txt", b"given"),),
        folders=("work/results", "work", "up1"),
        outputs=(Output("work/out.txt"),),
        command="cat results/../in.txt ../project/in.txt > results/../out.txt",
    )
    report = node.run()
    assert (report.reason, report.undeclared) == (reports.SUCCESS, [])
    assert [item.member.name for item in report.returned] == ["work/out.txt"]


def test_the_command_knows_the_working_directory(node: Node) -> None:
    node.change(
        outputs=(Output("work/here/out.txt"),),
        command="mkdir here; cd /; pwd > '<grid_workdir>/here/out.txt'",
    )
    assert node.run().reason == reports.SUCCESS
