"""What Snakemake prints on a worker: breaks when it prints something else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.snakemake_api.output import lacks_storage_plugin, rule_output


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
        "    output: 'a'\n"
        "    shell: 'echo Error in f: as R prints it; echo; echo last; exit 1'\n",
    )
    lines = [line for line in text.splitlines() if line.strip()]
    own = rule_output(lines)
    # Then comes the exception, before the time and the block about the error.
    assert own[:3] == ["Error in f: as R prints it", "last", "RuleException:"]
    assert len(own) < 7
    assert [line for line in lines if line.startswith(("Error in rule a", "rule a:"))]
    assert [line for line in own if line.startswith(("Error in rule a", "rule a:", "["))] == []
    assert not lacks_storage_plugin(text)
    assert rule_output(["any", "lines"]) == ["any", "lines"]


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
