"""Explains the error codes of PanDA's jobs, and whether the site or the payload has failed.

The codes are those of the pilot (``common/errorcodes.py`` of pilot 3), of runGen (panda-wnscript)
and of panda-server 1.0.4: ``taskbuffer``, ``jobdispatcher`` and ``dataservice``.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...worker.report import NO_REPORT


@dataclass(frozen=True)
class Explained:
    """Why a job has failed.

    Attributes:
        text: In words for the person at the terminal, with what to do where that is known; empty
            if PanDA gives no reason.
        infrastructure: A site or the system has failed, not the payload.
    """

    text: str
    infrastructure: bool = False


def _site(text: str) -> Explained:
    return Explained(text, infrastructure=True)


_MORE_TIME = "ask for more by the resource runtime"
_MORE_MEMORY = "ask for more by mem_mb"
_MORE_DISK = "ask for more by disk_mb"
_BAD_ALLOC = Explained(f"the payload could not get the memory that it wanted: {_MORE_MEMORY}")
_OUT_OF_MEMORY = Explained(f"the payload used more memory than it may: {_MORE_MEMORY}")
_LATE = Explained(f"the job ran longer than it may: {_MORE_TIME}")
_KILLED = Explained("somebody killed the job")
_NO_SANDBOX = _site("the worker node could not get the job's sandbox from the PanDA server")
_BAD_SANDBOX = _site("the job's sandbox arrived damaged at the worker node")
_STAGE_IN = _site("the pilot could not bring the job's input")
_STAGE_OUT = _site("the pilot could not store the job's output or log")
_CREDENTIALS = _site("the pilot's own credentials at the site are missing or have expired")
_CONTAINER = _site("the site could not start the job's container")
_SETUP = _site("the site could not set up the payload's environment")
_BATCH = _site("the batch system of the site ended the job")
_PILOT = _site("the pilot broke down")
_SITE = _site("the worker node is not as it should be")
_QUEUE = _site("the queue of the site is not set up as it should be")
_SILENT = _site("the worker node has not been heard of for too long")

PILOT: dict[int, Explained] = {
    # Errors of the payload, or of its requirements
    1104: Explained(f"the files of the job take more disk than they may: {_MORE_DISK}"),
    1106: Explained("the payload printed more than it may: let it write to a file instead"),
    1124: Explained("an output is larger than the site allows"),
    1150: Explained(
        "the payload wrote to no file for long, so the pilot took it to loop and ended it"
    ),
    1165: Explained("an output is missing"),
    1168: Explained(f"the inputs of the job take more disk than it asks for: {_MORE_DISK}"),
    1203: Explained("the payload crashed (SIGSEGV)"),
    1204: Explained(f"the job used more processor time than it may: {_MORE_TIME}"),
    1205: _KILLED,
    1212: _OUT_OF_MEMORY,
    1213: _LATE,
    1220: Explained("the payload failed without a word"),
    1223: _BAD_ALLOC,
    1235: _OUT_OF_MEMORY,
    1305: Explained("the payload failed"),
    1315: Explained("the payload failed"),
    1328: Explained("the payload crashed (SIGSEGV)"),
    1355: Explained("the payload crashed and left a core dump"),
    1360: Explained("the job's container image was not found: see grid_panda_container"),
    1144: _KILLED,
    # Errors of the site or the system
    1008: _PILOT,
    1098: _site("the disk of the worker node ran full"),
    1099: _STAGE_IN,
    1100: _STAGE_IN,
    1103: _STAGE_IN,
    1110: _SETUP,
    1115: _SITE,
    1116: _QUEUE,
    1117: _QUEUE,
    1133: _QUEUE,
    1137: _STAGE_OUT,
    1141: _STAGE_OUT,
    1143: _SITE,
    1145: _STAGE_IN,
    1149: _site("the site could not get runGen, which starts the payload"),
    1151: _STAGE_IN,
    1152: _STAGE_OUT,
    1163: _CREDENTIALS,
    1171: _STAGE_IN,
    1172: _STAGE_OUT,
    1177: _CREDENTIALS,
    1180: _STAGE_IN,
    1181: _STAGE_OUT,
    1186: _SETUP,
    1199: _SITE,
    **dict.fromkeys((1200, 1201, 1202, 1206, 1207, 1208), _BATCH),
    1211: _SETUP,
    1236: _site("the server failed the job"),
    1244: _SETUP,
    1246: _NO_SANDBOX,
    **dict.fromkeys((1300, 1301, 1302, 1303, 1310, 1319), _PILOT),
    **dict.fromkeys((1306, 1307, 1308, 1309, 1325, 1340, 1345, 1348, 1372, 1384), _CONTAINER),
    **dict.fromkeys((1313, 1341, 1359, 1386), _QUEUE),
    1316: _STAGE_IN,
    1317: _SILENT,
    1318: _site("the worker node could not reach the server"),
    1320: _STAGE_OUT,
    1321: _STAGE_IN,
    1322: _STAGE_IN,
    1324: _SITE,
    1326: _STAGE_IN,
    1327: _STAGE_IN,
    1331: _STAGE_IN,
    1332: _SITE,
    1333: _site("the disk of the worker node or of the storage is full"),
    1334: _SETUP,
    1335: _site("the job's sandbox is not on the PanDA server any more"),
    1336: _site("the job ran elsewhere already"),
    1338: _STAGE_IN,
    1342: _SITE,
    1344: _SITE,
    1346: _site("the site could not get runGen, which starts the payload"),
    1353: _SITE,
    1364: _CREDENTIALS,
    1365: _SITE,
    1373: _CREDENTIALS,
    1375: _BATCH,
    1376: _STAGE_OUT,
    1377: _site("CVMFS does not answer on the worker node"),
    1379: _site("the job was preempted"),
    1380: _CREDENTIALS,
    1381: _CREDENTIALS,
    1382: _CREDENTIALS,
    1383: _STAGE_OUT,
}
"""By ``pilotErrorCode``."""

RUN_GEN: dict[int, Explained] = {
    5301: _site("runGen, which starts the payload, was not called as it should be"),
    5303: _NO_SANDBOX,
    5309: _BAD_SANDBOX,
    5317: _BAD_SANDBOX,
}
"""By ``exeErrorCode``: 5300 and the exit code of runGen."""

EXIT: dict[int, Explained] = {
    NO_REPORT: _site("the worker could not read its job, or not bring its report to the store"),
    127: _site("there is no Python 3.9 or later on the worker node"),
    137: Explained(
        f"the payload was killed (SIGKILL), mostly because it used too much memory: {_MORE_MEMORY}"
    ),
    143: _BAD_SANDBOX,
    146: _NO_SANDBOX,
    152: Explained(f"the job used more processor time than it may: {_MORE_TIME}"),
}
"""By ``transExitCode``: of runGen where the payload has not run, else of the payload."""

SERVER: dict[str, dict[int, Explained]] = {
    "jobDispatcherErrorCode": {
        100: _SILENT,
        101: _site("the server could not recover the job"),
        102: _site("the pilot that got the job has not been heard of again"),
        103: _site("the server has waited too long for the last word on the job"),
        104: _site("the job's output has not arrived in time"),
        105: _SILENT,
    },
    "taskBufferErrorCode": {
        101: _site("the job's output has not arrived in time"),
        102: _site("the job has waited too long in the queue of a site"),
        103: _site("the server gave the job up"),
        105: _site("the server took the job away from a site that did not start it"),
        106: _site("the server sent the job to another site"),
        107: _site("the pilot started the job again"),
        130: _site("the server took the job away from a site that did not start it"),
        300: _site("the worker on the site ended before the job"),
    },
    "supErrorCode": {
        1: _site("the batch system of the site does not know the job"),
        2: _site("the worker on the site ended before the job"),
    },
    "ddmErrorCode": dict.fromkeys(
        (100, 101, 200, 201, 203, 204, 205, 206),
        _site("the job ended without a word of the pilot, or its files could not be registered"),
    ),
    "brokerageErrorCode": {},
}
"""By the code of a part of the server."""

_FROM_EXIT = frozenset({1103, 1199, 1305})
"""Pilot codes that may only interpret the payload's exit code or stderr."""
_KILL = 100
_KILLED_BY_SERVER = _site("the server ended the job")
# Otherwise the diagnosis is "killed by" and the name of a person.
_NO_PERSON = ("by jedi", "by panda", "by the pilot", "by pilot")
_NOTHING = frozenset({"", "null", "none", "0"})
_LONGEST = 400


