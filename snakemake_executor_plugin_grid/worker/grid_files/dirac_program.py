"""Moves files between this node and storage elements; run by the Python that has DIRAC.

It imports nothing of this package. ``python -c <this text> request.json answers.json``: the request
is ``{"get": [{"lfn", "folder"}, …], "put": [{"lfn", "path", "element", "guid", "size", "adler32",
"before", "may_replace"}, …]}``, the answers are ``{lfn: error}`` with an empty text for success.
Errors that pass are tried again here.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

_PAUSES = (2.0, 10.0, 30.0)  # seconds before the next tries
_FOR_GOOD = ("zero size", "not permitted", "not allowed", "another job")


class FailedError(Exception):
    """A step has failed; the text says why."""


def value_of(reply: Any) -> Any:
    """Return the value of a reply of DIRAC.

    Raises:
        FailedError: It is an error.
    """
    if not reply["OK"]:
        raise FailedError(str(reply.get("Message") or "no message"))
    return reply.get("Value")


def one_of(reply: Any, lfn: str) -> Any:
    """Return what a bulk reply says of one file.

    Raises:
        FailedError: That is an error.
    """
    value = value_of(reply)
    if lfn in value["Failed"]:
        raise FailedError(str(value["Failed"][lfn]))
    return value["Successful"][lfn]


def facts(lfn: str) -> tuple[int, str, str] | None:
    """Return size, Adler-32 and guid of a file in the catalog, None if it is not there."""
    from DIRAC.Resources.Catalog.FileCatalog import FileCatalog

    try:
        found = one_of(FileCatalog().getFileMetadata([lfn]), lfn)
    except FailedError as error:
        if "No such file" in str(error):
            return None
        raise
    checksum = str(found.get("Checksum") or "").lower().zfill(8)
    return int(found["Size"]), checksum, str(found.get("GUID") or "")


def get(lfn: str, folder: str) -> None:
    """Download a file into a folder, under its basename."""
    from DIRAC.DataManagementSystem.Client.DataManager import DataManager

    one_of(DataManager().getFile([lfn], destinationDir=folder), lfn)


def put(
    lfn: str,
    path: str,
    element: str,
    guid: str,
    size: int,
    adler32: str,
    before: str,
    may_replace: Sequence[str],
) -> None:
    """Upload and register a file, unless it is there; see that it is there.

    What was there before the job was sent (``before``), and what its earlier attempts wrote
    (``may_replace``, their guids), is replaced. Other files are not: this attempt may have been
    given up for lost, and a later one may have succeeded. What was there before is replaced by the
    same content as well: its time tells Snakemake that it is newer than the inputs.
    """
    from DIRAC.DataManagementSystem.Client.DataManager import DataManager

    if not size:  # nothing is removed for a file that cannot take its place
        raise FailedError("Supplied file is zero size, which DIRAC refuses")
    found = facts(lfn)
    of_this_job = found is not None and found[2] in (guid, *may_replace)
    is_old = found is not None and not of_this_job and f"{found[0]}:{found[1]}" == before
    if found is not None and (is_old or found[:2] != (size, adler32)):
        if not is_old and found[2] not in may_replace:
            raise FailedError("another job has written a file of this name since this job was sent")
        one_of(DataManager().removeFile([lfn]), lfn)
        found = None
    if found is None:
        one_of(DataManager().putAndRegister(lfn, path, element, guid=guid), lfn)
        found = facts(lfn)
    if found is None or found[:2] != (size, adler32):
        raise FailedError(f"the catalog has {found} after the upload, not {(size, adler32)}")


def attempt(call: Callable[..., None], *args: Any, **options: Any) -> str:
    """Make a call; try again what may pass. Return the error, empty if there is none."""
    for pause in (*_PAUSES, None):
        try:
            call(*args, **options)
        except Exception as error:  # whatever the library raises
            said = " ".join(str(error).split()) or type(error).__name__
            if pause is None or any(words in said for words in _FOR_GOOD):
                return said
            time.sleep(pause)
        else:
            return ""
    return ""


def main(request_file: str, answers_file: str) -> None:
    """Do what a request asks for."""
    import DIRAC

    DIRAC.initialize()
    with open(request_file) as stream:  # noqa: PTH123
        request = json.load(stream)
    answers = {}
    for one in request["get"]:
        answers[one["lfn"]] = attempt(get, one["lfn"], one["folder"])
    for one in request["put"]:
        answers[one["lfn"]] = attempt(put, **one)
    with open(answers_file, "w") as stream:  # noqa: PTH123
        json.dump(answers, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
