"""Values of variables that ``envvars:`` names: they may be secrets, so no decision holds them.

A rule that puts such a value into its command (``params: token=os.environ["TOKEN"]``) gets a mark
there. The values travel apart from the decision, and the worker puts them in the place of marks.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping

from ...worker.decided.decision import Step, variable_mark
from .decided import Unsupported

LEAST_SECRET = 6
"""Characters of a value from which it counts: a flag or a number may stand anywhere by chance."""

_MARK = re.compile(r"(<grid_[^<>]+>)")


class Variables:
    """The variables of a workflow."""

    def __init__(self, values: Mapping[str, str]) -> None:
        """Store the values by name."""
        # A value may be part of another one.
        kept = [(name, value) for name, value in values.items() if len(value) >= LEAST_SECRET]
        self._values = sorted(kept, key=lambda item: len(item[1]), reverse=True)

    def hide(self, text: str) -> str:
        """Return a shell text with marks in the place of values.

        Raises:
            Unsupported: It contains a value in another form, with its quotes changed.
        """
        for name, value in self._values:
            if value in text:
                pieces = _MARK.split(text)  # every second piece is a mark
                pieces[::2] = [piece.replace(value, variable_mark(name)) for piece in pieces[::2]]
                text = "".join(pieces)
            elif "'" in value and shlex.quote(value)[1:-1] in text:
                raise _shown(name, "its command")
        return text

    def refuse(self, step: Step) -> None:
        """Check the parts of a step in which no mark can stand.

        Raises:
            Unsupported: They contain a value.
        """
        scripts = [command.script.text for command in step.commands if command.script]
        columns = [repr(step.benchmark.columns)] if step.benchmark else []
        for name, value in self._values:
            forms = _forms(value)
            if any(form in text for text in scripts for form in forms):
                raise _shown(name, "its script, or what the script gets,")
            if any(form in text for text in columns for form in forms):
                raise _shown(name, "its benchmark")


def _forms(value: str) -> set[str]:
    """Return a value, and as it stands in the code of a script, a pickle in it, or a notebook."""
    data = value.encode("utf-8", "surrogatepass")
    quoted = {repr(value)[1:-1], repr(data)[2:-1], json.dumps(value)[1:-1]}
    quoted.add(shlex.quote(value).strip("'"))
    return {value, *quoted, *(json.dumps(one)[1:-1] for one in quoted)}


def _shown(name: str, where: str) -> Unsupported:
    return Unsupported(
        f"{where} holds the value of {name}, which envvars: names and which may be a secret; "
        f"a job that reads the variable {name} itself needs no Snakemake"
    )
