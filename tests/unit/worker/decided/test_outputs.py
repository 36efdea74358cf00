"""What is done before and after the command of a step."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.decided.decision import DecidedOutput
from snakemake_executor_plugin_grid.worker.decided.outputs import prepare_outputs

from .place import Place, place, step

__all__ = ["place"]


def test_folders_are_made_for_outputs_logs_and_temporary_files(place: Place) -> None:
    one = step("touch x/out; echo l > y/z/log; echo t > $TMPDIR/t", "a", "x/out", logs=("y/z/log",))
    assert place.run(replace(one, tmpdir="deep/tmp")).reason == reports.SUCCESS
    assert place.text("y/z/log") == "l\n"
    assert place.text("deep/tmp/t") == "t\n"


def test_missing_inputs_are_named_before_the_command_runs(place: Place) -> None:
    place.put(there="")
    result = place.run(step("touch ran", inputs=("there", "gone/x")))
    assert result.reason == reports.PAYLOAD_FAILED
    assert "inputs are missing on the worker node: gone/x;" in result.message
    assert not (place.cwd / "ran").exists()


def test_old_outputs_and_logs_are_removed_before(place: Place) -> None:
    place.put(out="old", log="old", mine="old")
    one = step("ls", "a", "out", DecidedOutput("d", directory=True), logs=("log",))
    (place.cwd / "d").mkdir()
    (place.cwd / "d/x").touch()
    place.run(one)
    assert place.log.split()[:1] == ["mine"]


def test_a_file_that_a_job_updates_stays(place: Place) -> None:
    (place.cwd / "log").write_text("old\n")
    result = place.run(step("echo new >>log", DecidedOutput("log", update=True)))
    assert result.reason == reports.SUCCESS
    assert (place.cwd / "log").read_text() == "old\nnew\n"


def test_outputs_that_are_inputs_stay(place: Place) -> None:
    """Those with update()."""
    place.put(out="old\n")
    (place.cwd / "d").mkdir()
    (place.cwd / "d/x").touch()
    folder = DecidedOutput("d", directory=True)
    result = place.run(step("echo new >> out; ls d", "a", "out", folder, inputs=("out", "d/x")))
    assert result.reason == reports.SUCCESS
    assert (place.text("out"), place.log) == ("old\nnew\n", "x\n")


def test_many_inputs_and_outputs_take_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = [f"in/{number}" for number in range(20_000)]
    outputs = [DecidedOutput(f"out/{number}") for number in range(20_000)]
    began = time.process_time()
    prepare_outputs(outputs, inputs)
    assert time.process_time() - began < 20  # looking through all inputs for each: minutes


def test_touch_makes_what_the_command_did_not(place: Place) -> None:
    outputs = (
        DecidedOutput("a/file", touch=True),
        DecidedOutput("b/folder", touch=True, directory=True),
    )
    assert place.run(step("rmdir a b; true", "a", *outputs)).reason == reports.SUCCESS
    assert place.text("a/file") == ""
    assert [one.name for one in (place.cwd / "b/folder").iterdir()] == [".snakemake_timestamp"]


@pytest.mark.parametrize("end", ["true", "false"])
def test_logs_are_there_afterwards(place: Place, end: str) -> None:
    place.run(step(end, logs=("l/one",)))
    assert place.text("l/one") == ""


def test_missing_outputs_are_named(place: Place) -> None:
    place.put(target="")
    result = place.run(step("ln -s nowhere c; ln -s target d", "a", "a", "b/b", "c", "d"))
    assert result.reason == reports.OUTPUT_MISSING
    assert result.message == "the job succeeded but did not create a, b/b, c"
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("text", "directory", "words"),
    [
        ("mkdir out", False, "the output out is a folder, but a file is declared"),
        ("touch out", True, "the output out is a file, but directory() is declared"),
    ],
)
def test_folders_and_files_are_told_apart(
    place: Place, text: str, directory: bool, words: str
) -> None:
    result = place.run(step(text, "a", DecidedOutput("out", directory=directory)))
    assert (result.reason, result.message) == (reports.PAYLOAD_FAILED, words)


def test_an_empty_output_is_refused(place: Place) -> None:
    outputs = (DecidedOutput("a", non_empty=True), DecidedOutput("b", non_empty=True))
    result = place.run(step("touch a; echo > b", "a", *outputs))
    assert result.message == "ensure() demands that outputs are not empty, but these are: a"


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
@pytest.mark.parametrize("right", [True, False])
def test_checksums(place: Place, algorithm: str, right: bool) -> None:
    digest = hashlib.new(algorithm, b"text\n").hexdigest()
    wanted = digest if right else "0" + digest[1:] if digest[0] != "0" else "1" + digest[1:]
    result = place.run(
        step("echo text > o", "a", DecidedOutput("o", algorithm=algorithm, checksum=wanted))
    )
    assert (result.reason == reports.SUCCESS) is right
    if not right:
        assert "of the output o, but it is" in result.message
        assert digest in result.message
        assert wanted in result.message


@pytest.mark.parametrize(
    ("text", "algorithm", "words"),
    [("touch o", "md17", "no checksum 'md17'"), ("touch o", "shake_128", "no checksum")],
)
def test_checksums_that_cannot_be_made(place: Place, text: str, algorithm: str, words: str) -> None:
    result = place.run(step(text, "a", DecidedOutput("o", algorithm=algorithm, checksum="0")))
    assert (result.reason, result.exit_code) == (reports.PAYLOAD_FAILED, 0)
    assert words in result.message


def test_times_are_those_of_the_end(place: Place) -> None:
    """Of links their own, of folders that of a file in them."""
    place.put(target="")
    os.utime(place.cwd / "target", (1, 1))
    began = time.time() - 1
    result = place.run(
        step(
            "touch -d @5 old; ln -s target link; touch -h -d @5 link; mkdir d; touch -d @5 d",
            "a",
            *("old", "link", DecidedOutput("d", directory=True)),
        )
    )
    assert result.reason == reports.SUCCESS
    assert (place.cwd / "old").stat().st_mtime > began
    assert (place.cwd / "link").lstat().st_mtime > began
    assert (place.cwd / "target").stat().st_mtime == 1
    assert (place.cwd / "d/.snakemake_timestamp").stat().st_mtime > began


def test_protected_outputs_cannot_be_written(place: Place) -> None:
    place.put(input="")
    (place.cwd / "input").chmod(0o644)
    outputs = (
        DecidedOutput("file", protected=True),
        DecidedOutput("d", protected=True, directory=True),
    )
    text = "touch file; chmod 775 file; mkdir d; chmod 755 d; touch d/x; ln -s ../input d/link"
    assert place.run(step(text, "a", *outputs)).reason == reports.SUCCESS
    assert _mode(place.cwd / "file") == 0o555
    assert _mode(place.cwd / "d") == 0o555
    assert _mode(place.cwd / "d/x") == 0o555
    assert _mode(place.cwd / "input") == 0o644


def test_a_rule_without_a_body_is_only_checked(place: Place) -> None:
    place.put(made="x")
    assert place.run(step("", "a", "made", inputs=("made",))).reason == reports.SUCCESS
    assert place.text("made") == "x"
    assert place.run(step("", "a", "other")).reason == reports.OUTPUT_MISSING


def test_a_full_disk_is_told(place: Place) -> None:
    result = place.run(step("true", "a", DecidedOutput("/dev/full/x", touch=True)))
    assert result.reason != reports.SUCCESS
    assert "/dev/full/x" in result.message


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
