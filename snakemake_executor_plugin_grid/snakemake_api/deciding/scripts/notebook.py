"""The ``notebook:`` directive: the notebook is completed here, and executed on the worker."""

from __future__ import annotations

import io
import json
import os
import shlex
from typing import Any

from snakemake import notebook as snakemake_notebook
from snakemake.utils import format as snakemake_format

from ....worker.decided.decision import SCRIPT, Command, Script
from ....worker.description import WORKDIR
from ..decided import Unsupported
from ..paths import Paths
from . import others, python
from .call import Call
from .rendered import Rendered
from .script import checked, file_name
from .source import Source, find
from .values import text_on_worker

_CELL = "snakemake-job"
"""Id of the first cell, which nbformat makes at random."""


def render(args: tuple[Any, ...], job: Any, paths: Paths) -> Rendered:
    """Return the command for a call of ``snakemake.notebook.notebook``.

    Raises:
        Unsupported: It is to be edited, its language needs Snakemake, or nbformat is not installed.
    """
    call = Call(snakemake_notebook.notebook, args)
    if call.edit is not None:
        raise Unsupported("its notebook is to be edited")
    path = str(call.path) if isinstance(call.path, os.PathLike) else call.path
    path = snakemake_format(path, wildcards=call.wildcards, params=call.params)
    try:
        source = find(path, call.basedir, call, paths)
    except ImportError as error:
        raise Unsupported(f"its notebook cannot be read here: {error}") from error
    name = source.place.get_filename()
    if source.language == "jupyter_python":
        addendum = f"os.chdir({WORKDIR!r})"
        cell, files, packages = python.preamble(call, source, job, paths, addendum)
        cls = snakemake_notebook.PythonJupyterNotebook
    elif source.language == "jupyter_r":
        cls = snakemake_notebook.RJupyterNotebook
        made = others.make(cls, call, source, paths)
        cell, files, packages = text_on_worker(made.get_preamble(), paths), {}, ()
    else:
        raise Unsupported(f"its notebook is neither in Python nor in R: {name}")
    text = _with_cell(others.make(cls, call, source, paths), cell, source)
    script = Script(file_name(name), checked(text), source.language == "jupyter_python")
    return Rendered(Command(_command(call, paths), script), {**source.files, **files}, packages)


def _with_cell(made: Any, cell: str, source: Source) -> str:
    """Return the notebook with the preamble; the same in each process."""
    written = io.BytesIO()
    made.write_script(cell, written)
    notebook = json.loads(written.getvalue())
    given = {
        one["id"]
        for one in json.loads(source.text).get("cells", ())
        if isinstance(one, dict) and "id" in one
    }
    for number, one in enumerate(notebook["cells"]):
        if "id" in one and one["id"] not in given:
            one["id"] = f"{_CELL}-{number}"
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def _command(call: Any, paths: Paths) -> str:
    """Return what ``JupyterNotebook.execute_script`` runs: papermill, else nbconvert."""
    log = call.log.get("notebook", None)
    executed = SCRIPT if log is None else shlex.quote(text_on_worker(str(log), paths))
    if log is None:
        converted = '"$IPYTHONDIR/notebook.ipynb"'
    else:
        absolute = os.path.abspath(log)  # noqa: PTH100 - as Snakemake does
        converted = shlex.quote(text_on_worker(absolute, paths))
    return (
        'IPYTHONDIR="$(mktemp -d)"; export IPYTHONDIR; trap \'rm -rf "$IPYTHONDIR"\' EXIT; '
        "if papermill --version > /dev/null 2>&1; "
        f"then papermill --log-level ERROR {SCRIPT} {executed}; "
        f"else jupyter-nbconvert --log-level ERROR --execute --output {converted} "
        f"--to notebook --ExecutePreprocessor.timeout=-1 {SCRIPT}; fi"
    )
