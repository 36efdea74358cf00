"""The ``template_engine:`` directive: the file is made here, as the template is an input."""

from __future__ import annotations

import shlex
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from snakemake.template_rendering import render_template

from ....worker.decided.decision import SCRIPT, Command, Script
from ..decided import Unsupported
from ..marking import check
from ..paths import Paths
from .call import Call
from .containers import OutputFiles
from .rendered import Rendered
from .script import file_name
from .values import text_on_worker


def render(args: tuple[Any, ...], job: Any, paths: Paths) -> Rendered:
    """Return the command that writes what a template gives.

    Raises:
        Unsupported: The engine or an input is not here, or the text cannot travel as text.
        snakemake.exceptions.WorkflowError: The template is wrong, or the rule has several outputs.
    """
    call = Call(render_template, args)
    if len(call.output) != 1:
        _write(call, call.output)  # Snakemake says what is wrong before it writes
    if call.engine in ("jinja2", "yte") and find_spec(call.engine) is None:
        raise Unsupported(f"{call.engine}, its template engine, is not installed here")
    for path in call.input:
        if not Path(path).exists() or str(path) in _made_inside(job):
            raise Unsupported(f"its template has an input that its group makes: {path}")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "output")
        _write(call, OutputFiles([str(made)]))
        content = made.read_bytes()
    try:
        text = check(content.decode())
    except UnicodeDecodeError as error:
        raise Unsupported("its template gives a file that is not UTF-8") from error
    output = text_on_worker(str(call.output[0]), paths)
    # Unlike cp, this gives the mode of a new file.
    return Rendered(
        Command(f"cat {SCRIPT} > {shlex.quote(output)}", Script(file_name(made.name), text))
    )


def _write(call: Any, output: Any) -> None:
    render_template(
        call.engine, call.input, output, call.params, call.wildcards, call.config, call.rule
    )


def _made_inside(job: Any) -> set[str]:
    group = job.dag.get_job_group(job)
    return {str(path) for member in group or () if member is not job for path in member.output}
