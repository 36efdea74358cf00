"""The fixture ``apptainer``, for a module or a ``conftest.py`` to import.

Environment variables:
    GRID_TEST_CONTAINERS_REQUIRED: If not empty, tests fail instead of being skipped where the
        kernel does not allow namespaces.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .engine import MARK, program
from .image import NAME, make_image

URL = "docker://registry.invalid/image:1"
"""Image that the stand-in can pull."""


@dataclass(frozen=True)
class Apptainer:
    """The stand-in for Apptainer, and an image.

    Attributes:
        folder: To be the first of PATH: contains ``apptainer`` and nothing else.
        image: The root folder of the image.
    """

    folder: Path
    image: Path

    @property
    def path(self) -> str:
        """PATH with the stand-in."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call so far."""
        log = self._beside("calls")
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(line)["argv"] for line in lines]

    def image_file(self, path: Path) -> Path:
        """Write a file that stands for the image, as ``apptainer pull`` does."""
        path.write_text(f"{MARK}{URL}\n")
        return path

    def configure(self, **settings: Any) -> None:
        """Write the command anew, with other `engine.Settings`."""
        known = {"images": {URL: str(self.image)}, "log": str(self._beside("calls"))}
        command = self.folder / "apptainer"
        command.write_text(program(self._beside("settings"), **{**known, **settings}))
        command.chmod(0o755)

    def run(
        self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``apptainer`` with arguments."""
        return subprocess.run(
            [str(self.folder / "apptainer"), *args],
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    def _beside(self, name: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}-{name}.json")


@pytest.fixture
def apptainer(tmp_path_factory: pytest.TempPathFactory) -> Apptainer:
    """Return a stand-in of its own for the test; skip the test, or fail it, if none can run."""
    image, problem = _image(tmp_path_factory.getbasetemp())
    if problem:
        if os.environ.get("GRID_TEST_CONTAINERS_REQUIRED"):
            pytest.fail(f"GRID_TEST_CONTAINERS_REQUIRED is set, but {problem}")
        pytest.skip(problem)
    made = Apptainer(tmp_path_factory.mktemp("engine"), image)
    made.configure()
    return made


@functools.cache
def _image(folder: Path) -> tuple[Path, str]:
    """Return the root folder of an image, and why no program runs in it; one for each process."""
    trial = Apptainer(folder / "container-trial", folder / "container-image")
    make_image(trial.image)
    trial.folder.mkdir()
    trial.configure()
    done = trial.run("exec", str(trial.image), "cat", "/etc/grid-image")
    fine = done.stdout == f"{NAME}\n"
    return trial.image, "" if fine else f"no container can be made: {done.stderr.strip()}"
