"""Commands of scripts, notebooks, wrappers and template engines.

`render` makes of a call of Snakemake what `snakemake.script`, `snakemake.notebook`,
`snakemake.wrapper` or `snakemake.template_rendering` would have run (Snakemake 9.27).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....worker.decided.decision import Command
from ..decided import Unsupported
from ..paths import Paths


@dataclass(frozen=True)
class Rendered:
    """A command that stands for a call of Snakemake.

    Attributes:
        command: What the worker runs.
        files: Files that it needs besides inputs: path on the worker, relative to the working
            directory; absolute path on the submit host.
        packages: Python packages that it needs on the worker node.
    """

    command: Command
    files: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()


def render(kind: str, args: tuple[Any, ...], job: Any, paths: Paths) -> Rendered:
    """Return the command for a call that a rule makes.

    Args:
        kind: Name of the function of Snakemake: ``script``, ``notebook``, ``wrapper``,
            ``render_template`` or ``cwl``.
        args: Its arguments.
        job: ``snakemake.jobs.Job``.
        paths: Translates paths, and collects the files of the source cache.

    Raises:
        Unsupported: Only Snakemake can do it.
        snakemake.exceptions.WorkflowError: The job fails with Snakemake as well, such as for a
            script that does not exist.
    """
    if kind not in _MODULES:
        raise Unsupported(f"it has {kind}:")
    return _MODULES[kind](args, job, paths)


def _script(args: tuple[Any, ...], job: Any, paths: Paths) -> Rendered:
    from . import script

    return script.render(args, job, paths)


def _wrapper(args: tuple[Any, ...], job: Any, paths: Paths) -> Rendered:
    from . import wrapper

    return wrapper.render(args, job, paths)


def _notebook(args: tuple[Any, ...], job: Any, paths: Paths) -> Rendered:
    from . import notebook

    return notebook.render(args, job, paths)


def _template(args: tuple[Any, ...], job: Any, paths: Paths) -> Rendered:
    from . import template

    return template.render(args, job, paths)


_MODULES: dict[str, Callable[[tuple[Any, ...], Any, Paths], Rendered]] = {
    "script": _script,
    "wrapper": _wrapper,
    "notebook": _notebook,
    "render_template": _template,
}
