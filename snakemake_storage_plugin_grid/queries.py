"""What a query may be: the name of a file in a catalog, also with wildcards."""

from __future__ import annotations

import re

from snakemake_interface_storage_plugins.io import WILDCARD_REGEX

SCHEMES = ("lfn", "rucio")
_FORMS = "lfn:/vo/path for the file catalog of DIRAC, rucio://scope/name for Rucio"
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_STAND_IN = "x"
"""Takes the place of a wildcard: its value is checked when it is known."""


def scheme_of(query: str) -> str:
    """Return what a query begins with, before the colon, in lower case."""
    return query.partition(":")[0].lower() if ":" in query else ""


def normalized(query: str) -> str:
    """Return a query with its scheme in lower case: some write ``LFN:/vo/…``.

    A query may be a text of Snakemake's with flags, such as that of ``temp()``; they stay.
    """
    scheme, colon, rest = query.partition(":")
    if not colon or scheme == scheme.lower() or scheme.lower() not in SCHEMES:
        return query
    new = type(query)(f"{scheme.lower()}:{rest}")
    if (flags := getattr(query, "flags", None)) is not None:
        new.flags = flags  # type: ignore[attr-defined]
    return new


def has_wildcards(query: str) -> bool:
    """Return whether a query is a pattern."""
    return WILDCARD_REGEX.search(query) is not None


def problem_with(query: str) -> str:
    """Return what is wrong with a query; empty if nothing is."""
    plain = WILDCARD_REGEX.sub(_STAND_IN, query)
    scheme = scheme_of(plain)
    if scheme not in SCHEMES:
        return f"it has to be {_FORMS}"
    rest = plain[len(scheme) + 1 :]
    if scheme == "lfn":
        if not rest.startswith("/") or rest.startswith("//"):
            return "an LFN has one slash after the colon, and begins with the VO: lfn:/vo/path"
        parts = rest[1:].split("/")
    else:
        if not rest.startswith("//") or rest.startswith("///"):
            return "a name in Rucio has two slashes after the colon: rucio://scope/name"
        parts = rest[2:].split("/")
    if parts[-1] == "":
        return "it ends with a slash, so it is a folder, and only files can be inputs and outputs"
    if len(parts) < 2:
        return f"it has to be {_FORMS}"
    if ".." in parts or "." in parts or "" in parts:
        return (
            "it has an empty component, or one that is . or .., which a catalog does not have; "
            "for a file beside the default prefix use local(…)"
        )
    if _UNPRINTABLE.search(plain):
        return "it has a character that cannot be printed"
    return ""


def local_suffix(query: str) -> str:
    """Return the path of the local copy below the prefix: unique, readable, nowhere else."""
    scheme, _, rest = query.partition(":")
    return f"{scheme}/{rest.lstrip('/')}"


def folder_of(query: str) -> str:
    """Return the query of the folder in which all files are that a pattern can match."""
    match = WILDCARD_REGEX.search(query)
    constant = query[: match.start()] if match else query
    folder = constant.rpartition("/")[0]
    # Nothing but a slash is left of lfn:/{vo}/…, and that is the whole catalog.
    return folder if folder.rstrip("/").partition(":")[2] else f"{scheme_of(query)}:/"
