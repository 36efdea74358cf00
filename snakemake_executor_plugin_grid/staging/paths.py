"""Maps a path of the workflow to a name inside the tarballs, and back.

A file below the working directory is called ``work/<path>``. A file above it, such as
``../shared/genome.fa``, is called ``up1/shared/genome.fa``; the number is that of the levels up.
The worker creates its working directory as many levels deep as the job needs, and names these
levels as on the submit host, so that every relative path has the same meaning there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..model.errors import GridError
from ..model.untrusted import path_below

WORK = "work"


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
        self._bases = tuple(dict.fromkeys((str(self.workdir), os.path.realpath(workdir))))

    def member(self, path: str) -> str:
        """Return the tarball name of a path.

        Args:
            path: Relative to the working directory, or absolute and below it.

        Raises:
            OutsideError: The path is absolute and elsewhere, or leads above the root.
        """
        if path.startswith("/"):
            path = self._relative(path)
        parts = os.path.normpath(path).split("/")
        climbs = 0
        while climbs < len(parts) and parts[climbs] == "..":
            climbs += 1
        if climbs == 0:
            return WORK if parts == ["."] else f"{WORK}/{'/'.join(parts)}"
        if climbs >= len(self.workdir.parts):
            raise OutsideError(f"{path}: leads above the root of the file system")
        return "/".join([f"up{climbs}", *parts[climbs:]])

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
        path = os.path.normpath(path)
        for base in self._bases:
            if path == base:
                return "."
            if path.startswith(base + "/"):
                return path[len(base) + 1 :]
        raise OutsideError(f"{path}: not below the working directory {self.workdir}")


def climb(top: str) -> int:
    """Return how many levels above the working directory a top-level name stands for."""
    return 0 if top == WORK else int(top.removeprefix("up"))


def depth(members: Iterable[str]) -> int:
    """Return how many levels up the tarball names reach."""
    return max((climb(member.partition("/")[0]) for member in members), default=0)
