"""This side of the client process, with a small program in place of the one that needs DIRAC."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.dirac import client as module
from snakemake_executor_plugin_grid.backends.dirac.client import Client
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    PermanentError,
    TransientError,
)

PROGRAM = """
import json, os, sys, threading, time
from pathlib import Path

FOLDER = Path(__file__).parent
GREETING = FOLDER / "greeting"
if GREETING.exists():
    print(GREETING.read_text(), flush=True)
print("the client says this", file=sys.stderr, flush=True)
lock = threading.Lock()


def start():
    with (FOLDER / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\\n")
    if (FOLDER / "failing").exists():
        raise Exception((FOLDER / "failing").read_text())
    return {"max_parametric": 20, "sandbox_limit": 3000, "output_limit": 2000}


def echo(value):
    return value


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def die(code):
    os._exit(code)


def talk(text):
    print(text, flush=True)
    return "talked"


def variables():
    return sorted(os.environ)


def session():
    return os.getsid(0)


def fail(message, errno, exception):
    error = Exception(message)
    error.errno, error.kind = errno, exception
    raise error


def serve(request):
    answer = {"id": request["id"]}
    try:
        answer["value"] = globals()[request["call"]](*request["args"])
    except Exception as error:
        answer["error"] = {
            "message": str(error),
            "errno": getattr(error, "errno", 0),
            "exception": getattr(error, "kind", ""),
        }
    with lock:
        print(json.dumps(answer), flush=True)


for line in sys.stdin:
    threading.Thread(target=serve, args=(json.loads(line),), daemon=True).start()
os._exit(0)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    monkeypatch.setattr(module, "_PROGRAM", program)
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    client = Client(Path(sys.executable), folder / "logs" / "dirac.log")
    yield client
    client.close()


def starts(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "starts").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_nothing_is_started_before_the_first_call(client: Client, folder: Path) -> None:
    assert not (folder / "logs").exists()
    assert client.call_now("echo", {"a": [1, "ü\n", None]}) == {"a": [1, "ü\n", None]}
    assert client.call_now("echo", 2) == 2
    assert len(starts(folder)) == 1


def test_limits_are_those_of_the_installation(client: Client) -> None:
    assert asyncio.run(client.facts())["max_parametric"] == 20
    assert client.sandbox_limit() == 2000  # the smaller of both directions


def test_calls_from_many_threads_get_their_own_answers(client: Client, folder: Path) -> None:
    def calls(thread: int) -> None:
        for number in range(20):
            assert client.call_now("echo", [thread, number]) == [thread, number]

    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(calls, thread) for thread in range(16)]:
            future.result(30)
    assert len(starts(folder)) == 1


def test_calls_do_not_block_the_event_loop_nor_each_other(client: Client) -> None:
    async def calls() -> int:
        ticks = 0
        slow = asyncio.gather(*(client.call("sleep", 0.4) for _ in range(4)))
        while not slow.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks

    client.call_now("echo", 1)
    began = time.monotonic()
    assert asyncio.run(calls()) > 10
    assert time.monotonic() - began < 1.4


def test_a_call_that_hangs_is_ended_with_its_process(client: Client, folder: Path) -> None:
    client.call_now("echo", 1)
    (pid,) = starts(folder)
    with pytest.raises(TransientError, match="has not answered sleep within 0 s"):
        client.call_now("sleep", 60, limit=0.2)
    assert client.call_now("echo", 2, limit=30) == 2
    assert len(starts(folder)) == 2
    assert not is_alive(pid)


def test_a_request_that_the_process_does_not_read_is_ended_by_the_next(
    client: Client, folder: Path
) -> None:
    client.call_now("echo", 1)
    (pid,) = starts(folder)
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(client.call_now, "echo", "x" * (1 << 20), limit=60)
        time.sleep(0.2)
        with pytest.raises(TransientError, match="has not answered echo"):
            client.call_now("echo", 2, limit=0.2)
        with pytest.raises(TransientError, match=r"\bended\b"):
            stuck.result(10)
    assert client.call_now("echo", 3) == 3


def test_only_calls_under_way_fail_when_the_process_dies(client: Client, folder: Path) -> None:
    client.call_now("echo", 1)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(client.call_now, "sleep", 60) for _ in range(3)]
        time.sleep(0.2)
        with pytest.raises(TransientError, match=r"ended with 7; its log: .*dirac\.log"):
            client.call_now("die", 7)
        for future in waiting:
            with pytest.raises(TransientError, match="ended with 7"):
                future.result(10)
    assert client.call_now("echo", 2) == 2
    assert len(starts(folder)) == 2


