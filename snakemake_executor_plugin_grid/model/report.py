"""Reads ``report.json`` on the submit host; a report is hostile until it is read by this module.

A report of an earlier version of this package may lack a field, which then has its default: a run
goes on after an upgrade. It never has a field that this version does not know, so a report with
one is refused.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..worker.archive.member import MAX_SECONDS, Member, TarballError
from ..worker.grid_files.records import Stored
from ..worker.report import KINDS, LISTED, REASONS, STEPS, Report, Returned
from ..worker.tree import ancestry
from .names import NAME_PATTERN
from .untrusted import UntrustedError, checked_digest, parse_json, printable, read_untrusted

MOST_BYTES = 64 << 20
"""Size of the largest report that is read: one of some 200,000 returned files."""
_LARGE = 1 << 20  # bytes
_BYTES_PER_BRACKET = 32  # a returned file takes 100 for each, but may have some in its name
_one_large = threading.Lock()
_MOST_ENTRIES = 2_000_000
_MOST_SIZE = 1 << 62  # bytes
_MOST_NUMBER = 1e15
_LONGEST_MESSAGE = 10_000  # characters
_LONGEST_TEXT = 1_000
_LONGEST_TARGET = 4095  # bytes
_IN_JOURNAL = 100
_ROOT = re.compile(r"work|up[1-9][0-9]{0,2}")
_NAME = re.compile(NAME_PATTERN)
_MEMBER = {"name", "kind", "mode", "size", "mtime_ns", "sha256", "target", "holes"}
_RETURNED = {"member", "kind", "blob", "raw"}
_STORED = {"query", "size", "adler32"}
_ADLER32 = re.compile(r"[0-9a-f]{8}")

_Check = Callable[[Any], Any]
"""Returns the value of a field; raises `UntrustedError` if it is wrong."""


def load_report(path: Path) -> Report:
    """Read a report that a worker has left.

    Raises:
        UntrustedError: It is damaged; says in what.
        OSError: It cannot be read.
    """
    size = path.lstat().st_size
    if size > MOST_BYTES:
        raise UntrustedError(
            f"it has more than {MOST_BYTES >> 20} MiB; if the job returns hundreds of thousands of "
            "files, let the rule pack them into an archive"
        )
    # In memory a report takes ten times its size.
    with _one_large if size > _LARGE else contextlib.nullcontext():
        return parse_report(read_untrusted(path, MOST_BYTES))


def parse_report(data: bytes) -> Report:
    """Check and read the text of a report.

    In what is returned, names are relative paths without ``..`` below ``work`` or ``up1``, ``up2``,
    …, each of them once and none below a file or link; digests are digests, numbers are finite and
    within limits, and texts for the user have no control characters.

    Raises:
        UntrustedError: It is damaged; says in what.
    """
    # Empty objects would take thirty times their size.
    if len(data) > _LARGE and _BYTES_PER_BRACKET * sum(map(data.count, (b"{", b"["))) > len(data):
        raise UntrustedError("it has more brackets than the files that it could list need")
    fields = parse_json(data)
    if not isinstance(fields, dict):
        raise UntrustedError("it is no JSON object")
    for key in ("name", "returned"):
        if key not in fields:
            raise UntrustedError(f"it has no {key!r}")
    report = Report(**{key: _field(_FIELDS, key, value) for key, value in fields.items()})
    _check_names(report.returned)
    _check_blobs(report)
    return report


def for_journal(report: Report, logs: Iterable[str] = ()) -> dict[str, Any]:
    """Return the fields of a report, without what would fill the journal.

    ``returned`` is the number of files; of long lists only the beginning is kept.

    Args:
        report: Of the worker.
        logs: Names of the rule's own logs that came back.
    """
    return {
        **vars(report),
        "returned": len(report.returned),
        "missing": report.missing[:_IN_JOURNAL],
        "left_out": report.left_out[:_IN_JOURNAL],
        "blobs": dict(list(report.blobs.items())[:_IN_JOURNAL]),
        "logs": list(logs)[:_IN_JOURNAL],
        "stored": len(report.stored),
        "grid_out": sum(one.size for one in report.stored),
    }


def _field(checks: dict[str, _Check], key: str, value: Any) -> Any:
    if key not in checks:
        raise UntrustedError(f"it has an unknown field {key!r:.100}")
    try:
        return checks[key](value)
    except UntrustedError as error:
        raise UntrustedError(f"{key}: {error}") from None


def _text(longest: int = _LONGEST_TEXT) -> _Check:
    """Take a text for the user; it is cleaned and shortened, as a long one is no damage."""

    def check(value: Any) -> str:
        return printable(_exactly(str, value), longest)

    return check


def _exactly(kind: type, value: Any) -> Any:
    """Refuse values of another type, also of a subtype: ``true`` is no number."""
    if type(value) is not kind:
        raise UntrustedError(f"is no {_WORDS[kind]}")
    return value


_WORDS = {str: "text", list: "list", dict: "object", bool: "truth value", int: "whole number"}


def _whole(most: int) -> _Check:
    def check(value: Any) -> int:
        if not 0 <= _exactly(int, value) <= most:
            raise UntrustedError(f"is not between 0 and {most}")
        return int(value)

    return check


def _number(most: float) -> _Check:
    def check(value: Any) -> float:
        if type(value) not in (int, float):
            raise UntrustedError("is no number")
        if not 0 <= value <= most:  # also not for NaN
            raise UntrustedError(f"is not between 0 and {most:g}")
        return float(value)

    return check


def _one_of(known: Sequence[str]) -> _Check:
    def check(value: Any) -> str:
        if _exactly(str, value) not in known:
            raise UntrustedError(f"is {value!r:.100}, which is unknown")
        return str(value)

    return check


def _many(check_one: _Check, most: int = _MOST_ENTRIES) -> _Check:
    def check(value: Any) -> list[Any]:
        if len(_exactly(list, value)) > most:
            raise UntrustedError(f"has more than {most} entries")
        return [check_one(entry) for entry in value]

    return check


_kind = _one_of(KINDS)


def _job_name(value: Any) -> str:
    if not _NAME.fullmatch(_exactly(str, value)):
        raise UntrustedError("is no name of a job")
    return str(value)


def _exit_code(value: Any) -> int | None:
    return None if value is None else int(_whole(255)(value))


def _times(value: Any) -> dict[str, float]:
    check = dict.fromkeys(STEPS, _number(MAX_SECONDS))
    return {step: _field(check, step, time) for step, time in _exactly(dict, value).items()}


def _blobs(value: Any) -> dict[str, int]:
    if len(_exactly(dict, value)) > _MOST_ENTRIES:
        raise UntrustedError(f"has more than {_MOST_ENTRIES} entries")
    size_of = _whole(_MOST_SIZE)
    return {checked_digest(digest): size_of(size) for digest, size in value.items()}


def _digest(value: Any) -> str:
    return checked_digest(_exactly(str, value))


def _returned(value: Any) -> Returned:
    _only(_exactly(dict, value), _RETURNED)
    try:
        _only(_exactly(dict, value["member"]), _MEMBER)
        member = Member.from_json(value["member"])
        kind, blob, raw = value["kind"], _digest(value["blob"]), value.get("raw", False)
    except KeyError as error:
        raise UntrustedError(f"an entry has no {error}") from None
    except TarballError as error:
        raise UntrustedError(str(error)) from None
    problem = _problem(member)
    if problem:
        raise UntrustedError(f"{member.name!r:.300} {problem}")
    return Returned(member, _kind(kind), blob, _exactly(bool, raw))


def _stored(value: Any) -> Stored:
    _only(_exactly(dict, value), _STORED)
    try:
        query, size, adler32 = (value[name] for name in ("query", "size", "adler32"))
    except KeyError as error:
        raise UntrustedError(f"an entry has no {error}") from None
    if not _ADLER32.fullmatch(_exactly(str, adler32)):
        raise UntrustedError(f"{adler32!r:.100} is no Adler-32")
    return Stored(_exactly(str, query), _whole(_MOST_SIZE)(size), adler32)


def _only(value: dict[str, Any], known: set[str]) -> None:
    if not value.keys() <= known:
        raise UntrustedError(f"an entry has an unknown field {min(value.keys() - known)!r:.100}")


def _problem(member: Member) -> str:
    """Return what is wrong with a member, beyond what `Member.from_json` checks."""
    if not _ROOT.fullmatch(member.name.partition("/")[0]):
        return "is neither in 'work' nor in 'up1', 'up2', …"
    if member.kind == "file" and not member.sha256:
        return "has no SHA-256"
    if member.kind != "file" and (member.size or member.sha256 or member.holes):
        return f"is a {member.kind}, which has neither size nor SHA-256"
    if not member.target:
        return ""
    try:
        long = len(member.target.encode("utf-8", "surrogateescape")) > _LONGEST_TARGET
    except UnicodeEncodeError:
        long = True
    if long or "\0" in member.target or member.kind != "link":
        return "has an impossible target of a link"
    return ""


_FIELDS: dict[str, _Check] = {
    "name": _job_name,
    "reason": _one_of(REASONS),
    "message": _text(_LONGEST_MESSAGE),
    "exit_code": _exit_code,
    "signal": _whole(255),
    "host": _text(),
    "site": _text(),
    "wms_id": _text(),
    "python": _text(),
    "times": _times,
    "cpu_seconds": _number(_MOST_NUMBER),
    "peak_memory_mb": _number(_MOST_NUMBER),
    "bytes_in": _whole(_MOST_SIZE),
    "bytes_out": _whole(_MOST_SIZE),
    "returned": _many(_returned),
    "missing": _many(_text()),
    "undeclared": _many(_text(), LISTED),
    "undeclared_count": _whole(_MOST_SIZE),
    "left_out": _many(_text()),
    "blobs": _blobs,
    "grid_in": _whole(_MOST_SIZE),
    "stored": _many(_stored),
}


def _check_names(returned: Sequence[Returned]) -> None:
    """Refuse a report that lists a name twice, or a name below something that is not a folder."""
    kinds = {item.member.name: item.member.kind for item in returned}
    if len(kinds) < len(returned):
        raise UntrustedError("returned: a name is there twice")
    for folder in {name.rpartition("/")[0] for name in kinds}:
        for name in ancestry(folder):
            if kinds.get(name, "dir") != "dir":
                raise UntrustedError(f"returned: {name!r:.300} is no folder, but has files in it")


def _check_blobs(report: Report) -> None:
    """Refuse a report in which ``returned`` and ``blobs`` contradict each other."""
    if {item.blob for item in report.returned} != report.blobs.keys():
        raise UntrustedError("blobs: they are not those of the returned files")
    for item in report.returned:
        member = item.member
        if item.raw and (
            (member.kind, member.sha256, member.size, member.holes)
            != ("file", item.blob, report.blobs[item.blob], 0)
        ):
            raise UntrustedError(f"it contradicts itself about {member.name!r:.300}")
