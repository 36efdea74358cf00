"""What Snakemake prints on a worker: breaks when it prints something else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.snakemake_api.output import (
    RuleOutput,
    lacks_storage_plugin,
    rule_output,
)


def printed(folder: Path, snakefile: str, *args: str) -> str:
    """Return what Snakemake prints when it runs rule `a` of a workflow, as a worker does."""
    (folder / "Snakefile").write_text(snakefile)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--mode", "remote", "--nocolor"]
    done = subprocess.run(
        [*command, "--force", "--target-jobs", "a:", *args],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    return done.stdout


def test_the_output_of_a_rule_is_told_from_that_of_snakemake(tmp_path: Path) -> None:
    text = printed(
        tmp_path,
        "rule a:\n"
        "    output: 'a', 'b'\n"
        "    log: 'a.log', 'b.log'\n"
        "    shell:\n"
        "        'echo Error in rule f: as R prints it; echo; echo last; exit 3 '\n"
        "        '# a long command'\n",
    )
    found = rule_output(text.splitlines())
    assert found.lines == ("Error in rule f: as R prints it", "last")
    assert found.error == (), "the command is no news, and the status is told apart"
    assert found.ending == "exit status 3"
    assert (found.names, found.logs) == (("a", "b"), ("a.log", "b.log"))
    # Older versions do not print it.
    assert found.folder == (str(tmp_path.resolve()) if "Working directory" in text else "")
    assert not lacks_storage_plugin(text)


def test_a_rule_with_a_message_that_a_signal_kills(tmp_path: Path) -> None:
    rule = (
        "rule a:\n    output: 'a'\n    message: 'making a'\n    shell: 'echo own; kill -SEGV $$'\n"
    )
    found = rule_output(printed(tmp_path, rule).splitlines())
    assert (found.lines, found.ending) == (("own",), "killed by SIGSEGV")


def test_the_error_of_python_code_in_a_rule_is_kept_without_folders(tmp_path: Path) -> None:
    code = "print('own'); raise ValueError('bad')"
    rule = f"rule a:\n    output: 'a'\n    run:\n        {code}\n"
    found = rule_output(printed(tmp_path, rule).splitlines())
    assert found.lines == ("own",)
    file = "Snakefile" if found.folder else f"{tmp_path}/Snakefile"
    assert found.error[:2] == (f'ValueError in file "{file}", line 4:', "bad")
    assert not found.folder or str(tmp_path) not in "".join(found.error)
    assert found.exit_status is None


def test_an_error_before_the_rule_starts_is_kept_without_the_header(tmp_path: Path) -> None:
    rule = "rule a:\n    input: lambda w: {}['key']\n    output: 'a'\n    shell: 'true'\n"
    found = rule_output(printed(tmp_path, rule).splitlines())
    assert found.lines[0].startswith("InputFunctionException")
    assert not [line for line in found.lines if "Python version" in line or "SNAKEMAKE" in line]
    assert found.names == ()


def test_output_that_is_not_of_snakemake_stays_as_it_is() -> None:
    lines = ("any", "    resources: lines", "Reason: none")
    assert rule_output(lines).lines == lines


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (None, ""),
        (1, "exit status 1"),
        (137, "exit status 137 (SIGKILL)"),
        (-9, "killed by SIGKILL"),
        (-63, "killed by signal 63"),
        (255, "exit status 255"),
    ],
)
def test_the_ending_of_a_command(status: int | None, ending: str) -> None:
    assert RuleOutput(exit_status=status).ending == ending


@pytest.mark.parametrize(
    ("line", "args"),
    [
        ("storage: provider='nothing'", ()),
        ("x = storage('nothing://x')", ()),
        ("", ("--storage-nothing-retries=3",)),
    ],
)
def test_a_missing_storage_plugin_is_recognised(
    tmp_path: Path, line: str, args: tuple[str, ...]
) -> None:
    text = printed(tmp_path, f"{line}\nrule a:\n    output: 'a'\n    shell: 'false'\n", *args)
    assert lacks_storage_plugin(text), text
