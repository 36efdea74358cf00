"""Damaged archives: each is refused with a TarballError, and nothing is written elsewhere."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.worker.archive import compression
from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.archive.member import TarballError
from snakemake_executor_plugin_grid.worker.archive.pack import pack
from snakemake_executor_plugin_grid.worker.archive.unpack import unpack

from .tarballs import COMPRESSIONS, craft, folder, link, member

__all__ = ["folder"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_archive_cut_at_any_byte_is_refused(folder: Path, compression: str) -> None:
    source = folder / "in"
    source.mkdir()
    for number, size in enumerate((0, 1, 511, 512, 513, 3000)):
        (source / f"{number}{'n' * 60 * number}"[:250]).write_bytes(os.urandom(size))
    archive, cut = folder / "a.tar", folder / "cut.tar"
    packed = pack(scan(source, "work"), archive, compression=compression)
    whole = archive.read_bytes()
    step = 97 if compression == "none" else 331
    for end in {*range(0, len(whole), step), *range(0, len(whole), 512), len(whole) - 1}:
        cut.write_bytes(whole[:end])
        for digest in (None, packed.digest):
            with pytest.raises(TarballError):
                unpack(cut, {"work": folder / "out"}, compression=compression, digest=digest)
            shutil.rmtree(folder / "out", ignore_errors=True)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3000), st.sampled_from(COMPRESSIONS))
def test_garbage_is_refused(data: bytes, compression: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "a.tar").write_bytes(data)
        with pytest.raises(TarballError):
            unpack(Path(name) / "a.tar", {"work": Path(name) / "w"}, compression=compression)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 4095), st.integers(1, 255))
def test_changed_byte_fails_the_digest_and_writes_nothing_elsewhere(
    place: int, change: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        archive = craft(
            here / "a.tar", member("work/" + "n" * 110, b"data"), link("work/l", "x"),
            format=tarfile.PAX_FORMAT,
        )  # fmt: skip
        data = bytearray(archive.read_bytes())
        digest = hashlib.sha256(data).hexdigest()
        data[place] ^= change
        archive.write_bytes(data)
        with pytest.raises(TarballError, match="SHA-256"):
            unpack(archive, {"work": here / "b" / "w"}, digest=digest)
        assert {path.name for path in here.iterdir()} == {"a.tar", "b"}


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 511),
    st.binary(min_size=1, max_size=40),
    st.sampled_from([b"0", b"5", b"2", b"x", b"g", b"L", b"K", b"S", b"7", b"\0"]),
    st.booleans(),
)
def test_wrong_header_with_a_right_checksum_raises_only_tarball_errors(
    place: int, data: bytes, kind: bytes, sparse: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        archive = craft(
            here / "a.tar",
            member("work/first", b"data"),
            member("work/" + "n" * 110, b"data" * 200, pax_headers=SPARSE if sparse else {}),
            format=tarfile.PAX_FORMAT,
        )
        whole = bytearray(archive.read_bytes())
        for start in (1024, 1536, 2048):  # the second member's PAX header, its body, its header
            block = bytearray(whole[start : start + 512])
            block[place : place + len(data)] = data[: 512 - place]
            block[156:157] = kind
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
            changed = whole[:start] + block + whole[start + 512 :]
            archive.write_bytes(changed)
            with contextlib.suppress(TarballError):
                unpack(archive, {"work": here / "b" / "w"})
            assert {path.name for path in here.iterdir()} == {"a.tar", "b"}
            assert [path.name for path in (here / "b").iterdir()] == ["w"]
            shutil.rmtree(here / "b")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_error_names_expected_and_actual_digest(folder: Path, compression: str) -> None:
    (folder / "f").write_text("x")
    packed = pack(scan(folder / "f", "work/f"), folder / "a.tar", compression=compression)
    with pytest.raises(TarballError, match=f"{'0' * 64}.*{packed.digest}"):
        unpack(folder / "a.tar", {"work": folder / "w"}, digest="0" * 64, compression=compression)


def test_data_after_the_end_is_refused(folder: Path) -> None:
    archive = craft(folder / "a.tar", member("work/f", b"x"))
    archive.write_bytes(archive.read_bytes() * 2)
    with pytest.raises(TarballError, match="after the archive's end"):
        unpack(archive, {"work": folder / "w"})


@pytest.mark.parametrize("program", [False, True])
def test_damaged_zstd_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, program: bool
) -> None:
    if program:
        monkeypatch.setattr(compression, "_zstd_module", lambda: None)
    (folder / "f").write_bytes(os.urandom(3 << 20))
    pack(scan(folder / "f", "work/f"), folder / "a.tar", compression="zstd")
    data = bytearray((folder / "a.tar").read_bytes())
    unpack(folder / "a.tar", {"work": folder / "whole"}, compression="zstd")
    assert (folder / "whole" / "f").read_bytes() == (folder / "f").read_bytes()
    data[:1000] = bytes(1000)
    (folder / "a.tar").write_bytes(data)
    with pytest.raises(TarballError, match="zstd data is damaged"):
        unpack(folder / "a.tar", {"work": folder / "w"}, compression="zstd")


@pytest.mark.parametrize("program", [False, True])
def test_zstd_with_a_damaged_checksum_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, program: bool
) -> None:
    if program:
        monkeypatch.setattr(compression, "_zstd_module", lambda: None)
    plain = craft(folder / "plain.tar", member("work/f", os.urandom(1000)))
    subprocess.run(["zstd", "-q", "--check", plain, "-o", folder / "a.tar"], check=True)
    unpack(folder / "a.tar", {"work": folder / "whole"}, compression="zstd")
    whole = (folder / "a.tar").read_bytes()
    (folder / "a.tar").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # its checksum
    with pytest.raises(TarballError, match="zstd data is damaged"):
        unpack(folder / "a.tar", {"work": folder / "w"}, compression="zstd")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("size", [1, 5 << 20])
def test_zstd_program_that_cannot_write_raises_an_os_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(compression, "_zstd_module", lambda: None)
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(OSError, match="No space left"),
        compression.compressing(full, "zstd") as stream,
    ):
        stream.write(os.urandom(size))


def test_error_without_zstd_names_the_option(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_zstd_module", lambda: None)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(TarballError, match="--grid-compression"):
        pack([], folder / "a.tar", compression="zstd")
    with pytest.raises(TarballError, match="--grid-compression"):
        pack([], folder / "a.tar", compression="bzip2")
