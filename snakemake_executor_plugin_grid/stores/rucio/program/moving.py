"""Moves files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import connection
from .errors import MovingError
from .names import replicas
from .notes import Notes
from .registering import keep, same, withdraw


def download(scope: str, name: str, folder: str) -> str:
    """Download a file from any of its replicas into a folder; return its path there."""
    from rucio.client.downloadclient import DownloadClient
    from rucio.common.exception import NoFilesDownloaded, NotAllFilesDownloaded

    notes = Notes()
    traces: list[dict[str, Any]] = []
    item = {"did": f"{scope}:{name}", "base_dir": folder, "no_subdir": True}
    # Names have slashes, and not every protocol makes folders.
    path = Path(folder, name.lstrip("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    client = DownloadClient(connection.client(), logger=notes)
    try:
        client.download_dids([item], num_threads=1, traces_copy_out=traces)
    except (NoFilesDownloaded, NotAllFilesDownloaded) as error:
        raise notes.error(traces) from error
    if not path.is_file():
        raise MovingError(f"rucio-clients say that {path} is there, and it is not")
    return str(path)


def upload(
    path: str, scope: str, name: str, rse: str, lifetime: int | None, size: int, adler32: str
) -> dict[str, Any]:
    """Upload a file, register it, and keep it by a rule; return its row.

    The bytes come first: a name that is registered without its bytes could never be used again for
    other content. Equal content that is there already counts as uploaded.

    Args:
        path: Local file.
        scope: Of its new name.
        name: Its new name.
        rse: Storage element, or an expression for several: one of them is taken.
        lifetime: Of the rule in seconds, None for no end.
        size: Of the file.
        adler32: Of the file.
    """
    from rucio.client.uploadclient import UploadClient
    from rucio.common.exception import NoFilesUploaded, NotAllFilesUploaded

    client, file = connection.client(), [scope, name]
    before = same(file, size, adler32)
    if before is None or not _has_replica(file):
        notes = Notes()
        traces: list[dict[str, Any]] = []
        uploader = UploadClient(client, logger=notes)
        if size == 0:  # else it asks again and again for a minute, as it takes 0 for a mistake
            uploader._retry_protocol_stat = lambda protocol, url: protocol.stat(url)
        item = {
            "path": path,
            "rse": rse,
            "did_scope": scope,
            "did_name": name,
            "lifetime": lifetime,
            "register_after_upload": before is None,
        }
        try:
            uploader.upload([item], traces_copy_out=traces)
        except (NoFilesUploaded, NotAllFilesUploaded) as error:
            # Another attempt may have been faster.
            if same(file, size, adler32) is None or not _has_replica(file):
                raise notes.error(traces) from error
        except Exception:
            if before is None:
                withdraw([file])
            raise
    row = same(file, size, adler32)
    if row is None:
        raise MovingError(f"Rucio does not know {scope}:{name} after its upload")
    keep([file], rse, lifetime, expiring=row["expires"] is not None)
    return row


def _has_replica(file: Sequence[str]) -> bool:
    return any(urls for _, _, urls in replicas([file], (), ""))
