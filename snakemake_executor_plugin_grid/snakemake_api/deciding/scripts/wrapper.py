"""The ``wrapper:`` directive: a script that lies elsewhere."""

from __future__ import annotations

from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.sourcecache import SourceCache, SourceFile
from snakemake.wrapper import get_script
from snakemake.wrapper import wrapper as snakemake_wrapper

from ..paths import Paths
from . import script
from .call import Call
from .rendered import Rendered


def render(args: tuple[Any, ...], job: Any, paths: Paths) -> Rendered:
    """Return the command for a call of ``snakemake.wrapper.wrapper``.

    Raises:
        Unsupported: As for `script.run`.
        snakemake.exceptions.WorkflowError: There is no such wrapper.
    """
    call = Call(snakemake_wrapper, args)
    cache = SourceCache(call.sourcecache_path, runtime_cache_path=call.runtime_sourcecache_path)
    found = get_script(call.path, cache, prefix=call.prefix)
    if not isinstance(found, SourceFile):
        # Snakemake 9.17 does not say what it has tried.
        tried = "; ".join(f"{name}: {error}" for name, error in (found or {}).items())
        raise WorkflowError(f"wrapper {call.path} of rule {job.rule.name} is not found: {tried}")
    return script.run(found, "", call, job, paths)
