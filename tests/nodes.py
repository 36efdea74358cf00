"""What worker nodes of the tests have on their PATH: a Python, and never Snakemake.

The environment of the tests has Snakemake, so nodes do not find it: a job that should be decided
and is not, fails.
"""

from __future__ import annotations

import sys
import sysconfig
import venv
from pathlib import Path

_OF_SNAKEMAKE = ("snakemake", "_editable")


def with_path(folder: Path) -> tuple[str, ...]:
    """Return the options with which jobs find the programs of a folder first."""
    return ("--grid-runtime", "setup", "--grid-runtime-setup", f"PATH={folder}:$PATH")


WITH_SNAKEMAKE = with_path(Path(sys.executable).parent)
"""Options for workflows with jobs that need Snakemake on the node."""


def bare_node(folder: Path) -> Path:
    """Make a Python with nothing but the standard library, unless it is there.

    Args:
        folder: May be missing.

    Returns:
        The folder for the PATH of the node.
    """
    if not (folder / "pyvenv.cfg").exists():
        venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin"


def node_with_packages(folder: Path) -> Path:
    """Make a Python that has the packages of this one, but not Snakemake and this plugin.

    Args:
        folder: May be missing.

    Returns:
        The folder for the PATH of the node.
    """
    found = bare_node(folder)
    (site,) = folder.glob("lib/python3*/site-packages")
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not package.name.startswith(_OF_SNAKEMAKE) and package.suffix != ".pth":
            link = site / package.name
            if not link.is_symlink() and not link.exists():
                link.symlink_to(package)
    return found
