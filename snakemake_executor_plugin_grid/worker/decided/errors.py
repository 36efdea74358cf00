"""The error that ends a job."""

from __future__ import annotations

from ..report import NO_RUNTIME, OUTPUT_MISSING, PAYLOAD_FAILED
from .result import Result, not_created


class StepError(Exception):
    """A step has failed.

    Attributes:
        result: Why.
    """

    def __init__(self, result: Result) -> None:
        """Keep the result."""
        super().__init__(result.message)
        self.result = result


def failed(message: str) -> StepError:
    """Return the error of a step whose command may have succeeded."""
    return StepError(Result(PAYLOAD_FAILED, message))


def lacking(message: str) -> StepError:
    """Return the error for something that the worker node lacks."""
    return StepError(Result(NO_RUNTIME, message))


def without_outputs(paths: list[str]) -> StepError:
    """Return the error for outputs that do not exist."""
    return StepError(Result(OUTPUT_MISSING, not_created(paths)))
