"""Runs checks and keeps their results."""

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
    """Result of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNTRIED = "untried"
    """A check that it needs has not succeeded."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: Of the check.
        result: Of the check.
        text: The state, or the problem and what to do.
        seconds: Duration.
        facts: See ``Told``.
    """

    name: str
    result: Result
    text: str
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


class Findings:
    """Runs checks one after the other and shows each result.

    Attributes:
        all: Results, in the order of the checks.
    """

    def __init__(self, begin: Callable[[str], None], show: Callable[[Finding], None]) -> None:
        """Start without results.

        Args:
            begin: Called with the name of a check before it runs.
            show: Called with its result.
        """
        self.all: list[Finding] = []
        self._begin = begin
        self._show = show

    @property
    def failed(self) -> bool:
        """Whether any check has failed."""
        return any(finding.result is Result.FAILED for finding in self.all)

    async def attempt(self, name: str, check: Check, *needs: str) -> None:
        """Run a check if the checks that it needs have succeeded; an error is a finding.

        Args:
            name: Of the check.
            check: Returns the state, or raises.
            needs: Names of other checks.
        """
        missing = [one for one in needs if not self._succeeded(one)]
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

    def _succeeded(self, name: str) -> bool:
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
        # A check does not wait for a server, so the reason for the wait is the result.
        return Result.FAILED, Told(in_words(error.__cause__ or error))
    except (GridError, WorkflowError, OSError) as error:
        return Result.FAILED, Told(in_words(error))
    except (Exception, SystemExit) as error:
        words = f"unexpected {type(error).__name__}: {error}; please report this"
        return Result.FAILED, Told(words)
    return (Result.WARNING if told.warning else Result.OK), told
