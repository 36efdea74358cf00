"""What Rucio knows of names, and the end of their lifetime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import connection, rows
from .errors import CallError

# A removed file has expired an hour ago, as clocks differ.
_ENDED = -3600
# Kinds of errors that may be of one file among many.
_OF_ONE = ("AccessDenied", "DataIdentifierNotFound", "UnsupportedOperation")


def start() -> dict[str, Any]:
    """Return what is known without a server."""
    connection.imported()
    from rucio import version
    from rucio.common.config import config_get

    return {
        "version": version.version_string(),
        "server": config_get("client", "rucio_host", raise_exception=False, default=""),
        "auth": connection.auth_type(),
    }


def whoami() -> str:
    """Return the account of the user, as the server knows it."""
    return str(connection.client().whoami()["account"])


def metadata(files: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Return a row of each name that exists."""
    # Older clients (38) ask for other metadata unless they are told.
    answers = connection.client().get_metadata_bulk(connection.dids(files), plugin="DID_COLUMN")
    return [rows.row(answer) for answer in answers]


def replicas(
    files: Sequence[Sequence[str]], schemes: Sequence[str], site: str
) -> list[tuple[str, str, dict[str, str]]]:
    """Return scope and name of files, and the URL of each at each storage element.

    The URL is empty where a storage element has none of the schemes. Replicas on tape, and those
    at storage elements that cannot be read now, are left out.

    Args:
        files: Files; not more than some hundred.
        schemes: Of URLs.
        site: Where the files will be read; empty for anywhere.
    """
    location = None
    if site:
        from rucio.common.client import detect_client_location

        location = {**detect_client_location(), "site": site}
    answers = connection.client().list_replicas(
        connection.dids(files),
        schemes=list(schemes),
        client_location=location,
        ignore_availability=False,
        resolve_archives=False,
    )
    found = []
    for answer in answers:
        if not isinstance(answer, dict) or "name" not in answer:
            raise CallError(f"unexpected answer: {str(answer)[:200]!r}")
        found.append((answer["scope"], answer["name"], _urls(answer)))
    return found


def _urls(answer: dict[str, Any]) -> dict[str, str]:
    # An element without any of the schemes has a state, and no entry in `rses`.
    states = answer.get("states") or {}
    urls = dict.fromkeys((rse for rse, state in states.items() if state == "AVAILABLE"), "")
    urls.update(dict.fromkeys(answer.get("rses") or {}, ""))
    pfns: list[tuple[str, dict[str, Any]]] = list((answer.get("pfns") or {}).items())
    for url, facts in sorted(pfns, key=_preference, reverse=True):
        urls[facts["rse"]] = url
    for _, facts in pfns:
        if facts.get("type") == "TAPE":
            urls.pop(facts["rse"], None)
    return urls


def _preference(pfn: tuple[str, dict[str, Any]]) -> tuple[bool, int]:
    # By its name https is without credentials; the same servers speak davs as well.
    url, facts = pfn
    return url.startswith("https:"), int(facts.get("priority") or 0)


def contents(scope: str, name: str) -> list[tuple[str, str]]:
    """Return the files of a dataset or container, and of the datasets in it."""
    return [(file["scope"], file["name"]) for file in connection.client().list_files(scope, name)]


def matching(scope: str, pattern: str) -> list[str]:
    """Return the names of the files in a scope that match a pattern, such as ``run3/*``."""
    found = connection.client().list_dids(scope, [{"name": pattern}], did_type="file")
    return [str(name) for name in found]


def expire(files: Sequence[Sequence[str]]) -> dict[str, str]:
    """End the lifetime of names; return why, for each that cannot be ended.

    Rucio's daemons remove the names, the rules and the bytes later.
    """
    client = connection.client()
    ended = [{**did, "meta": {"lifetime": _ENDED}} for did in connection.dids(files)]
    refused: dict[str, str] = {}
    if not ended:
        return refused
    try:
        client.set_dids_metadata_bulk(ended)
    except Exception as error:  # all or nothing: who is it?
        if type(error).__name__ not in _OF_ONE:
            raise
        for did in connection.dids(files):
            try:
                client.set_metadata(did["scope"], did["name"], "lifetime", _ENDED)
            except Exception as reason:
                kind = type(reason).__name__
                if kind not in _OF_ONE:
                    raise
                if kind != "DataIdentifierNotFound":
                    refused[f"{did['scope']}:{did['name']}"] = str(reason)
    return refused
