"""Questions of several threads become one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from snakemake_executor_plugin_grid.model.errors import TransientError
from snakemake_executor_plugin_grid.stores.rucio.together import Together


class Server:
    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.error: Exception | None = None

    def double(self, numbers: Sequence[int]) -> dict[int, int]:
        self.asked.append(sorted(numbers))
        self.begun.set()
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return {number: 2 * number for number in numbers}


def test_questions_gather_while_a_call_is_under_way() -> None:
    server = Server()
    together = Together(server.double)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(together.of, 0)
        assert server.begun.wait(10)
        others = [pool.submit(together.of, number) for number in range(1, 9)]
        while together._next is None or len(together._next.keys) < 8:
            pass
        server.gate.set()
        assert [one.result(10) for one in (first, *others)] == [0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert server.asked == [[0], [1, 2, 3, 4, 5, 6, 7, 8]]


def test_an_error_is_one_of_those_who_asked_only() -> None:
    server = Server()
    server.gate.set()
    together = Together(server.double)
    server.error = TransientError("down")
    with pytest.raises(TransientError, match="down"):
        together.of(1)
    server.error = None
    assert together.of(1) == 2
