"""Files of a store: named by their contents, kept for a time, all asked for in bulk.

The lifetime is that of the name, not that of a rule: it can be asked for and changed for many
files in one call, and by users, whereas many servers let only administrators change rules.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

from . import connection
from .errors import CallError, TakenError
from .names import metadata
from .registering import scheme_for, urls_by, withdraw

_OPERATIONS = ("read", "write", "delete")
_NEW = "AVAILABLE"
"""State of a replica that was registered."""


def blob_urls(names: Sequence[Sequence[str]], rse: str, schemes: Sequence[str]) -> dict[str, str]:
    """Return the URLs of files, whether they exist or not, by which a worker reads and writes them.

    Args:
        names: Scope and name of each.
        rse: Name of the storage element.
        schemes: Of URLs, the best first.

    Raises:
        CallError: The storage element does not serve.
    """
    return urls_by(_scheme(rse, tuple(schemes)), names, rse)


@functools.cache
def _scheme(rse: str, schemes: tuple[str, ...]) -> str:
    element = connection.client().get_rse(rse)
    if not element["deterministic"]:
        raise CallError(f"{rse} is not deterministic: the URLs of new files cannot be known")
    if element["rse_type"] == "TAPE":
        raise CallError(f"{rse} is on tape")
    return scheme_for(rse, schemes, _OPERATIONS)


def blobs(files: Sequence[Sequence[str]], rse: str) -> dict[str, list[Any]]:
    """Return size, end of the lifetime, and state of the replica of each file that exists.

    Args:
        files: Not more than some hundred.
        rse: Storage element; the state is empty where it has no replica.
    """
    rows = [row for row in metadata(files) if row["type"] == "FILE" and not row["lost"]]
    states = _states([(row["scope"], row["name"]) for row in rows], rse)
    return {
        did: [row["size"], row["expires"], states.get(did, "")]
        for row in rows
        for did in [f"{row['scope']}:{row['name']}"]
    }


def registration(
    files: Sequence[tuple[str, str, int, str]], rse: str, lifetime: int
) -> dict[str, str]:
    """Register files that have been written, each with a rule, for a time; return their states.

    Args:
        files: Scope, name, size and adler32 of each.
        rse: Storage element.
        lifetime: Seconds from now.

    Raises:
        TakenError: A name is that of other content.
    """
    from rucio.common.exception import DuplicateRule

    client = connection.client()
    dids = [(scope, name) for scope, name, _, _ in files]
    known = {(row["scope"], row["name"]): row for row in metadata(dids)}
    for scope, name, size, adler32 in files:
        row = known.get((scope, name))
        same = row is None or (row["type"], row["size"], row["adler32"]) == ("FILE", size, adler32)
        if not same:
            raise TakenError(f"{scope}:{name} is registered with other content")
    states = _states(list(known), rse)
    absent = [
        {"scope": scope, "name": name, "bytes": size, "adler32": adler32}
        for scope, name, size, adler32 in files
        if f"{scope}:{name}" not in states
    ]
    if absent:
        client.add_replicas(rse, absent)
    try:
        renewal(dids, lifetime)
        new = [did for did in dids if did not in known]
        if new:
            client.add_replication_rule(connection.dids(new), copies=1, rse_expression=rse)
        for did in known:
            with contextlib.suppress(DuplicateRule):
                client.add_replication_rule(connection.dids([did]), copies=1, rse_expression=rse)
    except Exception:
        withdraw([did for did in dids if did not in known])
        raise
    states = _states(list(known), rse)  # the server may be deleting some
    return {
        f"{scope}:{name}": states.get(f"{scope}:{name}", "") if (scope, name) in known else _NEW
        for scope, name in dids
    }


def renewal(files: Sequence[Sequence[str]], lifetime: int) -> None:
    """Let the lifetime of files end some seconds from now."""
    changes = [{**did, "meta": {"lifetime": lifetime}} for did in connection.dids(files)]
    connection.client().set_dids_metadata_bulk(changes)


def _states(files: Sequence[Sequence[str]], rse: str) -> dict[str, str]:
    """Return the state of each replica at a storage element."""
    if not files:
        return {}
    answers = connection.client().list_replicas(
        connection.dids(files), all_states=True, rse_expression=rse, resolve_archives=False
    )
    states = {}
    for answer in answers:
        if not isinstance(answer, dict) or "name" not in answer:
            raise CallError(f"unexpected answer: {str(answer)[:200]!r}")
        if state := (answer.get("states") or {}).get(rse):
            states[f"{answer['scope']}:{answer['name']}"] = str(state)
    return states
