"""Which PanDA queues are near a storage element of Rucio (RSE): a file says it, Rucio cannot.

One line for each RSE, with its queues behind it, or a JSON object ``{"RSE": ["QUEUE", …]}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ...model.errors import PermanentError
from ...model.job import JobSpec, words
from ..placement import place

RseSites = Mapping[str, tuple[str, ...]]
"""The queues of each RSE."""

_OPTION = "--grid-panda-rse-sites"
_RSE = re.compile(r"[A-Za-z0-9_.-]+")
_QUEUE = re.compile(r"[^\s,/()|^$*+?\\]+")
_FORM = "has to be one RSE and its queues on a line, as in: CERN-DISK CERN CERN_MCORE"


def read_rse_sites(path: Path) -> RseSites:
    """Return what a file says.

    Raises:
        PermanentError: It cannot be read, or makes no sense: names option, file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise PermanentError(f"{_OPTION} {path}: cannot be read: {reason}") from None
    found = _json(path, text) if text.lstrip().startswith("{") else _lines(path, text)
    if not found:
        raise PermanentError(f"{_OPTION} {path}: names no RSE; it {_FORM}")
    return found


def data_sites(spec: JobSpec, rse_sites: RseSites, allowed: Callable[[str], bool]) -> list[str]:
    """Return the queues where a job finds all its inputs on the grid, else most of their bytes.

    Args:
        spec: The job.
        rse_sites: The queues of each RSE; others are near no queue.
        allowed: Returns whether the job may run there.

    Returns:
        Their names, sorted; none if the inputs are near no queue that is allowed.
    """
    if not rse_sites or not spec.grid_elements:
        return []
    near = {rse: [site for site in sites if allowed(site)] for rse, sites in rse_sites.items()}
    sizes = {one.query: one.size for one in spec.grid_inputs}
    found = place(spec.grid_elements, len(spec.grid_elements), sizes, near, same_names=True)
    return sorted(found.sites)


def unknown_rses(spec: JobSpec, rse_sites: RseSites) -> set[str]:
    """Return the RSEs with inputs of a job of which the file says nothing."""
    if not rse_sites:
        return set()
    return {rse for rses in spec.grid_elements.values() for rse in rses if rse not in rse_sites}


def about_unknown(rse: str) -> str:
    """Return what the user is told of such an RSE."""
    return (
        f"{_OPTION} has no entry for {rse}: files that are only there do not decide where jobs run."
    )


def _lines(path: Path, text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        rse, *sites = words(line.partition("#")[0]) or ("",)
        if rse:
            _add(found, rse, sites, f"{_OPTION} {path}, line {number}")
    return found


def _json(path: Path, text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise PermanentError(f"{_OPTION} {path}, line {line}: is no JSON ({error})") from None
    seen = 0
    for rse, sites in pairs:
        at = text.find(json.dumps(rse, ensure_ascii=False), seen)
        seen = max(seen, at + 1)
        _add(found, rse, sites, f"{_OPTION} {path}, line {text.count(chr(10), 0, seen) + 1}")
    return found


def _add(found: dict[str, tuple[str, ...]], rse: str, sites: object, where: str) -> None:
    if rse in found:
        raise PermanentError(f"{where}: {rse} is named twice; put all its queues into one entry")
    if not _RSE.fullmatch(rse):
        raise PermanentError(f"{where}: {rse!r} is no name of an RSE; it {_FORM}")
    if not isinstance(sites, list) or not all(isinstance(site, str) for site in sites):
        raise PermanentError(f'{where}: {rse} needs a list of queues, as in "{rse}": ["QUEUE"]')
    if not sites:
        raise PermanentError(f"{where}: {rse} has no queue; name one, or remove the entry")
    for site in sites:
        if not _QUEUE.fullmatch(site):
            raise PermanentError(f"{where}: {site!r} is no name of a queue")
    found[rse] = tuple(dict.fromkeys(sites))
