"""Scripts in R, R Markdown, Julia and bash: Snakemake's own classes write the text.

They are given values with marks, and a place of the script on the worker. Their text is the same as
Snakemake's but for those.
"""

from __future__ import annotations

import inspect
import io
from typing import Any

from snakemake import script as snakemake_script
from snakemake.utils import format as snakemake_format

from ....worker.decided.decision import SCRIPT
from ....worker.description import WORKDIR
from ..decided import Unsupported
from ..paths import Paths
from .source import Source
from .values import on_worker, text_on_worker

CLASSES = {
    "r": "RScript",
    "rmarkdown": "RMarkdown",
    "julia": "JuliaScript",
    "bash": "BashScript",
}
"""Class of a language in ``snakemake.script``."""

_SAME = ("threads", "rulename", "jobid", "bench_iteration")
_VALUES = ("input", "output", "params", "wildcards", "resources", "log", "config")
_NAME = "grid_script"
"""A name that needs no quotes, in the place of `SCRIPT` while a command is made."""


def make(cls: Any, call: Any, source: Source, paths: Paths) -> Any:
    """Return an object of a class of Snakemake for scripts, which has the values with marks.

    Args:
        cls: A subclass of ``snakemake.script.ScriptBase``.
        call: The arguments of Snakemake's function.
        source: The script.
        paths: Translates paths.
    """
    given = {name: on_worker(getattr(call, name), paths) for name in _VALUES}
    given.update({name: getattr(call, name) for name in _SAME})
    given.update(path=source.place, source=source.text, input_=given["input"])
    # What is not given, such as a container, is handled by the worker.
    return cls(**{name: given.get(name) for name in inspect.signature(cls).parameters})


def script(call: Any, source: Source, paths: Paths) -> tuple[str, str]:
    """Return the text of a script and the shell text that runs it.

    Raises:
        Unsupported: A value has no counterpart in the language.
        snakemake.exceptions.WorkflowError: The rule does not fit, such as an R Markdown script with
            several outputs.
    """
    cls = getattr(snakemake_script, CLASSES[str(source.language)])
    made = make(cls, call, source, paths)
    try:
        preamble = made.get_preamble()
        preamble.encode()
    except UnicodeEncodeError as error:
        raise Unsupported("its script gets a file name that is not UTF-8") from error
    except (TypeError, ValueError) as error:
        raise Unsupported(f"its values cannot be written in {source.language}: {error}") from error
    written = io.BytesIO()
    made.write_script(preamble, written)
    return written.getvalue().decode(), _command(made, call, paths)


def _command(made: Any, call: Any, paths: Paths) -> str:
    commands: list[str] = []

    def record(command: str, **values: Any) -> None:
        commands.append(snakemake_format(command, **values))

    made._execute_cmd = record
    made.output = call.output  # the command has the absolute path, if any
    made.execute_script(_NAME)
    if len(commands) != 1:
        raise Unsupported(f"{type(made).__name__} of this Snakemake runs {len(commands)} commands")
    marked = text_on_worker(commands[0], paths).replace(f"{WORKDIR}/{WORKDIR}", WORKDIR)
    return marked.replace(_NAME, SCRIPT)
