"""Commands of scripts, notebooks, wrappers and template engines.

`render` makes of a call of Snakemake what `snakemake.script`, `snakemake.notebook`,
`snakemake.wrapper` or `snakemake.template_rendering` would have run (Snakemake 9.27).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..decided import Unsupported
from ..paths import Paths
from . import notebook, script, template, wrapper
from .rendered import Rendered

__all__ = ["Rendered", "render"]

_RENDER: dict[str, Callable[[tuple[Any, ...], Any, Paths], Rendered]] = {
    "script": script.render,
    "wrapper": wrapper.render,
    "notebook": notebook.render,
    "render_template": template.render,
}


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
            wrapper that does not exist.
        OSError: The same, such as for a script that does not exist.
    """
    if kind not in _RENDER:
        raise Unsupported(f"it has {kind}:")
    return _RENDER[kind](args, job, paths)
