"""The check of the built package finds what is missing in a wheel."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.package import PACKAGE, PackageError, missing, run

FILES = ("__init__.py", "reporting/page.html.jinja", "worker/start.py")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / PACKAGE
    for name in (*FILES, "worker/__pycache__/start.cpython-311.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


@pytest.mark.parametrize("left_out", [(), ("reporting/page.html.jinja",), FILES[1:]])
def test_files_that_a_wheel_lacks_are_named(package: Path, left_out: tuple[str, ...]) -> None:
    wheel = package.with_name("package.whl")
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in FILES:
            if name not in left_out:
                archive.write(package / name, f"{PACKAGE}/{name}")
    assert missing(wheel, package) == [f"{PACKAGE}/{name}" for name in left_out]


@pytest.mark.parametrize("command", ["echo some words; exit 3", "echo Traceback some words"])
def test_a_command_that_fails_is_shown_with_what_it_printed(tmp_path: Path, command: str) -> None:
    with pytest.raises(PackageError, match="some words"):
        run(["sh", "-c", command], tmp_path)
