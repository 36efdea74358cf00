from __future__ import annotations

import asyncio
from typing import Any

import pytest

from snakemake_executor_plugin_grid.resilience.calls import retry_async
from snakemake_executor_plugin_grid.worker.transfer.errors import PassingError, TransferError
from snakemake_executor_plugin_grid.worker.transfer.retry import retry

PAUSES = (1.0, 5.0)
CASES: dict[str, tuple[list[Any], list[float], Any]] = {
    "at once": (["done"], [], "done"),
    "after two errors": ([PassingError("1"), PassingError("2"), "done"], [1.0, 5.0], "done"),
    "never": ([PassingError("1"), PassingError("2"), PassingError("3")], [1.0, 5.0], PassingError),
    "with another error": ([PassingError("1"), TransferError("2"), "done"], [1.0], TransferError),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_calls_are_repeated_after_passing_errors_alone(case: str, asynchronous: bool) -> None:
    results, pauses, expected = CASES[case]
    left = iter(results)
    slept: list[float] = []

    def call() -> str:
        result = next(left)
        if isinstance(result, Exception):
            raise result
        return str(result)

    async def call_async() -> str:
        return call()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def run() -> str:
        if asynchronous:
            return asyncio.run(retry_async(call_async, PAUSES, PassingError, sleep))
        return retry(call, PAUSES, PassingError, slept.append)

    if isinstance(expected, str):
        assert run() == expected
    else:
        with pytest.raises(expected) as caught:
            run()
        assert type(caught.value) is expected
        assert str(caught.value) == str(len(pauses) + 1)
    assert slept == pauses
