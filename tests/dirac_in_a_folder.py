"""A DIRAC whose file catalog is a folder: it takes the place of the Python that has DIRAC.

The client process of the package is started with it, and asks it what it would ask DIRAC. So does
the worker, for files that it moves itself.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_AWAY = "Can't connect to dips://127.0.0.1:9197/DataManagement/FileCatalog: Connection refused"


class DiracFolder:
    """What the test does with such a DIRAC.

    Attributes:
        python: Is given as ``--storage-grid-dirac-python``.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.python = folder / "python"
        self.python.write_text(
            f"#!/bin/sh\nPYTHONPATH='{Path(__file__).parents[1]}' exec '{sys.executable}' "
            f"-m tests.dirac_in_a_folder '{folder}' \"$@\"\n"
        )
        self.python.chmod(0o755)

    def path(self, name: str) -> Path:
        """Return where a file is, by its name such as ``lfn:/vo/a``."""
        return self.data / name.removeprefix("lfn:/")

    def add(self, name: str, text: str, time: float = 1_764_504_000) -> None:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (time, time))

    def names(self) -> list[str]:
        files = (path for path in self.data.rglob("*") if path.is_file())
        return sorted(f"lfn:/{path.relative_to(self.data)}" for path in files)

    def away(self, away: bool = True) -> None:
        """Let the server not answer."""
        (self.folder / "away").touch() if away else (self.folder / "away").unlink()

    def next_upload(self, what: str) -> None:
        """Let the next upload of a worker ``die`` when the old file is removed, or ``lie``."""
        (self.folder / what).touch()

    def fail(self, call: str, message: str, times: int = 1) -> None:
        """Let the next calls of a name fail."""
        for number in range(times):
            (self.folder / f"{call}.{number}.error").write_text(message)

    def calls(self) -> Counter[str]:
        """Return how often each call was made since the last time, without the first of each."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        counts = Counter(json.loads(line)[0] for line in lines)
        del counts["start"]
        return counts


class _Program:
    """The program in the place of DIRAC."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"

    def answer(self, name: str, args: Sequence[Any]) -> Any:
        with (self.folder / "calls").open("a") as log:
            log.write(json.dumps([name, len(args[0]) if args else 0]) + "\n")
        if name != "start" and (self.folder / "away").exists():
            raise RuntimeError(_AWAY)
        for error in sorted(self.folder.glob(f"{name}.*.error")):
            message = error.read_text()
            error.unlink()
            raise RuntimeError(message)
        return getattr(self, name)(*args)

    def start(self) -> dict[str, Any]:
        return {"version": "folder"}

    def look_up_files(self, lfns: Sequence[str]) -> dict[str, Any]:
        return {lfn: self._facts(lfn) for lfn in lfns}

    def find_replicas(self, lfns: Sequence[str]) -> dict[str, dict[str, str]]:
        return {lfn: {"SE-1": ""} if self._path(lfn).is_file() else {} for lfn in lfns}

    def list_folder(self, folder: str) -> list[str]:
        files = (path for path in self._path(folder).rglob("*") if path.is_file())
        return sorted(f"/{path.relative_to(self.data)}" for path in files)

    def find_files(self, metadata: dict[str, str], folder: str) -> list[str]:
        return [
            lfn
            for lfn in self.list_folder(folder)
            if metadata["word"] in self._path(lfn).read_text()
        ]

    def get(self, lfn: str, folder: str) -> str:
        return str(shutil.copyfile(self._path(lfn), Path(folder) / lfn.rpartition("/")[2]))

    def store_file(self, lfn: str, path: str, element: str) -> Any:
        self._path(lfn).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self._path(lfn))
        return self._facts(lfn)

    def remove_files(self, lfns: Sequence[str], elements: Sequence[str]) -> dict[str, str]:
        for lfn in lfns:
            self._path(lfn).unlink(missing_ok=True)
        return {}

    def _path(self, lfn: str) -> Path:
        return self.data / lfn.lstrip("/")

    def _facts(self, lfn: str) -> Any:
        path = self._path(lfn)
        if not path.is_file():
            return None
        adler32 = f"{zlib.adler32(path.read_bytes()):08x}"
        return path.stat().st_size, int(path.stat().st_mtime), adler32

    def _is_told(self, what: str) -> bool:
        """Return whether a test wants something of the next upload."""
        order = self.folder / what
        if order.exists():
            order.unlink()
            return True
        return False

    def move(self, request: Path, answers: Path) -> None:
        """Do what a worker asks for: see ``worker/grid_files/dirac_program``."""
        asked = json.loads(request.read_text())
        told = {}
        for one in asked["get"]:
            self.get(one["lfn"], one["folder"])
            told[one["lfn"]] = ""
        for one in asked["put"]:
            if self._is_told("die"):
                self._path(one["lfn"]).unlink(missing_ok=True)  # as if it were to be replaced
                os._exit(9)
            if self._is_told("lie"):
                told[one["lfn"]] = ""
                continue
            found = self.store_file(one["lfn"], one["path"], one["element"])
            told[one["lfn"]] = "" if [found[0], found[2]] == [one["size"], one["adler32"]] else "?"
        answers.write_text(json.dumps(told))


if __name__ == "__main__":
    if "-c" in sys.argv:
        _Program(Path(sys.argv[1])).move(*map(Path, sys.argv[-2:]))
        sys.exit()
    serve = importlib.import_module("snakemake_executor_plugin_grid.client_process.serve").serve
    serve(
        _Program(Path(sys.argv[1])).answer,
        lambda error: {"message": str(error), "errno": 0, "exception": ""},
    )
