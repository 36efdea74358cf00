"""Values of the node in the place of marks."""

from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.worker.decided.decision import TMPDIR, variable_mark
from snakemake_executor_plugin_grid.worker.decided.marks import (
    fill_command,
    fill_path,
    fill_script,
)
from snakemake_executor_plugin_grid.worker.description import WORKDIR, FolderError


def test_marks_are_replaced() -> None:
    values = {WORKDIR: "/job", TMPDIR: "/job/tmp"}
    text = f"cat {WORKDIR}/x '{WORKDIR}/y' > {TMPDIR}/z"
    assert fill_command(text, values) == "cat /job/x '/job/y' > /job/tmp/z"
    assert fill_path(f"{WORKDIR}/x", values) == "/job/x"
    assert fill_script(f'open("{WORKDIR}/x")', values) == 'open("/job/x")'


def test_a_blank_is_possible_within_quotes_only() -> None:
    values = {WORKDIR: "/my job"}
    assert fill_command(f"cat '{WORKDIR}/y'", values) == "cat '/my job/y'"
    assert fill_script(f'open("{WORKDIR}/x")', values) == 'open("/my job/x")'
    said = f"""echo "don't"; echo 'it'\\''s'; cat '{WORKDIR}/y'"""
    assert fill_command(said, values) == said.replace(WORKDIR, "/my job")
    outside = (
        f"cat {WORKDIR}/x",
        f"cat '{WORKDIR}/y' {WORKDIR}",
        f"cat 'x'{WORKDIR}/y",  # the quote ends a word
        f"echo don't '{WORKDIR}/y",
    )
    for text in outside:
        with pytest.raises(FolderError, match="the job's folder on this node, '/my job'"):
            fill_command(text, values)


@pytest.mark.parametrize("character", ["'", '"', "\\", "$", "`", "\n", "\x85", "\udcff"])
def test_values_that_would_need_quotes_are_refused(character: str) -> None:
    values = {WORKDIR: f"/a{character}b"}
    with pytest.raises(FolderError, match="so it cannot stand in a command"):
        fill_command(f"cat '{WORKDIR}/y'", values)
    with pytest.raises(FolderError, match="so it cannot stand in a script"):
        fill_script(f'"{WORKDIR}/y"', values)
    assert fill_command("true", values) == "true"
    assert fill_path(f"{WORKDIR}/y", values) == f"/a{character}b/y"


def test_values_of_variables_are_put_back_as_they_were() -> None:
    mark = variable_mark("TOKEN")
    values = {WORKDIR: "/job", mark: 'it\'s "$5" `a`\n'}
    assert fill_command(f"{WORKDIR} {mark}", values) == '/job it\'s "$5" `a`\n'
