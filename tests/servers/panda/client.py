"""The real panda-client in a separate process, because it reads the environment when imported.

`Client` is for tests; run as a program this module is that process, with calls on its input and
answers on its output, one a line.
"""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any


class Client:
    """Calls functions of panda-client.

    Args:
        environment: Variables of the process, besides PATH and HOME.
        folder: Its working directory.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.folder = folder
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=kept | dict(environment),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call ``pandaclient.Client.<name>``, or ``<module>:<name>`` of pandaclient.

        Returns:
            What it returns, a JobSpec as a dictionary and a time as text.

        Raises:
            SystemExit: The function exited.
            RuntimeError: The function raised another error.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{(name, args, kwargs)!r}\n")
        self._process.stdin.flush()
        kind, value = ast.literal_eval(self._process.stdout.readline())
        if kind == "exit":
            raise SystemExit(value)
        if kind == "error":
            raise RuntimeError(value)
        return value

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        if self._process.stdout:
            self._process.stdout.close()
        self._process.wait(10)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    if isinstance(value, datetime):
        return value.isoformat()
    if type(value).__name__ == "JobSpec":
        return {name: _plain(getattr(value, name)) for name in type(value)._attributes}
    return value


def _main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # for the output of the client
    calls = os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # there is no terminal
    for line in calls:
        name, args, kwargs = ast.literal_eval(line)
        module, _, function = name.rpartition(":")
        answer: tuple[str, Any]
        try:
            found = importlib.import_module(f"pandaclient.{module or 'Client'}")
            answer = "result", _plain(getattr(found, function)(*args, **kwargs))
        except SystemExit as error:
            answer = "exit", error.code
        except Exception as error:
            answer = "error", f"{type(error).__name__}: {error}"
        answers.write(f"{answer!r}\n")
        answers.flush()


if __name__ == "__main__":
    _main()
