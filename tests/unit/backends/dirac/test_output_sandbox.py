"""Output sandboxes come from worker nodes: a damaged one fails its own job, and not the run."""

from __future__ import annotations

import bz2
import gzip
import io
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import zstandard

from snakemake_executor_plugin_grid.backends.dirac.program import calls, output_sandbox
from snakemake_executor_plugin_grid.backends.dirac.replies import error_of
from snakemake_executor_plugin_grid.backends.dirac.sandboxes import sort_blobs
from snakemake_executor_plugin_grid.model.errors import GridError, PermanentError
from snakemake_executor_plugin_grid.model.untrusted import UntrustedError
from tests.unit.worker.archive.tarballs import link, member, tar_bytes

_CLIENT = "DIRAC.WorkloadManagementSystem.Client.SandboxStoreClient"
Fetch = Callable[[bytes], list[str]]


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Fetch a sandbox of these bytes from a stand-in for DIRAC; raise what the user is told."""
    archive, folder = tmp_path / "TMSB" / "sandbox", tmp_path / "job"

    class SandboxStoreClient:
        def downloadSandboxForJob(self, *_: Any, **__: Any) -> dict[str, Any]:  # noqa: N802
            return {"OK": True, "Value": [str(archive)]}

    client = ModuleType(_CLIENT)
    client.__dict__["SandboxStoreClient"] = SandboxStoreClient
    monkeypatch.setitem(sys.modules, _CLIENT, client)

    def fetch(data: bytes) -> list[str]:
        archive.parent.mkdir()
        folder.mkdir()
        archive.write_bytes(data)
        try:
            names: list[str] = calls.CALLS["fetch_sandbox"](7, str(folder))
            return names
        except Exception as error:
            raise error_of("fetch_sandbox", **calls.error_fields(error)) from error
        finally:
            assert not archive.exists()

    return fetch


@pytest.mark.parametrize("compress", [bytes, _zstd, bz2.compress, gzip.compress])
def test_files_of_a_sandbox_are_unpacked(
    fetch: Fetch, tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    names = fetch(
        compress(
            tar_bytes(
                member("report.json", b"{}"),
                member("../evil", b"x"),
                member("n" * 300, b"x"),
                link("job.log", "/etc/passwd"),
            )
        )
    )
    assert names == ["report.json"]
    assert [path.name for path in (tmp_path / "job").iterdir()] == names


DAMAGED = {
    "no tarball": b"<html>Service unavailable</html>" * 40,
    "empty": b"",
    "cut": tar_bytes(member("job.log", bytes(9000)))[:4000],
    "cut zstd": _zstd(tar_bytes(member("job.log", bytes(range(256)) * 900)))[:300],
    "damaged zstd": b"\x28\xb5\x2f\xfd" + b"\xff" * 900,
    "damaged bzip2": bz2.compress(tar_bytes(member("job.log", b"x")))[:20] + b"\xff" * 900,
    "damaged gzip": gzip.compress(b"x" * 9000)[:12] + b"\xff" * 900,
    "impossible name": tar_bytes(member("a\0not authorized", b"x", pax_headers={"path": "a\0b"})),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_sandbox_is_no_outage(fetch: Fetch, case: str) -> None:
    with pytest.raises(GridError) as caught:
        fetch(DAMAGED[case])
    assert isinstance(caught.value, UntrustedError)  # a permanent error
    assert "sandbox of the job is damaged" in str(caught.value)


@pytest.mark.parametrize("what", ["MOST_BYTES", "MOST_MEMBERS"])
def test_sandbox_that_would_fill_the_disk_is_no_outage(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(output_sandbox, what, {"MOST_BYTES": 1 << 20, "MOST_MEMBERS": 20}[what])
    size = {"MOST_BYTES": 200_000, "MOST_MEMBERS": 1}[what]
    bomb = _zstd(tar_bytes(*(member(f"{number}.blob", bytes(size)) for number in range(40))))
    assert len(bomb) < 20_000
    with pytest.raises(PermanentError, match="damaged: it has more than"):
        fetch(bomb)
    assert sum(path.stat().st_size for path in (tmp_path / "job").iterdir()) <= 1 << 20


def test_long_header_does_not_fill_the_memory(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_sandbox, "MOST_BYTES", 1 << 20)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("n" * (4 << 20)))
    with pytest.raises(PermanentError, match="damaged: it has more than 1 MiB"):
        fetch(_zstd(stream.getvalue()))


def test_full_disk_of_this_host_is_not_the_jobs(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(PermanentError, match="disk of the submit host is full"):
        fetch(tar_bytes(member("job.log", b"x")))


def test_file_named_as_the_folder_of_outputs_is_ignored(tmp_path: Path) -> None:
    blob = "0" * 64
    for name in ("out", f"{blob}.blob"):
        (tmp_path / name).write_bytes(b"x")
    sort_blobs(tmp_path, ["out", f"{blob}.blob"])
    assert (tmp_path / "out" / blob).read_bytes() == b"x"
