"""The URL of a store in Rucio: ``rucio://scope/prefix?rse=RSE&lifetime=30d``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlsplit

from ...model.duration import seconds_of
from ...model.errors import PermanentError
from . import names

FORM = "rucio://scope/prefix?rse=RSE, and &lifetime=30d if you like"
DEFAULT_LIFETIME = 30 * 86400
_SHORTEST = 86400
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_KEYS = ("rse", "lifetime")


@dataclass(frozen=True)
class Address:
    """A place for blobs in Rucio.

    Attributes:
        scope: Of the names.
        prefix: What names begin with, without a slash at the end.
        rse: Storage element.
        lifetime: Seconds for which Rucio keeps a blob after its last use by a run; None: nothing is
            kept longer than it is now.
    """

    scope: str
    prefix: str
    rse: str
    lifetime: int | None = DEFAULT_LIFETIME

    @property
    def url(self) -> str:
        """The URL without its query: what the names of files in it begin with."""
        return names.build(self.scope, self.prefix)


def parse(url: str) -> Address:
    """Return the address that ``--grid-store`` names.

    Raises:
        PermanentError: It is none: says what is wrong.
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    wrong = [key for key, _ in query if key not in _KEYS]
    given = dict(query)
    segments = parts.path.strip("/").split("/")
    if not parts.netloc or segments == [""]:
        raise _error(url, "has no scope, or no prefix for the names in it")
    for text in (parts.netloc, *segments):
        if not _PLAIN.fullmatch(text):
            raise _error(url, f"{text!r} has to have letters, digits, dots, - and _ only")
    if wrong or len(query) != len(given) or parts.fragment:
        raise _error(url, "has a parameter after the ? that is not known, or is there twice")
    if not _PLAIN.fullmatch(given.get("rse", "")):
        raise _error(url, "has to name one storage element by ?rse=RSE (see `rucio rse list`)")
    lifetime = seconds_of(given.get("lifetime", str(DEFAULT_LIFETIME)))
    if lifetime is None or lifetime < _SHORTEST:
        raise _error(url, "lifetime= has to be a day (1d) or more: jobs wait before they run")
    return Address(parts.netloc, "/".join(segments), given["rse"], lifetime)


def known(url: str, rse: str) -> Address:
    """Return the address of a store that a run has noted, for looking at what is there.

    Raises:
        PermanentError: The note is damaged.
    """
    return replace(parse(f"{url}?rse={rse}"), lifetime=None)


def _error(url: str, problem: str) -> PermanentError:
    return PermanentError(f"--grid-store {url}: {problem}; give {FORM}.")
