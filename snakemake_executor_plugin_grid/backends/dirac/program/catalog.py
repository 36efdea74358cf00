"""Files by their names in the file catalog: what is known of them, and their replicas."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .files import is_absent
from .replies import ReplyError, failures, value_of

Facts = tuple[int, float, str]
"""Bytes, seconds since the epoch, and adler32 in eight hex digits; empty if there is none."""

_NO_REPLICA = "zero replicas"
_NO_ANSWER = "from any catalog"
_UNREACHABLE = ("connect", "timed out")
_TAKEN = "already exists in the file catalog"
_READABLE = ["root", "davs", "https", "file"]
"""Protocols that the worker has clients for."""
_BLOCK = 1 << 22


def look_up_files(lfns: Sequence[str]) -> dict[str, Facts | None]:
    """Return what is known of each file; None if it is not registered."""
    reply = _ask("getFileMetadata", list(lfns))
    _raise_others(reply["Failed"])
    found: dict[str, Facts | None] = dict.fromkeys(lfns)
    for lfn, metadata in reply["Successful"].items():
        # ModificationDate moves with permissions and status as well.
        date = metadata.get("CreationDate") or metadata.get("ModificationDate")
        found[lfn] = (int(metadata["Size"]), seconds_of(date), _adler32(metadata))
    return found


def find_replicas(lfns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the storage elements of each file, and its URL there, empty if it has none."""
    from DIRAC.Resources.Storage.StorageElement import StorageElement

    found: dict[str, dict[str, str]] = {lfn: {} for lfn in lfns}
    at: dict[str, list[str]] = {}
    for lfn, elements in _elements(lfns, every=False).items():
        for element in elements:
            found[lfn][element] = ""
            at.setdefault(element, []).append(lfn)
    for element, names in at.items():
        reply = StorageElement(element).getURL(names, protocol=_READABLE)
        if reply["OK"]:  # otherwise the element has none of these protocols
            for lfn, url in reply["Value"]["Successful"].items():
                found[lfn][element] = str(url)
    return found


def list_folder(folder: str) -> list[str]:
    """Return the LFNs of the files in a folder and below: one question for each level."""
    found: list[str] = []
    level = [folder]
    while level:
        reply = _ask("listDirectory", level)
        _raise_others(reply["Failed"])
        listed = reply["Successful"].values()
        found += (str(lfn) for one in listed for lfn in one.get("Files", {}))
        level = sorted({str(path) for one in listed for path in one.get("SubDirs", {})})
    # A catalog may answer anything, but only what is in the folder was asked for.
    return sorted(lfn for lfn in set(found) if lfn.startswith(f"{folder.rstrip('/')}/"))


def find_files(metadata: Mapping[str, Any], folder: str) -> list[str]:
    """Return the LFNs of the files below a folder that have this metadata."""
    return sorted(map(str, _ask("findFilesByMetadata", dict(metadata), folder)))


def store_file(lfn: str, path: str, element: str) -> Facts:
    """Upload and register a file in place of the one that has its name; return its facts."""
    size, adler32 = Path(path).stat().st_size, checksum_of(path)
    if look_up_files([lfn])[lfn] is not None:
        _raise_failure(lfn, failures(_data().removeFile([lfn])))
    try:
        reply = _data().putAndRegister(lfn, path, element, checksum=adler32)
        _raise_failure(lfn, failures(reply))
    except ReplyError as error:
        # By a duplicate of the job that has written the same.
        if _TAKEN not in str(error).casefold():
            raise
        if not _is(look_up_files([lfn])[lfn], size, adler32):
            text = f"{lfn} already exists in the file catalog, with other content"
            raise ReplyError({"Message": text}) from error
    there = look_up_files([lfn])[lfn]
    if there is None or not _is(there, size, adler32):
        text = f"{lfn} has not arrived whole on {element}: the catalog has {there}"
        raise ReplyError({"Message": text})
    return there


def remove_files(lfns: Sequence[str], elements: Collection[str]) -> dict[str, str]:
    """Remove files and all their replicas.

    Args:
        lfns: Of the files.
        elements: Storage elements where a replica may be of which the catalog does not know.

    Returns:
        Why, for each file that is still there, or of which a replica is.
    """
    replicas = _elements(lfns, every=True)
    where = {element for found in replicas.values() for element in found}
    failed = failures(_data().removeFile(list(lfns)))
    # Those that the catalog did not know, and those for which only a part may have been done.
    doubtful = [lfn for lfn in lfns if lfn in failed or not replicas.get(lfn)]
    if not doubtful:
        return {}
    there = look_up_files(doubtful)
    why = {lfn: failed.get(lfn, "it is still registered") for lfn in doubtful if there[lfn]}
    gone = [lfn for lfn in doubtful if lfn not in why]
    return {**why, **_left_over(gone, sorted(where.union(elements)))}


