"""How a path of the workflow maps to a name inside the tarballs, and back.

Below the working directory a file is called ``work/<path>``. A path that climbs out of it, such
as ``../shared/genome.fa``, is called ``up1/shared/genome.fa``, after the number of levels. The
worker nests its own working directory deep enough for the deepest climb of the job, and names the
levels as they are named on the submit host, so that every relative path means the same there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..model.errors import GridError

WORK = "work"


class OutsideError(GridError):
    """The path is absolute and not below the working directory."""


class Layout:
    """The working directory of the workflow on the submit host.

    Attributes:
        workdir: Absolute path as the process sees it.
    """

    def __init__(self, workdir: Path) -> None:
        """Remember the directory under its given and its link-free name."""
        self.workdir = Path(os.path.abspath(workdir))  # noqa: PTH100 - keeps links
        self._bases = tuple(dict.fromkeys((str(self.workdir), os.path.realpath(workdir))))

    def member(self, path: str) -> str:
        """Return the tarball name of a path.

        Args:
            path: Relative to the working directory, or absolute and below it.

        Raises:
            OutsideError: The path is absolute and elsewhere, or climbs above the root.
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
            raise OutsideError(f"{path}: climbs above the root of the file system")
        return "/".join([f"up{climbs}", *parts[climbs:]])

    def local(self, member: str) -> Path:
        """Return the absolute path on the submit host of a tarball name."""
        top, _, rest = member.partition("/")
        base = self.workdir
        for _ in range(climb(top)):
            base = base.parent
        return base / rest if rest else base

    def deepest(self, paths: Iterable[str]) -> int:
        """Return the deepest climb among paths; those of site data do not count."""
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
    """Return how many levels above the working directory a tarball's root stands for."""
    return 0 if top == WORK else int(top.removeprefix("up"))


def depth(members: Iterable[str]) -> int:
    """Return the deepest climb among tarball names."""
    return max((climb(member.partition("/")[0]) for member in members), default=0)
