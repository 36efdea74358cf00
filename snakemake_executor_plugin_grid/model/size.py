"""Sizes as the user writes them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE)
_POWERS = " kmgt"


def read_size(text: str) -> int:
    """Return the bytes of a size such as ``20 GB``, ``1.5T`` or ``500 MiB``; bytes without a unit.

    Raises:
        ValueError: It is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"has to be a size such as 20GB or 500MiB, not {text!r}")
    number, unit, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS.index((unit or " ").lower()))
