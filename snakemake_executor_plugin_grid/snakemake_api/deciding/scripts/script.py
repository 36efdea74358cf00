"""The ``script:`` directive."""

from __future__ import annotations

import re
from typing import Any

from snakemake.script import script as snakemake_script

from ....worker.decided.decision import Command, Script
from ..decided import Unsupported
from ..paths import Paths
from . import others, python, source
from .call import Call
from .rendered import Rendered

_UNSAFE = re.compile(r"[^\w.+-]", re.ASCII)


def render(args: tuple[Any, ...], job: Any, paths: Paths) -> Rendered:
    """Return the command for a call of ``snakemake.script.script``.

    Raises:
        Unsupported: The language needs Snakemake, or a value cannot travel.
    """
    call = Call(snakemake_script, args)
    return run(call.path, call.basedir, call, job, paths)


def run(path: Any, basedir: Any, call: Any, job: Any, paths: Paths) -> Rendered:
    """Return the command for a script; a wrapper is one as well.

    Args:
        path: As the rule names it, or its ``SourceFile``.
        basedir: Folder of the Snakefile.
        call: The arguments of Snakemake's function.
        job: ``snakemake.jobs.Job``.
        paths: Translates paths.

    Raises:
        Unsupported: The language needs Snakemake, or a value cannot travel.
    """
    found = source.find(path, basedir, call, paths)
    name = found.place.get_filename()
    if found.language == "python":
        head, files, packages = python.preamble(call, found, job, paths, python.real_file(found))
        made = Script(file_name(name), checked(head + found.text), uses_snakemake=True)
        return Rendered(Command(python.COMMAND, made), {**found.files, **files}, packages)
    if found.language not in others.CLASSES:
        raise Unsupported(f"its script is neither Python, R, R Markdown, Julia nor bash: {name}")
    text, command = others.script(call, found, paths)
    return Rendered(Command(command, Script(file_name(name), checked(text))), found.files)


def file_name(name: str) -> str:
    """Return a file name that needs no quotes in any shell."""
    return _UNSAFE.sub("_", name)


def checked(text: str) -> str:
    """Return the text of a script.

    Raises:
        Unsupported: It holds a name that is not UTF-8, for which Snakemake fails as well.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unsupported("its script gets a file name that is not UTF-8") from error
    return text
