"""Calls that hang, beside transfers that must not begin again because of them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.dirac.client import Client as DiracClient
from snakemake_executor_plugin_grid.backends.panda.client import Client as PandaClient
from snakemake_executor_plugin_grid.client_process import process as module
from snakemake_executor_plugin_grid.client_process import serve
from snakemake_executor_plugin_grid.client_process.client import ProcessClient
from snakemake_executor_plugin_grid.model.errors import GridError, TransientError
from snakemake_executor_plugin_grid.stores.xrootd import Client as XRootDClient

PROGRAM = f"""
import os, sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(serve.__file__).parent)!r})
from serve import serve

FOLDER = Path(__file__).parent


def start():
    with (FOLDER / "starts").open("a") as starts:
        starts.write(f"{{os.getpid()}}\\n")
    return {{"fact": 1}}


def work(name):
    (FOLDER / f"{{name}}.began").touch()
    while not (FOLDER / name).exists():
        time.sleep(0.01)
    return os.getpid()


CALLS = dict(start=start, states=work, put=work, get=work)
serve(lambda name, args: CALLS[name](*args), str)
"""


class Client(ProcessClient):
    """Has calls for states and for transfers, which end when a test says so."""

    name = "Fake"
    option = "--python"
    transfers = frozenset({"put", "get"})

    def __init__(self, folder: Path) -> None:
        super().__init__(Path(sys.executable), folder / "fake.log")
        self.folder = folder

    @property
    def program(self) -> Path:
        return self.folder / "program.py"

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def error(self, call: str, answer: Mapping[str, Any]) -> GridError:
        return GridError(str(answer))


class Bench:
    """A client, and the threads that wait for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "program.py").write_text(PROGRAM)
        self.client = Client(folder)
        self.pool = ThreadPoolExecutor(8)

    def begin(self, call: str, name: str) -> Future[Any]:
        """Begin a call, and return when the process works on it."""
        future = self.pool.submit(self.client.call_now, call, name, limit=60)
        until((self.folder / f"{name}.began").exists)
        return future

    def end(self, name: str) -> None:
        (self.folder / name).touch()

    def hang(self, call: str) -> None:
        """Make a call that hangs until its time is over."""
        with pytest.raises(TransientError, match=f"has not answered {call} within"):
            self.client.call_now(call, "never", limit=0.1)

    @property
    def starts(self) -> list[int]:
        try:
            return [int(line) for line in (self.folder / "starts").read_text().split()]
        except FileNotFoundError:
            return []


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.client.close()
    made.pool.shutdown()
    until(lambda: not any(map(is_alive, made.starts)))


def until(done: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        (DiracClient, {"upload_sandbox", "fetch_sandbox", "put", "get", "store_file"}),
        (PandaClient, {"upload"}),
        (XRootDClient, {"put", "get"}),
    ],
)
def test_which_calls_are_transfers(kind: type[ProcessClient], calls: set[str]) -> None:
    assert kind.transfers == calls


def test_the_process_for_transfers_starts_with_the_first_of_them(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.end(name)
    first = bench.client.call_now("states", "a")
    assert bench.client.facts_now() == {"fact": 1}
    assert bench.starts == [first]
    second = bench.client.call_now("put", "b")
    assert bench.starts == [first, second]
    assert bench.client.call_now("get", "c") == second
    assert bench.client.call_now("states", "a") == first
    assert first != second


@pytest.mark.parametrize(
    ("under_way", "hanging"), [("put", "states"), ("states", "put"), ("get", "put")]
)
def test_a_call_that_hangs_ends_no_other(bench: Bench, under_way: str, hanging: str) -> None:
    future = bench.begin(under_way, "a")
    bench.hang(hanging)
    bench.hang(hanging)
    bench.end("a")
    assert future.result(60) == bench.starts[0]
    assert bench.client.call_now(hanging, "a") in bench.starts


def test_a_process_with_a_call_that_hangs_ends_after_the_others(bench: Bench) -> None:
    future = bench.begin("get", "a")
    (pid,) = bench.starts
    bench.hang("put")
    bench.end("b")
    assert bench.client.call_now("put", "b") != pid  # it takes no further calls
    assert is_alive(pid)
    bench.end("a")
    assert future.result(60) == pid
    until(lambda: not is_alive(pid))


def test_a_process_that_answers_nothing_is_ended_with_all_its_calls(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PING_LIMIT", 0.1)
    future = bench.begin("get", "a")
    os.kill(bench.starts[0], signal.SIGSTOP)
    bench.hang("put")
    with pytest.raises(TransientError, match="ended"):
        future.result(60)


def test_a_restart_lets_transfers_end(bench: Bench) -> None:
    future = bench.begin("get", "a")
    bench.client.restart()
    bench.end("b")
    assert bench.client.call_now("put", "b") == bench.starts[1]
    bench.end("a")
    assert future.result(60) == bench.starts[0]


def test_closing_ends_processes_that_are_only_waited_for(bench: Bench) -> None:
    future = bench.begin("get", "a")
    bench.hang("put")
    bench.client.close()
    with pytest.raises(TransientError):
        future.result(60)
    assert not any(map(is_alive, bench.starts))