def test_a_call_to_a_process_that_has_just_died_does_not_hang(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TransientError):
        client.call_now("die", 1)
    # As when it dies between the look at it and the request.
    monkeypatch.setattr(client, "_start", lambda lane: lane.process)
    began = time.monotonic()
    with pytest.raises(TransientError):
        client.call_now("echo", 1, limit=20)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "text", ["Setting up DIRAC …", "{", "17", "null", '{"id": 99, "x": 1}', "[]", '{"x": 1}']
)
def test_what_is_no_answer_does_no_harm(client: Client, folder: Path, text: str) -> None:
    (folder / "greeting").write_text(text)
    assert client.call_now("echo", 1, limit=10) == 1
    assert client.call_now("talk", text, limit=10) == "talked"
    assert client.call_now("echo", 2, limit=10) == 2
    assert len(starts(folder)) == 1


def test_what_the_client_says_is_in_the_log(client: Client, folder: Path) -> None:
    client.call_now("echo", 1)
    log = (folder / "logs" / "dirac.log").read_text()
    assert f": {sys.executable}\n" in log
    assert "the client says this\n" in log


def test_an_error_has_its_type(client: Client) -> None:
    with pytest.raises(CredentialsError, match=r"asked to fail: No proxy found; get a proxy"):
        client.call_now("fail", "No proxy found", 0, "")
    with pytest.raises(PermanentError, match="Invalid sites: X"):
        client.call_now("fail", "Invalid sites: X", 0, "")
    with pytest.raises(TransientError, match="OSError: broken"):
        client.call_now("fail", "broken", 104, "OSError")


def test_a_client_that_cannot_start_does_later(client: Client, folder: Path) -> None:
    failing = folder / "failing"
    failing.write_text("Reason(s):\n\tNo proxy found")
    for _ in range(2):
        with pytest.raises(CredentialsError, match="No proxy found"):
            client.call_now("echo", 1)
    failing.unlink()
    assert client.call_now("echo", 1) == 1
    assert len(starts(folder)) == 3
    assert [is_alive(pid) for pid in starts(folder)] == [False, False, True]


def test_a_program_that_ends_at_once_is_told_with_its_log(client: Client, folder: Path) -> None:
    (folder / "program.py").write_text("import sys; sys.exit('no such thing')")
    with pytest.raises(TransientError, match=r"ended.*; its log: .*dirac\.log"):
        client.call_now("echo", 1)
    assert "no such thing" in (folder / "logs" / "dirac.log").read_text()


def test_a_python_that_is_not_there_is_named(folder: Path) -> None:
    client = Client(folder / "python", folder / "dirac.log")
    with pytest.raises(PermanentError, match=r"by .*/python: No such file .*--grid-dirac-python"):
        client.call_now("echo", 1)
    client.close()


def test_closing_ends_the_process_and_may_be_repeated(client: Client, folder: Path) -> None:
    client.call_now("echo", 1)
    (pid,) = starts(folder)
    assert is_alive(pid)
    client.close()
    client.close()
    assert not is_alive(pid)
    with pytest.raises(TransientError, match="has been closed"):
        client.call_now("echo", 1)
    assert len(starts(folder)) == 1


def test_closing_does_not_wait_for_a_call(client: Client) -> None:
    client.call_now("echo", 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.call_now, "sleep", 60)
        time.sleep(0.2)
        began = time.monotonic()
        client.close()
        with pytest.raises(TransientError):
            waiting.result(10)
    assert time.monotonic() - began < 5


def test_many_first_calls_start_one_process(client: Client, folder: Path) -> None:
    barrier = threading.Barrier(8)

    def first(number: int) -> object:
        barrier.wait(10)
        return client.call_now("echo", number)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(first, range(8))) == list(range(8))
    assert len(starts(folder)) == 1


def test_what_would_change_the_certificates_is_not_handed_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/ca.pem")
    monkeypatch.setenv("X509_USER_PROXY", "/tmp/x509up")
    variables = client.call_now("variables")
    assert "REQUESTS_CA_BUNDLE" not in variables
    assert "X509_USER_PROXY" in variables


def test_an_interrupt_of_the_terminal_does_not_reach_it(client: Client, folder: Path) -> None:
    session = client.call_now("session")
    assert session != os.getsid(0)
    assert session == starts(folder)[0]


def test_a_large_request_and_a_large_answer(client: Client) -> None:
    text = "x" * 3_000_000
    assert client.call_now("echo", text) == text