def explain(job: Mapping[str, Any]) -> Explained:
    """Return why a job has failed, from its description.

    A payload that never came to an exit code was failed by something else: so what no table knows
    is blamed on the infrastructure, unless there is an exit code.

    Args:
        job: With the keys of the server's ``JobSpec``; what has no value may be missing, None,
            0 or ``NULL``.
    """
    found, words = _reason(job), _own_words(job)
    if found is None:
        return Explained(f"PanDA says: {words}", infrastructure=True) if words else Explained("")
    return Explained(f"{found.text} (PanDA: {words})", found.infrastructure)


def _reason(job: Mapping[str, Any]) -> Explained | None:
    pilot, exe = _code(job, "pilotErrorCode"), _code(job, "exeErrorCode")
    # The pilot gives the exit code as either, or as both.
    exit_code = _code(job, "transExitCode") or (exe if 0 < exe < 256 else 0)
    said = _diagnosis(job, "taskBufferErrorCode").casefold()
    # While a pilot ends, the server has given the reason, but no code yet. The pilot reports its
    # own kill in several ways.
    if _code(job, "taskBufferErrorCode") == _KILL or said.startswith("killed by"):
        by_person = "killed by" in said and not any(word in said for word in _NO_PERSON)
        return _KILLED if by_person else _KILLED_BY_SERVER
    if exe in RUN_GEN:
        return RUN_GEN[exe]
    if pilot in PILOT and not (pilot in _FROM_EXIT and exit_code):
        return PILOT[pilot]
    if exit_code:
        return _of_exit(exit_code)
    for name, table in SERVER.items():
        if _code(job, name) in table:
            return table[_code(job, name)]
    return None


def _of_exit(code: int) -> Explained:
    if code in EXIT:
        return EXIT[code]
    text = f"the payload ended with exit code {code}"
    try:
        return Explained(f"{text} ({signal.Signals(code - 128).name})")
    except ValueError:
        return Explained(text)


def _own_words(job: Mapping[str, Any]) -> str:
    """Return the parts, codes and diagnoses in PanDA's words."""
    said = []
    for name in ("pilotErrorCode", "exeErrorCode", *SERVER, "transExitCode"):
        code, diagnosis = _code(job, name), _diagnosis(job, name)
        if code or diagnosis:
            part = "exit code" if name == "transExitCode" else name.removesuffix("ErrorCode")
            number = f" {code}" if code else ""
            said.append(f"{part}{number}" + (f": {diagnosis}" if diagnosis else ""))
    line = "; ".join(said)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def _code(job: Mapping[str, Any], name: str) -> int:
    try:
        return int(job.get(name) or 0)
    except (TypeError, ValueError):
        return 0


def _diagnosis(job: Mapping[str, Any], name: str) -> str:
    if not name.endswith("ErrorCode"):
        return ""
    text = " ".join(str(job.get(f"{name.removesuffix('Code')}Diag") or "").split())
    return "" if text.casefold() in _NOTHING else text
