"""What of a job must not be public: read from where only the user's own jobs find it."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from .transfer import urls

PRIVATE_FILE = "private.json"
"""Beside the description of the jobs: says where the private part of it is."""
SECRETS_FILE = "panda_secrets.json"
"""Which the PanDA pilot puts into the folder of a job that asks for secrets."""
_PREFIX = "___file___:"
_PARENTS = 2


def read_private(folder: Path) -> dict[str, Any]:
    """Return what is private, as ``{"jobs": {name: {…}}}``; nothing if nothing is.

    Args:
        folder: Where the descriptions of the jobs are.

    Raises:
        ValueError: It is not there, or is damaged.
        TransferError: It cannot be fetched.
        OSError: The folder cannot be written.
    """
    pointer = folder / PRIVATE_FILE
    if not pointer.exists():
        return {}
    where = _parse(pointer.read_text())
    if "secret" in where:
        where = _secret(str(where["secret"]), folder)
    if "url" in where:
        if where.get("token"):
            os.environ["BEARER_TOKEN"] = str(where["token"])
        with tempfile.TemporaryDirectory(dir=folder) as own:  # which only the owner can enter
            target = Path(own, PRIVATE_FILE)
            urls.get(str(where["url"]), target)
            where = _parse(target.read_text())
    return where


def _secret(name: str, folder: Path) -> dict[str, Any]:
    """Find one of the user's secrets; runGen-00-00-02 moves their file to where the job runs."""
    for place in (folder, *folder.resolve().parents[:_PARENTS]):
        path = place / SECRETS_FILE
        if path.is_file():
            value = _parse(path.read_text()).get(name)
            if value is not None:
                return _parse(base64.b64decode(str(value)).decode())
    # What runGen has made of it, in case that the file is gone.
    path = folder / name[len(_PREFIX) :] if name.startswith(_PREFIX) else folder / name
    if path.is_file():
        return _parse(path.read_text())
    raise ValueError(f"the secret {name} has not come with the job ({SECRETS_FILE})")


def _parse(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("private part of the job: damaged")
    return found
