"""The end of a run ends what reads and writes files for long; the next run does it again."""

from __future__ import annotations

import tarfile
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from snakemake_executor_plugin_grid.engine import controller
from snakemake_executor_plugin_grid.model.errors import EndingError
from snakemake_executor_plugin_grid.staging.install import _damage
from snakemake_executor_plugin_grid.staging.upload import Upload
from snakemake_executor_plugin_grid.worker.archive.reader import Source, headers
from snakemake_executor_plugin_grid.worker.interruption import between_blocks
from tests.unit.fickle import Bench


class Loop:
    """Reads blocks of a file, in the place of a function of the package."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()

    def __call__(self, *_: Any) -> Any:
        self.begun.set()
        try:
            for _block in range(3000):
                between_blocks()
                time.sleep(0.01)
        finally:
            self.ended.set()


class Tarball:
    """Has headers of members only, and has no end."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self._count = 0

    def read(self, size: int) -> bytes:
        self.begun.set()
        time.sleep(0.001)
        self._count += 1
        return tarfile.TarInfo(f"work/{self._count}").tobuf(tarfile.USTAR_FORMAT)[:size]

    def install(self, *_: Any) -> None:
        with _damage():
            for _header in headers(Source(self)):  # type: ignore[arg-type]
                pass


def leave(bench: Bench) -> None:
    bench.controller.leave(lambda: True)


def cancel(bench: Bench) -> None:
    bench.controller.cancel(1000, lambda: False)


@pytest.mark.parametrize("step", ["fetch", "install", "prepare"])
@pytest.mark.parametrize("way", [leave, cancel])
def test_a_transfer_ends_with_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, way: Callable[[Bench], None], step: str
) -> None:
    for limit in ("_SILENT_WAIT", "_LAST_TRANSFERS", "_LAST_SUBMISSIONS"):
        monkeypatch.setattr(controller, limit, 100.0)  # a second, by the clock of the bench
    loop = Loop()
    monkeypatch.setattr(Upload if step == "prepare" else bench.outputs, step, loop)
    bench.submit("j-1")
    if step != "prepare":
        bench.succeed("j-1")
    bench.wait_for(loop.begun.is_set)
    way(bench)
    assert bench.controller.close()
    assert loop.ended.is_set()
    assert not [text for text in bench.said if text.startswith("Waiting for transfers")]
    if step != "prepare":
        assert bench.phases() == {"j-1": "submitted"}
    between_blocks()  # of the next run in this process


@pytest.mark.parametrize("way", [leave, cancel])
def test_a_tarball_is_not_damaged_because_the_run_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, way: Callable[[Bench], None]
) -> None:
    monkeypatch.setattr(controller, "_SILENT_WAIT", 50.0)
    tarball = Tarball()
    monkeypatch.setattr(bench.outputs, "install", tarball.install)
    bench.submit("j-1")
    bench.succeed("j-1")
    bench.wait_for(tarball.begun.is_set)
    way(bench)
    assert bench.controller.close()
    assert bench.left() == {"j-1": "submitted"}


def test_an_upload_that_the_main_thread_waits_for_ends_with_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop()
    monkeypatch.setattr(Upload, "send_sources", loop)
    errors: list[Exception] = []

    def start() -> None:
        try:
            bench.controller.call(bench.controller.send({}))
        except EndingError as error:
            errors.append(error)

    main = threading.Thread(target=start)
    main.start()
    assert loop.begun.wait(10)
    bench.controller.abandon()
    main.join()
    cancel(bench)
    assert bench.controller.close()
    assert loop.ended.is_set()
    assert len(errors) == 1
    between_blocks()


def test_a_transfer_of_a_moment_is_not_interrupted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    install = bench.outputs.install

    def slow(*args: Any) -> Any:
        began.set()
        assert go_on.wait(10)
        between_blocks()
        return install(*args)

    monkeypatch.setattr(bench.outputs, "install", slow)
    bench.submit("j-1")
    bench.succeed("j-1")
    bench.wait_for(began.is_set)
    leave(bench)
    go_on.set()
    assert bench.controller.close()
    assert bench.phases() == {"j-1": "outputs installed"}
