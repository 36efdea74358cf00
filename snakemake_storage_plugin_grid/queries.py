"""What a query may be: the name of a file in a catalog, also with wildcards."""

from __future__ import annotations

import re

from snakemake_interface_storage_plugins.io import WILDCARD_REGEX

XROOTD = ("root", "roots", "xroot")
READ_ONLY = ("https", "http")
"""Schemes of servers to which no token or proxy is sent."""
URLS = ("davs", "dav", *READ_ONLY, *XROOTD)
"""Schemes of files that no catalog knows: their names are their URLs."""
SCHEMES = ("lfn", "rucio", *URLS)
_FORMS = (
    "lfn:/vo/path for the file catalog of DIRAC, rucio://scope/name for Rucio, davs://host/path or "
    "root://host//path for a storage server"
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_STAND_IN = "x"
"""Takes the place of a wildcard: its value is checked when it is known."""


def scheme_of(query: str) -> str:
    """Return what a query begins with, before the colon, in lower case."""
    return query.partition(":")[0].lower() if ":" in query else ""


def catalog_of(query: str) -> str:
    """Return the name of the catalog that has a file: its scheme, ``url`` for those of servers."""
    scheme = scheme_of(query)
    return "url" if scheme in URLS else scheme


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
    elif scheme in URLS:
        if problem := _problem_with_url(scheme, rest):
            return problem
        parts = rest.lstrip("/").split("/")
        if scheme in XROOTD:
            del parts[1:2]  # between the two slashes behind the host
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


def _problem_with_url(scheme: str, rest: str) -> str:
    slash = "//" if scheme in XROOTD else "/"
    form = f"{scheme}://host{slash}path"
    host = rest[2:].partition("/")[0]
    if not rest.startswith("//") or not host:
        return f"it names no server: it has to be {form}"
    if "@" in host:
        return "it has a user: names are shown and noted; give credentials by a token or proxy file"
    if "?" in rest or "#" in rest:
        return "it has a query or fragment (a question mark or #), which the name of a file has not"
    path = rest[2 + len(host) :]
    if not path.startswith(slash) or path[len(slash) :].startswith("/"):
        behind = "two slashes" if slash == "//" else "one slash"
        return f"it has to have {behind} behind the server: {form}"
    return ""


def local_suffix(query: str) -> str:
    """Return the path of the local copy below the prefix: unique, readable, nowhere else."""
    scheme, _, rest = query.partition(":")
    return f"{scheme}/{rest.lstrip('/').replace('//', '/')}"


def folder_of(query: str) -> str:
    """Return the query of the folder in which all files are that a pattern can match."""
    match = WILDCARD_REGEX.search(query)
    constant = query[: match.start()] if match else query
    folder = constant.rpartition("/")[0]
    # Nothing but a slash is left of lfn:/{vo}/…, and that is the whole catalog.
    return folder if folder.rstrip("/").partition(":")[2] else f"{scheme_of(query)}:/"
