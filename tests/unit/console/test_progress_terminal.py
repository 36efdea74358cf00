"""Bars on a real terminal, drawn by a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.stores.flaky import FlakyServer, Handler, flaky

from .test_progress import WIDTH, screen

PROGRAM = """
import fcntl, logging, sys, termios, threading
from pathlib import Path

from snakemake.logging import ColorizingTextHandler

from snakemake_executor_plugin_grid.console import progress
from snakemake_executor_plugin_grid.stores.webdav import WebDavTransport

if sys.stdin.isatty():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C is for those whose terminal it is
url, path, lines = sys.argv[1:]
logger = logging.getLogger("of Snakemake")
logger.addHandler(ColorizingTextHandler(stream=sys.stderr))
logger.setLevel(logging.INFO)
ended = threading.Event()


def log():
    number = 0
    while not ended.wait(0.02) and number < int(lines):
        number += 1
        logger.info(f"line {number} " + 100 * "x")
        print(f"printed {number} " + 100 * "y", flush=True)


progress.show(logger.warning, logger)
thread = threading.Thread(target=log)
thread.start()
try:
    size = Path(path).stat().st_size
    with progress.transfer("data/[big].root", size, up=True, store=url) as moving:
        WebDavTransport(url).upload(Path(path), "big", moving)
finally:
    ended.set()
    thread.join()
"""


def slow(handler: Handler) -> None:
    """Take what is put, at 4 MB/s."""
    length = int(handler.headers["Content-Length"])
    handler.send_response_only(100)
    handler.end_headers()
    while length > 0:
        length -= len(handler.rfile.read(min(1 << 20, length)))
        time.sleep(0.25)
    handler.answer(201)


def there(handler: Handler) -> None:
    handler.answer(200, Content_Length=str(SIZE))


SIZE = 24 << 20


@pytest.fixture
def server() -> Iterator[FlakyServer]:
    with flaky(slow, there) as server:
        yield server


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(bytes(SIZE))
    return path


@contextmanager
def on_terminal(command: list[str], watch: Callable[[str, int], None]) -> Iterator[tuple[str, int]]:
    """Run a program on a terminal of its own; what came on it, and its exit code."""
    terminal, its = os.openpty()
    termios.tcsetwinsize(terminal, (50, WIDTH))
    variables = {**os.environ, "TERM": "xterm", "CI": ""}
    child = subprocess.Popen(
        command, stdin=its, stdout=its, stderr=its, env=variables, start_new_session=True
    )
    os.close(its)
    came = b""
    try:
        while True:
            try:
                block = os.read(terminal, 1 << 16)
            except OSError:  # EIO: all have closed it
                break
            came += block
            watch(came.decode(errors="replace"), terminal)
        yield came.decode().replace("\r\n", "\n"), child.wait(30)
    finally:
        child.kill()
        child.wait()
        os.close(terminal)


def command(server: FlakyServer, big: Path, lines: int) -> list[str]:
    return [sys.executable, "-c", PROGRAM, server.url, str(big), str(lines)]


def is_shown(text: str) -> bool:
    """Return whether the cursor can be seen at the end."""
    return text.rfind("\x1b[?25l") <= text.rfind("\x1b[?25h")


def test_a_bar_on_a_terminal_leaves_lines_whole_and_nothing_behind(
    server: FlakyServer, big: Path
) -> None:
    with on_terminal(command(server, big, 250), lambda *_: None) as (text, code):
        assert code == 0
    assert f"data/[big].root to {server.url}" in text
    assert len(set(re.findall(r"(\d+\.\d)/25\.2 MB", text))) > 3
    assert "MB/s" in text
    assert is_shown(text)
    rows = screen(text)
    assert rows.pop() == ""
    numbers: dict[str, list[int]] = {"line": [], "printed": []}
    for row in rows:
        found = re.fullmatch(r"(?:(line) (\d+) x{100}|(printed) (\d+) y{100})", row)
        assert found is not None, row
        word, number = (part for part in found.groups() if part)
        numbers[word].append(int(number))
    assert numbers["line"] == list(range(1, len(numbers["line"]) + 1))
    assert numbers["printed"] == numbers["line"]
    assert len(rows) > 100


def test_ctrl_c_leaves_a_sane_terminal(server: FlakyServer, big: Path) -> None:
    pressed: list[int] = []

    def press(text: str, terminal: int) -> None:
        if "data/[big].root" in text and not pressed:
            pressed.append(os.write(terminal, b"\x03"))

    with on_terminal(command(server, big, 1), press) as (text, code):
        assert code in (1, -2)
    assert pressed
    assert is_shown(text)
    rows = screen(text)
    assert rows[-2:] == ["KeyboardInterrupt", ""]
    assert not [row for row in rows if "MB/s" in row]


def test_nothing_is_drawn_into_a_pipe(server: FlakyServer, big: Path) -> None:
    done = subprocess.run(
        command(server, big, 3),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.splitlines() == [f"line {n} {100 * 'x'}" for n in (1, 2, 3)]
    assert done.stdout.splitlines() == [f"printed {n} {100 * 'y'}" for n in (1, 2, 3)]
