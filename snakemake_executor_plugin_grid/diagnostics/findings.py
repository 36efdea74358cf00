"""What the checks have found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

from ..backends.diagnostics import Check, Told, UntriedError
from ..model.errors import EndingError, GridError
from ..resilience.calls import in_words


class Result(Enum):
    """How a check has ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNTRIED = "untried"
    """Another check has failed that it needs."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: Of the check.
        result: How it has ended.
        text: What is there, or what is wrong and what to do.
        seconds: How long it took.
        facts: See ``Told``.
    """

    name: str
    result: Result
    text: str
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


class Findings:
    """Makes checks, one after the other, and shows of each what came of it.

    Attributes:
        all: What was found, in the order of the checks.
    """

    def __init__(self, begin: Callable[[str], None], show: Callable[[Finding], None]) -> None:
        """Have made no check yet.

        Args:
            begin: Told the name of a check that begins.
            show: Told what it has found.
        """
        self.all: list[Finding] = []
        self._begin = begin
        self._show = show

    @property
    def failed(self) -> bool:
        """Whether any check has failed."""
        return any(finding.result is Result.FAILED for finding in self.all)

    async def attempt(self, name: str, check: Check, *needs: str) -> None:
        """Make a check, unless one has not succeeded that it needs; errors are findings.

        Args:
            name: Of the check.
            check: Tells what is there, or raises.
            needs: Names of other checks.
        """
        missing = [one for one in needs if not self._good(one)]
        if missing:
            finding = Finding(name, Result.UNTRIED, f"needs this first: {', '.join(missing)}")
        else:
            self._begin(name)
            began = time.monotonic()
            result, told = await _outcome(check)
            seconds = round(time.monotonic() - began, 3)
            finding = Finding(name, result, told.text, seconds, told.facts)
        self.all.append(finding)
        self._show(finding)

    def _good(self, name: str) -> bool:
        return any(
            finding.name == name and finding.result in (Result.OK, Result.WARNING)
            for finding in self.all
        )


async def _outcome(check: Check) -> tuple[Result, Told]:
    try:
        told = await check()
    except UntriedError as error:
        return Result.UNTRIED, Told(str(error))
    except EndingError as error:
        # Nothing is waited for here: why it would have been is what counts.
        return Result.FAILED, Told(in_words(error.__cause__ or error))
    except (GridError, WorkflowError, OSError) as error:
        return Result.FAILED, Told(in_words(error))
    except (Exception, SystemExit) as error:
        words = f"unexpected {type(error).__name__}: {error}; please report this"
        return Result.FAILED, Told(words)
    return (Result.WARNING if told.warning else Result.OK), told
