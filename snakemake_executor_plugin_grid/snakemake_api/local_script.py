"""The local script or notebook of a rule."""

from __future__ import annotations

import os
from typing import Any


def local_script(rule: Any) -> str:
    """Return the absolute path of a local script or notebook of a rule, or an empty string."""
    script = rule.script or rule.notebook
    if not isinstance(script, str):
        return ""
    path = os.path.abspath(os.path.join(str(rule.basedir), script))  # noqa: PTH100, PTH118
    return path if os.path.isfile(path) else ""  # noqa: PTH113 - or it is a URL
