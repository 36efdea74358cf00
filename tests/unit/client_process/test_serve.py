"""The other side of a client process, in a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from snakemake_executor_plugin_grid.client_process import serve

PROGRAM = """
import os, sys, threading
sys.path.insert(0, sys.argv[1])
from serve import serve, teller


def answer(name, args):
    if name == "print":
        print("for the terminal", flush=True)
        os.system("echo of a child")
        return args
    if name == "exit":
        sys.exit("bye")
    if name == "move":
        tell = teller()
        thread = threading.Thread(target=lambda: [tell(moved) for moved in args])
        thread.start()
        thread.join()
        return "moved"
    if name == "keys":
        return {(1, 2): 3}
    raise ValueError(name)


serve(answer, lambda error: {"message": str(error), "kind": type(error).__name__})
"""


def test_each_request_gets_an_answer_whatever_happens() -> None:
    calls = ["print", "exit", "keys", "other"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(Path(serve.__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number, call in enumerate(calls):
        process.stdin.write(json.dumps({"id": number, "call": call, "args": ["a"]}) + "\n")
    process.stdin.flush()
    lines = [json.loads(process.stdout.readline()) for _ in calls]
    answers = {calls[line.pop("id")]: line for line in lines}
    assert answers["print"] == {"value": ["a"]}
    assert answers["exit"]["error"] == {"message": "bye", "kind": "SystemExit"}
    assert answers["keys"]["error"]["kind"] == "TypeError"
    assert answers["other"]["error"] == {"message": "other", "kind": "ValueError"}
    assert process.communicate(timeout=30) == ("", "for the terminal\nof a child\n")
    assert process.returncode == 0


def test_a_call_tells_how_far_it_has_come_before_it_is_answered() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(Path(serve.__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number in (1, 2):
        request = {"id": number, "call": "move", "args": [number, 20 + number]}
        process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    lines = [json.loads(process.stdout.readline()) for _ in range(6)]
    for number in (1, 2):
        told = [line for line in lines if line["id"] == number]
        assert [line.get("moved") for line in told] == [number, 20 + number, None]
        assert told[-1]["value"] == "moved"
    process.communicate(timeout=30)
    assert process.returncode == 0
