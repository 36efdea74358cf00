"""How often Snakemake asks whether jobs have ended."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

_NAME = "seconds_between_status_checks"


def wanted_pause(settings: Any) -> float:
    """Return ``--seconds-between-status-checks`` if it is less than Snakemake's default, else inf.

    Otherwise the user did not ask for it: the default is meant for servers of any kind.

    Args:
        settings: Snakemake's remote execution settings.
    """
    defaults: dict[str, Any] = {field.name: field.default for field in fields(settings)}
    said = float(getattr(settings, _NAME))
    return said if said < defaults[_NAME] else math.inf
