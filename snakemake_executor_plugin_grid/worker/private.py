"""Reads the private part of a job, which only the user's own jobs can access."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .transfer import urls

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

PRIVATE_FILE = "private.json"
"""File beside the description of the jobs; tells where their private part is."""
SECRETS_FILE = "panda_secrets.json"
"""File that the PanDA pilot writes into the folder of a job that requests secrets."""
_PREFIX = "___file___:"
_PARENTS = 2


def read_private(folder: Path) -> dict[str, Any]:
    """Return the private part, as ``{"jobs": {name: {…}}}``; empty if there is none.

    Args:
        folder: Folder of the description of the jobs.

    Raises:
        ValueError: It is missing or damaged.
        TransferError: It cannot be fetched.
        OSError: The folder cannot be written.
    """
    import tempfile

    pointer = folder / PRIVATE_FILE
    if not pointer.exists():
        return {}
    where = _parse(pointer.read_text())
    if "secret" in where:
        where = _secret(str(where["secret"]), folder)
    if "url" in where:
        if where.get("token"):
            os.environ["BEARER_TOKEN"] = str(where["token"])
        with tempfile.TemporaryDirectory(dir=folder) as own:  # only the owner can enter it
            target = Path(own, PRIVATE_FILE)
            urls.get(str(where["url"]), target)
            where = _parse(target.read_text())
    return where


def _secret(name: str, folder: Path) -> dict[str, Any]:
    """Find one of the user's secrets; runGen-00-00-02 moves their file to the job's folder."""
    import base64

    for place in (folder, *folder.resolve().parents[:_PARENTS]):
        path = place / SECRETS_FILE
        if path.is_file():
            value = _parse(path.read_text()).get(name)
            if value is not None:
                return _parse(base64.b64decode(str(value)).decode())
    # Fallback: the file that runGen made for this secret alone.
    path = folder / name[len(_PREFIX) :] if name.startswith(_PREFIX) else folder / name
    if path.is_file():
        return _parse(path.read_text())
    raise ValueError(f"the secret {name} did not arrive with the job ({SECRETS_FILE})")


def _parse(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("private part of the job: damaged")
    return found
