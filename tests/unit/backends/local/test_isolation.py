from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.local.isolation import can_hide

LOOK = """
import json, os, sys
from pathlib import Path
from snakemake_executor_plugin_grid.backends.local.isolation import hide
folder, kept, user = Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]], os.getuid()
hide(folder, kept)
try:
    (folder / "new").write_text("")
    written = True
except OSError:
    written = False
print(json.dumps({
    "seen": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
    "written": written,
    "same user": os.getuid() == user,
    "elsewhere": sorted(path.name for path in folder.parent.iterdir()),
}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "python").write_text("")
    (folder / "secret").write_text("")
    (tmp_path / "other").mkdir()
    problem = can_hide(folder, [])
    if problem:
        pytest.skip(f"this kernel does not let us: {problem}")
    return folder


def look(folder: Path, *kept: Path) -> dict[str, object]:
    out = subprocess.run(
        [sys.executable, "-c", LOOK, str(folder), *map(str, kept)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(out.stdout)
    return found


def test_folder_is_empty_and_cannot_be_written(folder: Path) -> None:
    assert look(folder) == {
        "seen": [],
        "written": False,
        "same user": True,
        "elsewhere": ["other", "work"],
    }


def test_kept_folders_stay_visible(folder: Path) -> None:
    assert look(folder, folder / "venv")["seen"] == ["venv", "venv/bin", "venv/bin/python"]


def test_nobody_else_notices(folder: Path) -> None:
    look(folder)
    assert can_hide(folder, [folder / "venv"]) == ""
    assert {path.name for path in folder.iterdir()} == {"venv", "secret"}


def test_reason_why_not(folder: Path) -> None:
    assert "itself" in can_hide(folder, [folder])
    assert "No such file" in can_hide(folder / "missing", [])
    assert "missing" in can_hide(folder, [folder / "missing"])


def test_other_systems_cannot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert can_hide(folder, []) == "only Linux has mount namespaces"
