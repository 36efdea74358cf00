"""The folders of a job on the worker node; relative paths work in them as on the submit host."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path


class Tree:
    """The sandbox of a job.

    Attributes:
        base: The outermost folder of the job.
        cwd: Where the payload runs, ``base`` or nested below it.
        roots: Folder by the first component of a tarball name: ``work``, ``up1``, …
        placeholders: Size in bytes and time in ns of placeholders, by name.
    """

    def __init__(self, base: Path, nesting: Sequence[str]) -> None:
        """Make the folders."""
        self.base = base
        self.cwd = base.joinpath(*nesting)
        self.cwd.mkdir(parents=True)
        self.placeholders: dict[str, tuple[int, int]] = {}
        self.roots = {"work": self.cwd}
        folder = self.cwd
        for level in range(1, len(nesting) + 1):
            folder = folder.parent
            self.roots[f"up{level}"] = folder
        # Innermost first: a path belongs to the innermost root that contains it.
        self._inner = sorted(
            ((str(path), root) for root, path in self.roots.items()), key=lambda pair: -len(pair[0])
        )

    def path(self, name: str) -> Path:
        """Return the path of a tarball name.

        Raises:
            ValueError: The tree has no such root.
        """
        root, _, rest = name.partition("/")
        if root not in self.roots:
            raise ValueError(f"{name}: the job's tree has no folder {root}")
        return self.roots[root] / rest if rest else self.roots[root]

    def make_folders(self, names: Iterable[str]) -> None:
        """Make the folders that paths lead through by ``..``."""
        for name in names:
            self.path(name).mkdir(parents=True, exist_ok=True)

    def name(self, path: str) -> str | None:
        """Return the tarball name of an absolute path, None if it is not in the tree."""
        for base, root in self._inner:
            if path == base:
                return root
            if path.startswith(base + "/"):
                return f"{root}/{path[len(base) + 1 :]}"
        return None

    def files(self) -> Iterator[str]:
        """Yield the names of all files and links outside of Snakemake's own folders."""
        for folder, folders, files in os.walk(self.base):
            if ".snakemake" in folders:
                folders.remove(".snakemake")
            if "__pycache__" in folders:
                folders.remove("__pycache__")
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118
            for name in (*files, *links):
                member = self.name(f"{folder}/{name}")
                if member is not None:
                    yield member


def ancestry(name: str) -> list[str]:
    """Return a tarball name and the folders above it, innermost first."""
    found = []
    while name:
        found.append(name)
        name = name.rpartition("/")[0]
    return found


def below(name: str, folders: Collection[str]) -> bool:
    """Return whether a tarball name is one of the folders, or below one."""
    return any(folder in folders for folder in ancestry(name))
