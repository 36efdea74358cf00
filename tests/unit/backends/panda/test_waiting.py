"""What goes on while PanDA's backend waits for a store that does not answer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.backends.panda.fake_panda import Bench
from tests.unit.interference import Gate


def test_a_store_that_hangs_takes_no_thread_of_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    (grid_id,) = bench.submitted(1)
    gate = Gate()

    def hangs(*_: object) -> bool:
        gate()
        return True

    monkeypatch.setattr(bench.store, "fetch_file", hangs)

    async def scene() -> None:
        with ThreadPoolExecutor(1) as pool:
            asyncio.get_running_loop().set_default_executor(pool)
            fetching = asyncio.create_task(bench.backend.retrieve(grid_id, tmp_path))
            try:
                await asyncio.sleep(0)
                assert await asyncio.wait_for(asyncio.to_thread(gate.reached), 10)
            finally:
                gate.open()
            fetching.cancel()

    asyncio.run(scene())
    bench.database.close()
