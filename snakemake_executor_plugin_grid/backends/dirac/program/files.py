"""Files in the file catalog and on storage elements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .replies import ReplyError, failures, value_of

_ABSENT = ("No such file or directory", "Directory not found", "does not exist")


def is_absent(why: object) -> bool:
    """Return whether a failure says that a file or folder does not exist."""
    return any(words in str(why) for words in _ABSENT)


def sizes(lfns: Sequence[str]) -> dict[str, int | None]:
    """Return the size of each file in the file catalog, None if it is not registered."""
    from DIRAC.Resources.Catalog.FileCatalog import FileCatalog

    found: dict[str, int | None] = dict.fromkeys(lfns)
    reply = value_of(FileCatalog().getFileMetadata(list(lfns)))
    for lfn, why in reply["Failed"].items():
        if "No such file" not in str(why):
            raise ReplyError({"Message": f"{lfn}: {why}"})
    for lfn, metadata in reply["Successful"].items():
        found[lfn] = int(metadata["Size"])
    return found


def put(lfn: str, path: str, storage_element: str) -> None:
    """Upload a file and register it."""
    failed = failures(_data().putAndRegister(lfn, path, storage_element))
    if failed:
        raise ReplyError({"Message": f"{lfn}: {failed[lfn]}"})


def get(lfn: str, folder: str) -> str:
    """Download a file from any of its replicas; return its path."""
    reply = _data().getFile([lfn], destinationDir=folder)
    failed = failures(reply)
    if failed:
        raise ReplyError({"Message": f"{lfn}: {failed[lfn]}"})
    return str(Path(folder) / lfn.rpartition("/")[2])


def listing(folders: Sequence[str]) -> list[str]:
    """Return the LFNs of the files in folders of the file catalog; missing folders have none."""
    from DIRAC.Resources.Catalog.FileCatalog import FileCatalog

    reply = value_of(FileCatalog().listDirectory(list(folders)))
    for folder, why in reply["Failed"].items():
        if not is_absent(why):
            raise ReplyError({"Message": f"{folder}: {why}"})
    return [str(lfn) for found in reply["Successful"].values() for lfn in found.get("Files", {})]


def remove(lfns: Sequence[str]) -> dict[str, str]:
    """Remove files and all their replicas; return those that are still there, and why."""
    failed = failures(_data().removeFile(list(lfns)))
    return {lfn: why for lfn, why in failed.items() if "No such file" not in why}


def remnants(lfns: Sequence[str], elements: Sequence[str]) -> dict[str, str]:
    """Return the storage elements of files that the file catalog does not have."""
    from DIRAC.Resources.Storage.StorageElement import StorageElement

    found = {}
    for element in elements:
        reply = value_of(StorageElement(element).exists(list(lfns)))
        found.update({lfn: element for lfn, there in reply["Successful"].items() if there})
    return found


def purge(lfns: Sequence[str], element: str) -> dict[str, str]:
    """Remove such files; return those that are still there, and why."""
    from DIRAC.Resources.Storage.StorageElement import StorageElement

    return failures(StorageElement(element).removeFile(list(lfns)))


def _data() -> Any:
    from DIRAC.DataManagementSystem.Client.DataManager import DataManager

    return DataManager()
