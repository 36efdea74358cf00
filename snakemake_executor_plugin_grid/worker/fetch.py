"""Finds or fetches the blob of an input: beside the job, from a folder, or from the grid."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .archive.files import file_digest
from .description import Blob, InputDamagedError
from .processes import die_with_parent
from .transfer import urls
from .transfer.errors import TransferError

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import IO

_GET_FILE = "dirac-dms-get-file"
_TIME_LIMIT = 3600.0  # seconds; of one file
_LAST_WORDS = 2048  # bytes of the command's output that are read
_LAST_LINES = 3


def locate(blob: Blob, sandbox: Path) -> Path:
    """Return the file of an input; fetch it first if necessary.

    Args:
        blob: The input. The caller checks its bytes when it reads them.
        sandbox: Folder of ``job.json``, where the WMS puts the files of the sandbox, and where
            DIRAC's job wrapper downloads input data under the basename of the LFN.

    Raises:
        InputDamagedError: It cannot be found or fetched.
    """
    beside = sandbox / blob.digest
    scheme, _, rest = blob.url.partition(":")
    if scheme == "lfn":
        return _from_dirac(blob, f"LFN:{rest}", beside)
    if scheme in urls.READABLE:
        return _from_remote(blob, beside)
    if not blob.url or beside.exists():
        path = beside
    elif scheme == "file":
        path = Path(unquote(urlsplit(blob.url).path))
    else:
        raise InputDamagedError(f"the worker cannot read {scheme}:// URLs")
    if not path.is_file():
        where = blob.url or f"the sandbox ({blob.digest})"
        raise InputDamagedError(f"input missing: {_title(blob)}: no file at {where}")
    return path


def _from_dirac(blob: Blob, lfn: str, beside: Path) -> Path:
    """Return DIRAC's own download if it is complete, else fetch the file with DIRAC's command.

    The wrapper only checks the size of its downloads (DownloadInputData, DIRAC 9.1).
    """
    # An output of another job has the suffix DATA_SUFFIX: rename it, or it is uploaded again.
    landed = beside.with_name(lfn.rpartition("/")[2])
    if landed.is_file():
        landed.replace(beside)
    if _is_whole(blob, beside):
        return beside
    damage = " (the copy DIRAC downloaded is damaged)" if beside.exists() else ""
    beside.unlink(missing_ok=True)
    problem = _get_file(lfn, landed)
    if landed.is_file():
        landed.replace(beside)
    if problem:
        raise InputDamagedError(
            f"input missing: {_title(blob)}: {lfn} could not be fetched{damage}: {problem}"
        )
    return beside


def _from_remote(blob: Blob, beside: Path) -> Path:
    """Download a file; download it once more if it is damaged."""
    for _ in range(2):
        if _is_whole(blob, beside):
            return beside
        try:
            urls.get(blob.url, beside, public=True)
        except TransferError as error:
            raise InputDamagedError(f"input missing: {_title(blob)}: {error}") from error
    return beside


def forget(blob: Blob, sandbox: Path) -> None:
    """Remove the downloaded file of an input."""
    if blob.url.partition(":")[0] in urls.READABLE:
        (sandbox / blob.digest).unlink(missing_ok=True)


def _is_whole(blob: Blob, path: Path) -> bool:
    return path.is_file() and (
        path.stat().st_size == blob.size and file_digest(path) == (blob.size, blob.digest)
    )


def _get_file(lfn: str, target: Path) -> str:
    """Fetch a file into the folder of ``target`` with DIRAC's command; return the error, or empty.

    The command writes to its current folder, under the basename of the LFN (DIRAC 9.1).
    """
    import shutil
    import subprocess
    import tempfile

    command = shutil.which(_GET_FILE)
    if command is None:
        return f"the worker node has no {_GET_FILE}"
    with tempfile.TemporaryFile() as output:
        # The worker has one thread here, so preexec_fn is safe.
        process = subprocess.Popen(
            [command, lfn],
            cwd=target.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            code = process.wait(_TIME_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"{_GET_FILE} took longer than {_TIME_LIMIT:g} s"
        if code == 0 and target.is_file():
            return ""
        how = f"ended with exit code {code}" if code else "left no file"
        return f"{_GET_FILE} {how}{_last_lines(output)}"


def _last_lines(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _LAST_WORDS))
    lines = [line.strip() for line in output.read().decode(errors="replace").splitlines()]
    said = " | ".join([line for line in lines if line][-_LAST_LINES:])
    return f": {said}" if said else ""


def _title(blob: Blob) -> str:
    return blob.name or "a tarball"
