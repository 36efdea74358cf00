"""Registers files, and keeps them by rules."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from . import connection, rows
from .errors import CallError, TakenError
from .names import expire, metadata

_SOON = 1.0
_LONGEST_QUERY = 2000


def write_urls(files: Sequence[Sequence[str]], rse: str, schemes: Sequence[str]) -> dict[str, str]:
    """Return the URLs under which new files have to be written at a storage element.

    Args:
        files: New files.
        rse: Name of the storage element.
        schemes: Of URLs, the best first: the first that the element can be written by is taken.

    Raises:
        CallError: There is none.
    """
    return urls_by(scheme_for(rse, schemes, ("write",)), files, rse)


def scheme_for(rse: str, schemes: Sequence[str], operations: tuple[str, ...]) -> str:
    """Return the first of some schemes by which a storage element can do all operations.

    Raises:
        CallError: There is none.
    """
    known: set[str] | None = None
    for operation in operations:
        protocols = connection.client().get_protocols(
            rse, protocol_domain="wan", operation=operation
        )
        found = {protocol["scheme"] for protocol in protocols}
        known = found if known is None else known & found
    for scheme in schemes:
        if scheme in (known or ()):
            return scheme
    what = "written" if operations == ("write",) else "used"
    others = f", only by {', '.join(sorted(known))}" if known else ""
    raise CallError(f"{rse} cannot be {what} by {' or '.join(schemes)}{others}")


def urls_by(scheme: str, files: Sequence[Sequence[str]], rse: str) -> dict[str, str]:
    """Return the URLs of files at a storage element, whether they exist or not."""
    client = connection.client()
    urls: dict[str, str] = {}
    for dids in _short([f"{scope}:{name}" for scope, name in files]):
        found = client.lfns2pfns(rse, dids, protocol_domain="wan", operation="write", scheme=scheme)
        urls.update({did: str(found[did]) for did in dids})
    return urls


def _short(dids: Sequence[str]) -> Iterator[list[str]]:
    """Split names into lists that are short enough for a URL."""
    some: list[str] = []
    length = 0
    for did in dids:
        length += len(quote(did)) + len("&lfn=")
        if some and length > _LONGEST_QUERY:
            yield some
            some, length = [], len(quote(did))
        some.append(did)
    if some:
        yield some


def register(
    files: Sequence[tuple[str, str, int, str]], rse: str, lifetime: int | None
) -> dict[str, str]:
    """Register files that have been written to a storage element, each with a rule.

    Args:
        files: Scope, name, size and adler32 of each. What is registered with this content stays.
        rse: Name of the storage element.
        lifetime: Of the rules in seconds, None for no end.

    Returns:
        Why, for each file that cannot be registered as its name is taken.
    """
    client = connection.client()
    before = {(row["scope"], row["name"]): row for row in metadata([file[:2] for file in files])}
    refused: dict[str, str] = {}
    new: list[dict[str, Any]] = []
    known: list[list[str]] = []
    expiring: list[list[str]] = []
    for scope, name, size, adler32 in files:
        row = before.get((scope, name))
        if row is None:
            new.append({"scope": scope, "name": name, "bytes": size, "adler32": adler32})
            continue
        try:
            _check_same(row, size, adler32)
        except TakenError as error:
            refused[f"{scope}:{name}"] = str(error)
            continue
        (known if row["expires"] is None else expiring).append([scope, name])
    if new:
        client.add_replicas(rse, new)
        dids = connection.dids([[file["scope"], file["name"]] for file in new])
        try:
            client.add_replication_rule(dids, copies=1, rse_expression=rse, lifetime=lifetime)
        except Exception:
            withdraw([[file["scope"], file["name"]] for file in new])
            raise
    keep(known, rse, lifetime, expiring=False)
    keep(expiring, rse, lifetime, expiring=True)
    return refused


def same(file: Sequence[str], size: int, adler32: str) -> dict[str, Any] | None:
    """Return the row of a file that exists with this content, None if nothing has its name.

    Raises:
        TakenError: The name is that of something else.
    """
    for row in metadata([file]):
        _check_same(row, size, adler32)
        return row
    return None


def _check_same(row: dict[str, Any], size: int, adler32: str) -> None:
    did = f"{row['scope']}:{row['name']}"
    if row["type"] != "FILE":
        raise TakenError(f"{did} is a {row['type'].lower()}")
    if (row["size"], row["adler32"]) != (size, adler32):
        removed = row["expires"] is not None and row["expires"] <= time.time()
        raise TakenError(
            f"{did} {'was removed, but is still' if removed else 'is'} registered with "
            f"{row['size']} bytes and the checksum {row['adler32'] or 'none'}, and this file has "
            f"{size} bytes and {adler32}"
        )


def withdraw(files: Sequence[Sequence[str]]) -> None:
    """End the lifetime of files that were registered, and for which no rule could be made."""
    client = connection.client()
    bare = [
        (row["scope"], row["name"])
        for row in metadata(files)
        if not list(client.list_did_rules(row["scope"], row["name"]))
    ]
    expire(bare)


def keep(files: Sequence[Sequence[str]], rse: str, lifetime: int | None, *, expiring: bool) -> None:
    """See that a rule keeps files for their lifetime, and that they do not expire before."""
    from rucio.common.exception import AccessDenied, DuplicateRule

    client = connection.client()
    for scope, name in files:
        if expiring:  # it was removed, and is wanted again
            client.set_metadata(scope, name, "lifetime", None)
        rules = [
            rule for rule in client.list_did_rules(scope, name) if rule["account"] == client.account
        ]
        did = connection.dids([[scope, name]])
        if not rules:
            with contextlib.suppress(DuplicateRule):  # a second attempt at the same time
                client.add_replication_rule(did, copies=1, rse_expression=rse, lifetime=lifetime)
            continue
        ends = [rows.seconds(rule["expires_at"], "expires_at") for rule in rules]
        latest = max((end for end in ends if end is not None), default=0.0)
        if None in ends or (lifetime is not None and latest >= time.time() + lifetime - _SOON):
            continue
        last = rules[ends.index(latest)]
        try:
            client.update_replication_rule(last["id"], {"lifetime": lifetime})
        except AccessDenied:
            # Many servers let only administrators change rules.
            if latest <= time.time():
                raise
