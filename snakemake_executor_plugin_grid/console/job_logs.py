"""Reads what a job left to read: the payload's output, and the logs of its rule."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..model.untrusted import UntrustedError, open_untrusted, printable
from ..snakemake_api.output import RuleOutput, rule_output
from .format import listed

TAIL_LINES = 20
LEFT_OUT = "[...]"
_LOGS_SHOWN = 4
_LOGS_READ = 20
_LONGEST_LINE = 300  # characters
_LONGEST_READ = 1 << 20  # bytes of one line
# Of a larger file, the middle is not read. Lists of inputs can take megabytes at both ends.
_HEAD_BYTES = 4 << 20
_END_BYTES = 8 << 20
_TAIL_BYTES = 1 << 20


@dataclass(frozen=True)
class JobLogs:
    """What a job left to read.

    Attributes:
        log: File with the payload's output, None if it did not come back.
        rule_logs: The rule's own logs that came back, by their names in the workflow.
        output: The payload's output, without what Snakemake prints around it.
        tails: The last lines of the rule's logs that are not empty, by name.
    """

    log: Path | None = None
    rule_logs: Mapping[str, Path] = field(default_factory=dict)
    output: RuleOutput = field(default_factory=RuleOutput)
    tails: Mapping[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, log: Path | None, rule_logs: Mapping[str, Path] | None = None) -> JobLogs:
        """Read the logs of a job."""
        output = RuleOutput() if log is None else rule_output(read_lines(log))
        # In a group, those of the rule that failed come first.
        given = rule_logs or {}
        found = {name: given[name] for name in output.logs if name in given} | dict(given)
        tails = {name: read_tail(found[name]) for name in list(found)[:_LOGS_READ]}
        return cls(log, found, output, {name: tail for name, tail in tails.items() if tail})

    @property
    def text(self) -> str:
        """All that was read, to search in it."""
        lines = [line for tail in self.tails.values() for line in tail]
        return "\n".join([*lines, *self.output.lines, *self.output.error])

    def excerpt(self) -> list[str]:
        """Return the last lines for a message: of the rule's logs first, under their names."""
        shown = list(self.tails)[:_LOGS_SHOWN]
        lines: list[str] = []
        for name in shown:
            lines.append(f"Last lines of {_title(name)}:")
            lines += _indented(self.tails[name][-TAIL_LINES // len(shown) :])
        printed = [*self.output.lines, *self.output.error][-TAIL_LINES:]
        # Rules that use tee have printed their log already.
        if set(printed) - {line for name in shown for line in self.tails[name]}:
            lines.append("Last lines of its output:")
            lines += _indented(printed)
        others = [name for name in self.rule_logs if name not in shown]
        if others:
            lines.append(f"Other logs of the rule: {listed([_title(name) for name in others])}")
        return lines


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, none if it cannot be read.

    Where the middle of a large one is left out, there is a line `LEFT_OUT`.
    """
    try:
        with open_untrusted(path) as stream:
            rest = os.fstat(stream.fileno()).st_size
            done = 0
            while piece := stream.readline(_LONGEST_READ):
                yield from piece.decode(errors="replace").splitlines()
                done, rest = done + len(piece), rest - len(piece)
                if done > _HEAD_BYTES and rest > _END_BYTES:
                    stream.seek(-_END_BYTES, os.SEEK_END)
                    rest = _END_BYTES
                    yield LEFT_OUT
    except (OSError, UntrustedError):
        return


def read_text(path: Path) -> str:
    """Return the text of a file, empty if it cannot be read.

    Of a large one the middle is left out, as it would fill the memory.
    """
    try:
        with open_untrusted(path) as stream:
            data = stream.read(_HEAD_BYTES)
            if os.fstat(stream.fileno()).st_size > _HEAD_BYTES + _END_BYTES:
                stream.seek(-_END_BYTES, os.SEEK_END)
                data += f"\n{LEFT_OUT}\n".encode()
            data += stream.read(_END_BYTES)
    except (OSError, UntrustedError):
        return ""
    return data.decode(errors="replace")


def read_tail(path: Path, lines: int = TAIL_LINES) -> list[str]:
    """Return the last lines of a file that are not blank, none if it cannot be read."""
    try:
        with open_untrusted(path) as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except (OSError, UntrustedError):
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def shortened(line: str) -> str:
    """Return a line without its middle if it is too long for a message."""
    if len(line) <= _LONGEST_LINE:
        return line
    half = _LONGEST_LINE // 2
    return f"{line[:half]} [...] {line[-half:]}"


def _title(name: str) -> str:
    return shortened(printable(name))


def _indented(lines: list[str]) -> list[str]:
    return [f"    {shortened(line)}" for line in lines]
