from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.worker.payload import plain_argv

START = '"$GRID_PYTHON" -m snakemake '
SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
# What means something to a shell comes up often enough.
odd = st.text(
    st.sampled_from(" \t\n\r'\"\\$`*?[]{}~#;&|<>()!=%^,:a1\v\f\x1c\u00a0\u2028"), max_size=8
)


def shell(line: str) -> list[str]:
    """Return the arguments that a shell makes of a line."""
    show = f"{shlex.quote(sys.executable)} -I -S -c {shlex.quote(SHOW)} {line}"
    out = subprocess.run(["/bin/sh", "-c", show], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(out.stdout)
    return found


@given(st.lists(words | odd, min_size=1))
def test_quoted_arguments_come_through(arguments: list[str]) -> None:
    line = " ".join(map(shlex.quote, arguments))
    found = plain_argv(START + line)
    # An inner quote is written '"'"', which is plain as well.
    assert found == arguments


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(odd | words, st.booleans()), min_size=1, max_size=8))
def test_line_that_is_plain_means_the_same_to_a_shell(pieces: list[tuple[str, bool]]) -> None:
    line = " ".join(shlex.quote(text) if quoted else text for text, quoted in pieces)
    found = plain_argv(START + line)
    if found is not None:
        assert found == shell(line)


@pytest.mark.parametrize(
    "line",
    [
        *("a b  c\td", "--config 'a=$HOME' x=1", '--target-jobs "rule:a=b c"', "a'b'\"c\"d", "''"),
        *(
            "--snakefile workflow/Snakefile",
            "--resources mem_mb=5 'tmpdir=<TBD>'",
            "'a\nb'",
            "ü@%+,:",
        ),
    ],
)
def test_plain_lines(line: str) -> None:
    assert plain_argv(START + line) == shell(line)


@pytest.mark.parametrize(
    "line",
    [
        *("a; b", "a && b", "a | b", "a > b", "a & ", "$HOME", '"$HOME"', "`x`", '"`x`"', "$(x)"),
        *("*.txt", "a?", "[ab]", "{a,b}", "~/x", "a\\ b", '"a\\"b"', "# x", "a\nb", "a\rb", "!x"),
        *("'open", '"open', "(a)"),
    ],
)
def test_lines_for_a_shell(line: str) -> None:
    assert plain_argv(START + line) is None


@pytest.mark.parametrize(
    "line", ["echo x", "cd x && " + START + "a", "python -m snakemake a", "", "A=1 " + START]
)
def test_other_programs_are_for_a_shell(line: str) -> None:
    assert plain_argv(line) is None