def seconds_of(date: Any) -> float:
    """Return a date of the catalog, which is in UTC, in seconds since the epoch.

    Args:
        date: As the transport passes it on: a date, or a text.
    """
    if isinstance(date, str):
        date = datetime.fromisoformat(date.strip().replace("Z", "+00:00"))
    if not isinstance(date, datetime):
        raise ReplyError({"Message": f"the file catalog gives no date but {date!r}"})
    return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()  # noqa: UP017


def checksum_of(path: str) -> str:
    """Return the adler32 of a file in eight hex digits."""
    value = 1
    with Path(path).open("rb") as stream:
        while block := stream.read(_BLOCK):
            value = zlib.adler32(block, value)
    return f"{value:08x}"


def _left_over(lfns: Sequence[str], elements: Sequence[str]) -> dict[str, str]:
    """Remove replicas of which the catalog does not know; return those that stay."""
    from DIRAC.Resources.Storage.StorageElement import StorageElement

    why: dict[str, str] = {}
    for element in elements if lfns else ():
        storage = StorageElement(element)
        reply = value_of(storage.exists(list(lfns)))
        there = [lfn for lfn, yes in reply["Successful"].items() if yes]
        failed = failures(storage.removeFile(there)) if there else {}
        for lfn, reason in {**reply["Failed"], **failed}.items():
            if not is_absent(reason):
                why[lfn] = f"a replica is left on {element}: {reason}"
    return why


def _elements(lfns: Sequence[str], *, every: bool) -> dict[str, list[str]]:
    """Return the storage elements of each file that is registered.

    Args:
        lfns: Of the files.
        every: Whether those count as well where the file cannot be read now.
    """
    reply = _ask("getReplicas", list(lfns), allStatus=every)
    others = {lfn: why for lfn, why in reply["Failed"].items() if _NO_REPLICA not in str(why)}
    _raise_others(others)
    return {str(lfn): sorted(found) for lfn, found in reply["Successful"].items()}


def _ask(method: str, *args: Any, **options: Any) -> Any:
    """Ask the catalog. DIRAC says only that it does not answer, so find out why.

    It does so for all catalogs of the installation together (seen with 9.1.22).
    """
    reply = getattr(_catalog(), method)(*args, **options)
    if not reply["OK"] and _NO_ANSWER in reply["Message"]:
        from DIRAC.Resources.Catalog.FileCatalogClient import FileCatalogClient

        alive = FileCatalogClient().ping()
        if not alive["OK"] and any(word in alive["Message"].casefold() for word in _UNREACHABLE):
            reply = alive
    return value_of(reply)


def _is(there: Facts | None, size: int, adler32: str) -> bool:
    """Return whether a file has this size and checksum, as far as the catalog knows it."""
    return there is not None and there[0] == size and there[2] in ("", adler32)


def _adler32(metadata: Mapping[str, Any]) -> str:
    kind = str(metadata.get("ChecksumType") or "adler32").casefold()
    value = str(metadata.get("Checksum") or "").strip().casefold()
    return value.zfill(8) if value and kind.startswith("ad") else ""


def _raise_others(failed: Mapping[str, Any]) -> None:
    """Raise the first failure that does not say that a file or folder does not exist."""
    for lfn, why in failed.items():
        if not is_absent(why):
            denied = "; reading it is not permitted for this credential"
            more = denied if "Permission denied" in str(why) else ""
            raise ReplyError({"Message": f"{lfn}: {why}{more}"})


def _raise_failure(lfn: str, failed: Mapping[str, str]) -> None:
    if lfn in failed and not is_absent(failed[lfn]):
        raise ReplyError({"Message": f"{lfn}: {failed[lfn]}"})


def _catalog() -> Any:
    from DIRAC.Resources.Catalog.FileCatalog import FileCatalog

    return FileCatalog()


def _data() -> Any:
    from DIRAC.DataManagementSystem.Client.DataManager import DataManager

    return DataManager()
