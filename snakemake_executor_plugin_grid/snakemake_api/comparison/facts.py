"""What a job of Snakemake does, as plain data: facts by name."""

from __future__ import annotations

import dis
import hashlib
import json
import re
import types
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from .plain import UNDECIDED, Cleaner, Place, cache_places, multiset, plain

Facts = dict[str, "str | None"]
"""Texts by name; None for what cannot be compared."""

_LONGEST = 400  # characters of a fact
_SHOWN = 200
# Decided on the worker, or made of mem_mb and disk_mb (ResourceList, Snakemake 9.27).
_OTHER_RESOURCES = frozenset({"_cores", "_nodes", "tmpdir", "mem_mib", "disk_mib"})
# Keeps two jobs from changing a file at the same time; only the main process sets it (9.27).
_UPDATE = "update_file_"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+>")
_READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_SETTLED = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
_of_globals: dict[tuple[int, int], tuple[Any, str | None]] = {}


def facts(job: Any, clean: Callable[[str], str]) -> Facts:
    """Return the facts of a single job.

    Args:
        job: ``snakemake.jobs.Job``.
        clean: Puts marks in the place of paths of this host, see `Cleaner`.

    Returns:
        ``input``, ``output``, ``log``, ``benchmark``, ``wildcards``, ``command``,
        ``params.NAME`` or ``params.INDEX``, ``resources.NAME``, ``global NAME``. If the params or
        resources cannot be evaluated, ``params`` or ``resources`` is None.
    """
    found: Facts = {
        "input": _try(lambda: multiset(map(_path, job.input), clean)),
        "output": _try(lambda: plain([*map(_path, job.output)], clean)),
        "log": _try(lambda: plain([*map(_path, job.log)], clean)),
        "benchmark": _try(lambda: plain(job.benchmark and _path(job.benchmark), clean)),
        "wildcards": _try(lambda: plain(dict(job.wildcards_dict), clean)),
        "command": _try(lambda: plain(_without_addresses(job.shellcmd), clean)),
    }
    for kind, made in (("params", _params), ("resources", _resources)):
        try:
            pairs = made(job)
        except Exception:  # of a function of the workflow, which the job meets itself
            found[kind] = None
            continue
        for name, value in pairs:
            found[f"{kind}.{name}"] = plain(value, clean)
    for name, value in _globals(job.rule):
        found[f"global {name}"] = _of_global(value, clean)
    return {name: _short(text) for name, text in found.items()}


def key(rule: str, wildcards: Mapping[str, Any], clean: Callable[[str], str]) -> str:
    """Return the text by which both sides call a job."""
    values = {name: clean(str(value)) for name, value in wildcards.items()}
    return f"{rule} {json.dumps(values, sort_keys=True)}"


def cleaner(job: Any, places: list[Place], secrets: Mapping[str, str]) -> Cleaner:
    """Return what puts marks in the place of paths of this host.

    Args:
        job: Any job of the workflow.
        places: Paths and marks of the working directory, and of the other host.
        secrets: Values of variables, by name.
    """
    workflow = job.rule.workflow
    cache, storage = workflow.sourcecache, workflow.storage_settings
    folders = [str(getattr(cache, name)) for name in ("runtime_cache_path", "cache_path")]
    tmpdir = job.resources.get("tmpdir")
    own = [(tmpdir, UNDECIDED)] if isinstance(tmpdir, str) and tmpdir.startswith("/") else []
    if storage is not None:
        own.append((str(storage.local_storage_prefix), "<grid_storage>"))
    marks = {value: f"<value of {name}>" for name, value in secrets.items()}
    return Cleaner([*own, *cache_places(folders), *places], marks)


def _path(path: Any) -> str:
    """Return the path of a file; a file of a storage is named by its query."""
    return str(path.storage_object.query) if path.is_storage else str(path)


def _without_addresses(command: str | None) -> str | None:
    """Leave out where objects are in memory, which a command shows by mistake: ``<f at 0x…>``."""
    return command and _ADDRESS.sub(" at 0x…>", command)


def _try(made: Callable[[], str | None]) -> str | None:
    """Return a fact; None if functions of the workflow raise an error: the job meets it, too."""
    try:
        return made()
    except Exception:
        return None


def _params(job: Any) -> list[tuple[str, Any]]:
    """Return names and values; those without a name have their index."""
    pairs = enumerate(job.params._allitems())
    return [(str(index if name is None else name), value) for index, (name, value) in pairs]


def _resources(job: Any) -> list[tuple[str, Any]]:
    return [
        (name, value)
        for name, value in job.resources.items()
        if name not in _OTHER_RESOURCES and not name.startswith(_UPDATE)
    ]


def _globals(rule: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values of the globals that the code of a rule reads.

    A command contains what it uses. But Snakemake shows it with the configuration of the main
    workflow, also if a module has its own.
    """
    run = rule.run_func
    if run is None:
        return
    given = run.__globals__
    if rule.shellcmd is not None:
        if "config" in rule.shellcmd and given is not rule.workflow.globals:
            yield "config", given.get("config")
        return
    names: set[str] = set()
    todo = [run.__code__]
    while todo:
        for name in names_read(todo.pop()) - names:
            names.add(name)
            value = given.get(name)
            if isinstance(value, types.FunctionType) and value.__globals__ is given:
                todo.append(value.__code__)  # it may read further ones
    if rule.script or rule.notebook or rule.wrapper:
        names.add("config")
    for name in sorted(names & given.keys()):
        value = given[name]
        if not (name.startswith("__") or isinstance(value, _SETTLED)):
            yield name, value


@lru_cache(maxsize=1000)
def names_read(code: types.CodeType) -> frozenset[str]:
    """Return the globals that code reads, with the code inside of it."""
    found = {one.argval for one in dis.get_instructions(code) if one.opname in _READS}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= names_read(constant)
    return frozenset(found)


def _of_global(value: Any, clean: Callable[[str], str]) -> str | None:
    """Return the fact of a global, which many jobs may have: a long one is made once."""
    if not hasattr(value, "__len__") or len(value) < _LONGEST:
        return plain(value, clean)
    known = _of_globals.get((id(value), len(value)))
    if known is None or known[0] is not value:
        known = _of_globals[id(value), len(value)] = value, plain(value, clean)
    return known[1]


def _short(text: str | None) -> str | None:
    """Return the start of a long text, and the SHA-256 of the whole."""
    if text is None or len(text) <= _LONGEST:
        return text
    if UNDECIDED in text:
        return None
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:_SHOWN]}… ({len(text)} characters, SHA-256 {digest})"
