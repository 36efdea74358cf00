"""Setups, which DIRAC had before version 9: each names an instance of every system.

The sections of a system are in that of its instance there. A server of DIRAC 9 tells the clients of
DIRAC 8 by ``NoSetup`` that it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .settings import SETUP, Settings

if TYPE_CHECKING:
    from .configuration import Tree

_NO_SYSTEMS = ("Databases", "NoSQLDatabases")
"""Sections beside the systems that have no instances."""


def served(settings: Settings, systems: Tree) -> Tree:
    """Return the section ``DIRAC`` that the configuration service serves."""
    if not settings.has_setups:
        return {"NoSetup": "True"}
    instances: Tree = {name: SETUP for name in systems if name not in _NO_SYSTEMS}
    return {"Setups": {SETUP: instances}}


def with_instances(settings: Settings, systems: Tree) -> Tree:
    """Return the section ``Systems``; where there are setups, each system has an instance."""
    if not settings.has_setups:
        return systems
    return {name: tree if name in _NO_SYSTEMS else {SETUP: tree} for name, tree in systems.items()}
