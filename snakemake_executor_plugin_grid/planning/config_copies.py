"""Lets copies of configuration files travel, in which the worker sets its working directory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..model.errors import GridError
from ..staging.paths import Layout
from ..worker.archive.listing import Entry


def with_copies(
    entries: Mapping[str, Entry], copies: Mapping[str, bytes], layout: Layout, folder: Path
) -> dict[str, Entry]:
    """Return sources with copies in the place of some files; mode and time stay.

    Args:
        entries: The sources by archive name.
        copies: Contents by path of the original.
        layout: Of the submit host.
        folder: Gets the copies; only the user can read them.

    Raises:
        GridError: A file is not among the sources, or a copy cannot be written.
    """
    found = dict(entries)
    for path, data in copies.items():
        name = layout.member(path)
        if name not in found:
            raise GridError(
                f"{path}: gives absolute paths below the working directory, but is not sent to "
                "workers. Write them relative to the working directory, or send the file by "
                "--grid-include"
            )
        # The catalog knows tarballs by the paths of their files.
        copy = folder / hashlib.sha256(data).hexdigest()
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            copy.write_bytes(data)
        except OSError as error:
            raise GridError(f"{copy}: {error.strerror}") from error
        found[name] = replace(found[name], path=os.fspath(copy), size=len(data), holes=0)
    return found
