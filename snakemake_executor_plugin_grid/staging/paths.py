"""Maps a path of the workflow to a name inside the tarballs, and back.

A file below the working directory is called ``work/<path>``. A file above it, such as
``../shared/genome.fa``, is called ``up1/shared/genome.fa``; the number is that of the levels up.
The worker creates its working directory as many levels deep as the job needs, and names these
levels as on the submit host, so that every relative path has the same meaning there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from ..model.errors import GridError
from ..model.untrusted import path_below
from ..worker.description import WORKDIR

WORK = "work"
_UP = ".."


class OutsideError(GridError):
    """The path is absolute and not below the working directory."""


class Layout:
    """The working directory of the workflow on the submit host.

    Attributes:
        workdir: Absolute path as the process sees it.
    """

    def __init__(self, workdir: Path) -> None:
        """Store the directory under its given name and under its name without links."""
        self.workdir = Path(os.path.abspath(workdir))  # noqa: PTH100 - keeps links
        self._real = os.path.realpath(workdir)
        self._bases = tuple(dict.fromkeys((str(self.workdir), self._real)))

    def member(self, path: str) -> str:
        """Return the tarball name of a path.

        Args:
            path: Relative to the working directory, or absolute and below it, also under another
                name that a link gives to it.

        Raises:
            OutsideError: The path is absolute and elsewhere, or leads above the root.
        """
        if path.startswith("/"):
            path = self._relative(path)
        parts = [part for part in os.path.normpath(path).split("/") if part != "."]
        climbs = 0
        while climbs < len(parts) and parts[climbs] == _UP:
            climbs += 1
        parts = parts[climbs:]
        if climbs >= len(self.workdir.parts):
            raise OutsideError(f"{path}: leads above the root of the file system")
        while climbs and parts and parts[0] == self.workdir.parts[-climbs]:
            climbs, parts = climbs - 1, parts[1:]  # the path comes back: ../analysis/a.txt
        return "/".join([f"up{climbs}" if climbs else WORK, *parts])

    def on_worker(self, path: str) -> str:
        """Return what stands for an absolute path below the working directory in a command.

        Other texts are returned as they are.
        """
        if not path.startswith("/") or "\0" in path:
            return path
        try:
            rest = self.member(path).removeprefix(WORK)
        except OutsideError:
            return path
        return WORKDIR + rest + "/" * path.endswith("/")

    def passed(self, path: str) -> Iterator[str]:
        """Yield the names of the folders that must exist for each ``..`` in a path.

        A file system follows ``a/../b`` only if the folder ``a`` exists.
        """
        parts = path.split("/")
        for number, part in enumerate(parts):
            if part == _UP:
                for end in (number, number + 1):
                    folder = "/".join(parts[:end])
                    try:
                        yield self.member(folder or ("/" if path.startswith("/") else "."))
                    except OutsideError:
                        continue

    def follows_link(self, path: str) -> bool:
        """Return whether a ``..`` in a path leads out of the target of a link.

        On a worker, where links of inputs are folders, it would lead elsewhere.
        """
        if _UP not in path.split("/"):
            return False
        full = os.path.join(self.workdir, path)  # noqa: PTH118 - keeps ".."
        plain = os.path.normpath(full)
        return os.path.realpath(os.path.dirname(full)) != os.path.realpath(os.path.dirname(plain))  # noqa: PTH120

    def local(self, member: str) -> Path:
        """Return the absolute path on the submit host of a tarball name.

        Raises:
            UntrustedError: The name leads elsewhere.
            OutsideError: It leads above the root of the file system.
        """
        top, _, rest = member.partition("/")
        base = self.workdir
        climbs = climb(top)
        if climbs >= len(self.workdir.parts):
            raise OutsideError(f"{member:.100}: leads above the root of the file system")
        for _ in range(climbs):
            base = base.parent
        return path_below(base, rest) if rest else base

    def deepest(self, paths: Iterable[str]) -> int:
        """Return how many levels up the paths reach; paths of site data do not count."""
        deepest = 0
        for path in paths:
            try:
                deepest = max(deepest, climb(self.member(path).partition("/")[0]))
            except OutsideError:
                continue
        return deepest

    def nesting(self, depth: int) -> tuple[str, ...]:
        """Return the names of the last ``depth`` levels that lead to the working directory."""
        return self.workdir.parts[-depth:] if depth else ()

    def _relative(self, path: str) -> str:
        path = "/" + os.path.normpath(path).lstrip("/")
        for base in self._bases:
            if is_below(path, base):
                return os.path.relpath(path, base)
        # Another name of the same folder, such as an alias of /home or /eos.
        folder, leaf = os.path.split(path)
        real = os.path.join(_without_links(folder), leaf)  # noqa: PTH118
        if not is_below(real, self._real) and os.path.isdir(path):  # noqa: PTH112
            real = os.path.realpath(path)
        if is_below(real, self._real):
            return os.path.relpath(real, self._real)
        raise OutsideError(f"{path}: not below the working directory {self.workdir}")


@lru_cache(maxsize=10_000)
def _without_links(path: str) -> str:
    """Do the same as ``os.path.realpath``; most files of a workflow share a few folders."""
    return os.path.realpath(path)


def is_below(path: str, base: str) -> bool:
    """Return whether a normalised path is another one, or below it."""
    return path == base or path.startswith(base.rstrip("/") + "/")


def climb(top: str) -> int:
    """Return how many levels above the working directory a top-level name stands for."""
    return 0 if top == WORK else int(top.removeprefix("up"))


def depth(members: Iterable[str]) -> int:
    """Return how many levels up the tarball names reach."""
    return max((climb(member.partition("/")[0]) for member in members), default=0)
