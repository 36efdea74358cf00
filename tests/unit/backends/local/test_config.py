from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.local.config import (
    Config,
    machine_cores,
    machine_memory_mb,
    socket_address,
)

CONFIG = Config(
    cores=4,
    mem_mb=8000,
    python="/usr/bin/python3",
    warm=True,
    hidden="/home/me/work",
    kept=("/home/me/work/.venv",),
    start_limit=600.0,
    environment={"PATH": "/bin", "LANG": "C"},
)


def test_site_reads_what_was_written() -> None:
    assert Config.loads(CONFIG.dumps()) == CONFIG


def test_digest_tells_configurations_apart() -> None:
    changes = {
        "cores": 5,
        "mem_mb": 1,
        "python": "x",
        "warm": False,
        "hidden": "",
        "kept": (),
        "start_limit": 1.0,
        "environment": {},
    }
    assert {field.name for field in fields(Config)} == set(changes)
    others = {replace(CONFIG, **{name: value}).digest for name, value in changes.items()}  # type: ignore[arg-type]
    assert len(others | {CONFIG.digest}) == len(changes) + 1


def test_digest_does_not_depend_on_the_order_of_variables() -> None:
    assert replace(CONFIG, environment={"LANG": "C", "PATH": "/bin"}).digest == CONFIG.digest


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp())
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("depth", [0, 10])
def test_socket_can_be_bound_and_reached_however_deep_the_folder(folder: Path, depth: int) -> None:
    deep = folder.joinpath(*["a" * 30] * depth)
    deep.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(socket_address(deep))
        server.listen()
        client.connect(socket_address(deep))
    assert (deep / "socket").is_socket()


def test_machine() -> None:
    assert 1 <= machine_cores() <= (os.cpu_count() or 1)
    assert 100 < machine_memory_mb() < 10**9
