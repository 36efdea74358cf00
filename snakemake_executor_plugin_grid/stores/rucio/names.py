"""Names of files in Rucio: ``rucio://scope/name``, where the name may have slashes."""

from __future__ import annotations

from ...model.errors import PermanentError

SCHEME = "rucio"
_PREFIX = f"{SCHEME}://"


def parse(name: str) -> tuple[str, str]:
    """Return scope and name of a file or dataset.

    Raises:
        PermanentError: It is none: says how one looks.
    """
    scope, found = parse_folder(name)
    if not found:
        raise PermanentError(f"{name} has a scope and no name: write {_PREFIX}scope/name")
    return scope, found


def parse_folder(name: str) -> tuple[str, str]:
    """Return scope and name of a folder; the name is empty for a whole scope.

    Raises:
        PermanentError: It is none.
    """
    if not name.startswith(_PREFIX):
        raise PermanentError(f"{name} is no name in Rucio: write {_PREFIX}scope/name")
    scope, _, rest = name[len(_PREFIX) :].partition("/")
    if not scope or ":" in scope:
        raise PermanentError(
            f"{name} has no scope: write {_PREFIX}scope/name for what Rucio shows as scope:name"
        )
    if any(character.isspace() or not character.isprintable() for character in name):
        raise PermanentError(f"{name!r} has blanks or other characters that Rucio does not take")
    if "*" in name:
        raise PermanentError(f"{name} has a *, which is no part of a name in Rucio")
    if ".." in rest.split("/"):
        raise PermanentError(f"{name} has .. in it, which is no part of a name in Rucio")
    return scope, rest


def build(scope: str, name: str) -> str:
    """Return the name of a file as a workflow uses it."""
    return f"{_PREFIX}{scope}/{name}"
