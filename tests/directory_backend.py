"""The backend of ``docs/directory_backend``, as if it were installed."""

from __future__ import annotations

import tomllib
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "docs" / "directory_backend"


def install(folder: Path) -> str:
    """Write what pip writes of its ``pyproject.toml``.

    Args:
        folder: Gets the entry points.

    Returns:
        The value of PYTHONPATH with which Python finds them and the backend.
    """
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    ((group, entries),) = project["entry-points"].items()
    lines = [f"{name} = {target}" for name, target in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")
    return f"{folder}:{SOURCE}"
