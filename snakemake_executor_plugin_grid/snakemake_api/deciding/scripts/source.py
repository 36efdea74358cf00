"""The source of a script, and the place of the script on the worker."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from snakemake.script import get_source
from snakemake.sourcecache import LocalSourceFile, SourceCache, SourceFile

from ....worker.description import WORKDIR
from ..decided import Unsupported
from ..marking import check
from ..paths import SOURCES, Paths
from .beside import modules_below, small_files


class Place:
    """Stands for the ``SourceFile`` of a script: the folder is that on the worker."""

    def __init__(self, path: str, name: str) -> None:
        """Keep the path with marks, or URI, and the file name."""
        self._path = path
        self._name = name

    def get_basedir(self) -> Place:
        """Return the folder."""
        return Place(os.path.dirname(self._path), self._name)  # noqa: PTH120 - may be a URI

    def get_path_or_uri(self, secret_free: bool = True) -> str:
        """Return the path or URI."""
        return self._path

    def get_filename(self) -> str:
        """Return the file name."""
        return self._name


@dataclass(frozen=True)
class Source:
    """The source of a script.

    Attributes:
        text: As Snakemake reads it.
        language: As ``snakemake.script.get_language`` names it; None for an unknown suffix.
        place: Where the script lies on the worker; the URI of a remote script.
        file: Value of ``__file__``: the place without links.
        folders: Folders on the worker in which its modules are, with marks.
        files: It and what its folder holds, as `Rendered.files`.
        path: Its absolute path on this host, empty for a remote script.
    """

    text: str
    language: str | None
    place: Place
    file: str
    folders: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    path: str = ""


def find(path: Any, basedir: Any, call: Any, paths: Paths) -> Source:
    """Find the source of a script, with wildcards filled in.

    Args:
        path: As the rule names it: a text, path or ``SourceFile``.
        basedir: Folder of the Snakefile.
        call: The arguments of Snakemake's function.
        paths: Translates paths.

    Raises:
        Unsupported: The place of the script depends on links that the worker does not have; or
            the script or the configuration contains what reads as a mark.
    """
    check(repr(call.config))
    if isinstance(path, os.PathLike) and not isinstance(path, SourceFile):
        path = os.fspath(path)
    caches = (call.sourcecache_path, call.runtime_sourcecache_path)
    if "{" in str(path):
        read = get_source(path, SourceCache(*caches), basedir, call.wildcards, call.params)
    else:
        read = _get_source(path, basedir, *caches)
    found, text, language, _, cached = read
    check(text)
    name = found.get_filename()
    if not isinstance(found, LocalSourceFile):
        uri = found.get_path_or_uri(secret_free=True)
        folders, files = _cached_modules(cached)
        return Source(text, language, Place(uri, name), uri, folders, files)
    here = found.get_path_or_uri(secret_free=True)
    if os.path.realpath(os.path.dirname(here)) != os.path.realpath(  # noqa: PTH120
        os.path.dirname(os.path.abspath(here))  # noqa: PTH100, PTH120
    ):
        raise Unsupported(f"the path of its script leads out of a link to a folder: {here}")
    place = on_worker(here, paths)
    real = os.path.realpath(here)
    file = on_worker(real, paths)
    files = _files(here, place)
    if file != place:
        files.update(_files(real, file))
    folder = os.path.dirname(place)  # noqa: PTH120
    return Source(text, language, Place(place, name), file, (folder,), files, os.path.abspath(here))  # noqa: PTH100


@lru_cache(maxsize=1_000)
def _get_source(path: Any, basedir: Any, *caches: Any) -> Any:
    """Read a script once: Snakemake keeps a copy of it for the whole run."""
    return get_source(path, SourceCache(*caches), basedir)


def on_worker(path: str, paths: Paths) -> str:
    """Return a path of this host as it is on the worker, with a mark.

    A path outside the working directory is as many levels up there as it is here.
    """
    absolute = os.path.abspath(path)  # noqa: PTH100 - keeps links
    marked = paths.on_worker(absolute)
    return marked if marked.startswith(WORKDIR) else f"{WORKDIR}/{os.path.relpath(absolute)}"


def _files(script: str, place: str) -> dict[str, str]:
    """Return a script and what its folder holds, as `Rendered.files`."""
    script = os.path.abspath(script)  # noqa: PTH100
    folder = os.path.dirname(script)  # noqa: PTH120
    there = os.path.dirname(place).removeprefix(WORKDIR).lstrip("/")  # noqa: PTH120
    names = {os.path.basename(script), *small_files(folder)}  # noqa: PTH119
    return {f"{there}/{name}" if there else name: f"{folder}/{name}" for name in sorted(names)}


def named(found: set[str], paths: Paths) -> dict[str, str]:
    """Return files of this host by their paths on the worker, relative to the working directory."""
    return {
        on_worker(path, paths).removeprefix(WORKDIR).lstrip("/"): path for path in sorted(found)
    }


def _cached_modules(cached: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the folder on the worker for modules that the cache has beside a remote script."""
    folder = os.path.dirname(cached)  # noqa: PTH120
    modules = modules_below(folder, deep=False) - {cached}
    if not modules:
        return (), {}
    names = sorted(os.path.basename(path) for path in modules)  # noqa: PTH119
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    place = f"{SOURCES}/{digest}"
    files = {f"{place}/{os.path.basename(path)}": path for path in sorted(modules)}  # noqa: PTH119
    return (f"{WORKDIR}/{place}",), files
