"""How the steps of a job ended: the runner writes it, the worker reads it."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ..records import asdict, dataclass
from ..report import REASONS, SUCCESS

RESULT_FILE = "result.json"
"""Its name in the scratch folder of the job."""
_LONGEST = 1 << 20
_LONGEST_MESSAGE = 50_000  # characters, each of which may take 12 bytes in JSON


@dataclass(frozen=True)
class Result:
    """How the steps of a job ended.

    Attributes:
        reason: One of `report.REASONS`.
        message: Explains it, if the exit status alone does not.
        exit_code: Of the command that failed; None if none failed, or a signal ended it.
        signal: Number of that signal, 0 for none.
    """

    reason: str = SUCCESS
    message: str = ""
    exit_code: int | None = None
    signal: int = 0

    @property
    def status(self) -> int:
        """Exit code of the runner: that of the command, as a shell would tell it; never 0."""
        if self.reason == SUCCESS:
            return 0
        return (128 + self.signal if self.signal else self.exit_code) or 1

    def write(self, scratch: Path) -> None:
        """Write it in one step.

        Args:
            scratch: The job's folder.

        Raises:
            OSError: It cannot be written.
        """
        part = scratch / f"{RESULT_FILE}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            values = asdict(self)
            values["message"] = self.message[:_LONGEST_MESSAGE]  # it may name 100,000 files
            stream.write(json.dumps(values))
        part.replace(scratch / RESULT_FILE)


def read_result(scratch: Path) -> Result | None:
    """Read the result of a job; None if there is none, or it is damaged.

    The payload can change the file, so it may be anything, and is no proof of success.

    Args:
        scratch: The job's folder.
    """
    try:
        handle = os.open(scratch / RESULT_FILE, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            values = json.loads(stream.read(_LONGEST))
        result = Result(**values)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    code, number = result.exit_code, result.signal
    sound = (
        result.reason in REASONS
        and isinstance(result.message, str)
        and (code is None or (type(code) is int and 0 <= code <= 255))
        and type(number) is int
        and 0 <= number <= 127
    )
    return result if sound else None


def not_created(names: Iterable[str]) -> str:
    """Return the message for outputs that are missing."""
    return f"the job succeeded but did not create {', '.join(names)}"
