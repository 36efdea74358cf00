from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.stores.spool import RESERVE, SpoolStore

LIMIT = RESERVE + 1000


@pytest.fixture
def spool(tmp_path: Path) -> SpoolStore:
    spool = SpoolStore(tmp_path / "spool", lambda: LIMIT, "give --grid-store")
    spool.check()
    return spool


def _file(path: Path, size: int) -> tuple[Path, str]:
    content = b"x" * size
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def test_what_fits_lies_beside_the_job(spool: SpoolStore, tmp_path: Path) -> None:
    path, digest = _file(tmp_path / "input", 1000)
    assert spool.put_file(path) == (1000, digest)
    assert spool.has(digest, 1000)
    assert spool.path(digest).read_bytes() == path.read_bytes()
    assert spool.locate(digest) == ""
    assert spool.inbox("j-1") == "sandbox:"


def test_a_file_that_is_too_large_is_named_with_what_to_do(
    spool: SpoolStore, tmp_path: Path
) -> None:
    path, digest = _file(tmp_path / "input", 1001)
    with pytest.raises(GridError, match=r"input .*/input: 1\.0 kB do not fit .*give --grid-store"):
        spool.put_file(path)
    assert path.exists()
    assert not spool.has(digest, 1000)


def test_a_tarball_that_is_too_large_is_removed(spool: SpoolStore) -> None:
    part, digest = _file(spool.workspace / "part", 1001)
    with pytest.raises(GridError, match=r"small inputs of a job: .*give --grid-store"):
        spool.put(digest, part)
    assert list(spool.folder.iterdir()) == []


def test_log_and_outputs_fit_together_into_a_sandbox() -> None:
    for size in (RESERVE + 1000, 10 << 20, 1 << 30):
        limits = SpoolStore(Path("/s"), lambda size=size: size, "hint").limits  # type: ignore[misc]
        assert limits.outputs is not None
        assert limits.log is not None
        assert limits.log > 0
        assert limits.outputs >= 3 * limits.log - 3
        assert limits.outputs + limits.log <= size - RESERVE
        assert limits.hint == "hint"


def test_outputs_that_nobody_brought_are_not_there(spool: SpoolStore) -> None:
    with pytest.raises(GridError, match="sandbox"):
        spool.fetch_output("j-1", "a" * 64)


def test_the_blobs_of_many_jobs_are_in_many_folders(spool: SpoolStore, tmp_path: Path) -> None:
    for number in range(300):
        path = tmp_path / "file"
        path.write_text(str(number))
        _, digest = spool.put_file(path)
        assert spool.path(digest).name == digest
    assert max(len(list(folder.iterdir())) for folder in spool.folder.iterdir()) < 20
