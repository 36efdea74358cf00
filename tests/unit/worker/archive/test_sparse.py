"""Sparse files: holes stay holes, and maps that lie are refused."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.worker.archive import sparse
from snakemake_executor_plugin_grid.worker.archive.files import (
    copy_file,
    copy_hashed,
    file_digest,
    place,
)
from snakemake_executor_plugin_grid.worker.archive.listing import Entry, scan
from snakemake_executor_plugin_grid.worker.archive.member import Member, TarballError
from snakemake_executor_plugin_grid.worker.archive.pack import Packed, pack
from snakemake_executor_plugin_grid.worker.archive.unpack import unpack

from .tarballs import COMPRESSIONS, craft, folder, member

__all__ = ["folder"]

SIZE = 32 << 20
PARTS = {1 << 20: b"first", (5 << 20) + 4096: b"second" * 2000, (31 << 20) + 7: b"last"}


def make(path: Path, size: int = SIZE, parts: dict[int, bytes] = PARTS) -> Path:
    with path.open("wb") as stream:
        stream.truncate(size)
        for start, data in parts.items():
            stream.seek(start)
            stream.write(data)
    os.utime(path, (5, 5))
    return path


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


def pack_one(path: Path, **options: Any) -> tuple[Entry, Packed]:
    [entry] = scan(path, "work/f")
    return entry, pack([entry], path.with_name("a.tar"), sums=True, **options)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_holes_come_back_as_holes(folder: Path, compression: str) -> None:
    path = make(folder / "f")
    entry, packed = pack_one(path, compression=compression)
    assert entry.stored == packed.members[0].stored <= allocated(path) + 512
    assert packed.size < 64_000
    manifest = {one.name: one for one in packed.members}
    assert Member.from_json(manifest["work/f"].to_json()) == manifest["work/f"]
    options: dict[str, Any] = {"digest": packed.digest, "compression": compression}
    found = unpack(folder / "a.tar", {"work": folder / "w"}, manifest=manifest, **options)
    assert (found.members, found.extra) == ([*packed.members], [])
    back = folder / "w" / "f"
    assert allocated(back) <= allocated(path)
    assert file_digest(back) == file_digest(path)
    assert (back.stat().st_mode, back.stat().st_mtime) == (path.stat().st_mode, 5)


def test_holes_of_40_gib_cost_nothing(folder: Path) -> None:
    path = make(folder / "f", 40 << 30)
    _, packed = pack_one(path)
    manifest = {one.name: one for one in packed.members}
    unpack(folder / "a.tar", {"work": folder / "w"}, manifest=manifest)
    copy_file(folder / "w" / "f", folder / "g")
    for back in (folder / "w" / "f", folder / "g"):
        assert back.stat().st_size == 40 << 30
        assert allocated(back) <= allocated(path)
        with back.open("rb") as stream:
            for start, data in PARTS.items():
                stream.seek(start)
                assert stream.read(len(data) + 1) == data + b"\0"


@pytest.mark.parametrize("parts", [{}, {0: b"x"}, PARTS, {SIZE - 1: b"x"}], ids=len)
@pytest.mark.parametrize("program", ["tarfile", "tar"])
def test_other_programs_read_it(folder: Path, parts: dict[int, bytes], program: str) -> None:
    path = make(folder / "f", parts=parts)
    _, packed = pack_one(path)
    assert packed.members[0].holes
    (folder / "w").mkdir()
    if program == "tar":
        subprocess.run(["tar", "-xf", folder / "a.tar", "-C", folder / "w"], check=True)
    else:
        with tarfile.open(folder / "a.tar") as tar:
            tar.extractall(folder / "w", filter="data")
    assert file_digest(folder / "w" / "work" / "f") == file_digest(path)


def test_a_changed_byte_of_a_sparse_file_is_found(folder: Path) -> None:
    _, packed = pack_one(make(folder / "f"))
    manifest = {one.name: one for one in packed.members}
    data = bytearray((folder / "a.tar").read_bytes())
    for place_of in (data.index(b"first"), data.index(b"\n1048576\n") + 1):
        changed = bytearray(data)
        changed[place_of] ^= 1
        (folder / "b.tar").write_bytes(changed)
        with pytest.raises(TarballError):
            unpack(folder / "b.tar", {"work": folder / "w"}, manifest=manifest)
        assert list((folder / "w").iterdir()) == []


def test_a_manifest_with_other_holes_is_refused(folder: Path) -> None:
    _, packed = pack_one(make(folder / "f"))
    [said] = packed.members
    for fields in ({"holes": 0}, {"holes": said.holes - 512}, {"size": said.size + 1}):
        manifest = {said.name: replace(said, **fields)}
        with pytest.raises(TarballError, match=r"manifest says|more than the \d+ bytes"):
            unpack(folder / "a.tar", {"work": folder / "w"}, manifest=manifest)
        assert not (folder / "w" / "f").exists()
    with pytest.raises(TarballError, match="holes"):
        Member.from_json(said.to_json() | {"holes": said.size + 1})


RECORDS = {**sparse.SPARSE, sparse.REAL_SIZE: str(1 << 30)}


def lying(*numbers: object, data: bytes = b"d" * 1024) -> bytes:
    text = "\n".join(map(str, [*numbers, ""])).encode()
    return text + bytes(-len(text) % 512) + data


LIES: dict[str, tuple[dict[str, str], bytes]] = {
    "overlapping parts": (RECORDS, lying(2, 0, 512, 100, 512)),
    "parts out of order": (RECORDS, lying(2, 5000, 512, 0, 512)),
    "beyond the end": (RECORDS, lying(1, (1 << 30) - 5, 1024)),
    "negative offset": (RECORDS, lying(1, -1, 1024)),
    "negative length": (RECORDS, lying(2, 0, -1024, 0, 2048)),
    "more data than stated": (RECORDS, lying(1, 0, 512)),
    "less data than stated": (RECORDS, lying(1, 0, 2048)),
    "more parts than there are": (RECORDS, lying(3, 0, 1024)),
    "too many parts": (RECORDS, lying(10**9, 0, 1024)),
    "endless number": (RECORDS, lying("9" * 5000, 0, 1024)),
    "no number": (RECORDS, lying("x")),
    "no line": (RECORDS, b"1" * 2048),
    "more after the map": (RECORDS, lying(1, 0, 1024, 77)),
    "no map": (RECORDS, b""),
    "smaller than its data": (RECORDS | {sparse.REAL_SIZE: "7"}, lying(1, 0, 1024)),
    "negative size": (RECORDS | {sparse.REAL_SIZE: "-7"}, lying(1, 0, 1024)),
    "impossible size": (RECORDS | {sparse.REAL_SIZE: "9" * 40}, lying(1, 0, 1024)),
    "huge size": (RECORDS | {sparse.REAL_SIZE: str((1 << 62) - 1)}, lying(1, 0, 1024)),
    "no size": (sparse.SPARSE, lying(1, 0, 1024)),
    "format 0.1": ({"GNU.sparse.size": "9", "GNU.sparse.map": "0,9"}, lying(1, 0, 1024)),
    "another name": (RECORDS | {"GNU.sparse.name": "/etc/passwd"}, lying(1, 0, 1024)),
}


@pytest.mark.parametrize("case", LIES)
def test_maps_that_lie_are_refused(folder: Path, case: str) -> None:
    records, data = LIES[case]
    lie = member("work/x", data, pax_headers=records)
    craft(folder / "a.tar", lie, member("work/y", b"y"), format=tarfile.PAX_FORMAT)
    with pytest.raises(TarballError):
        unpack(folder / "a.tar", {"work": folder / "w"})
    assert list((folder / "w").iterdir()) == []


def test_only_files_are_sparse(folder: Path) -> None:
    lie = member("work/x", pax_headers=RECORDS, type=tarfile.DIRTYPE)
    craft(folder / "a.tar", lie, format=tarfile.PAX_FORMAT)
    with pytest.raises(TarballError, match="sparse"):
        unpack(folder / "a.tar", {"work": folder / "w"})


def test_a_member_after_a_sparse_one_is_not_sparse(folder: Path) -> None:
    good = member("work/x", lying(1, 0, 1024), pax_headers=RECORDS)
    craft(folder / "a.tar", good, member("work/y", b"1\n0\n1\n"), format=tarfile.PAX_FORMAT)
    found = unpack(folder / "a.tar", {"work": folder / "w"})
    assert [one.size for one in found.members] == [1 << 30, 6]
    assert (folder / "w" / "y").read_bytes() == b"1\n0\n1\n"


@pytest.mark.parametrize("way", ["copied", "placed", "unpacked"])
def test_blocks_of_zeros_become_holes(folder: Path, way: str) -> None:
    path = folder / "f"
    data = b"x" * 5000 + bytes(3 << 20) + b"y" * 5000 + bytes(100_000)
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    back = folder / "w" / "f"
    if way == "copied":
        back.parent.mkdir()
        assert copy_hashed(path, back) == (len(data), sha256)
    elif way == "placed":
        place(path, back, Member("work/f", "file", 0o644, len(data), 0, sha256))
    else:
        unpack(craft(folder / "a.tar", member("work/f", data)), {"work": folder / "w"})
    assert back.read_bytes() == data
    assert allocated(back) < 64_000 < allocated(path)


def test_a_copy_keeps_holes_mode_and_time(folder: Path) -> None:
    path = make(folder / "f")
    path.chmod(0o640)
    (folder / "g").write_text("an older copy")
    copy_file(path, folder / "g")
    assert file_digest(folder / "g") == file_digest(path)
    assert allocated(folder / "g") <= allocated(path)
    assert (folder / "g").stat().st_mode == path.stat().st_mode
    assert (folder / "g").stat().st_mtime == 5
    (folder / "l").symlink_to("f")
    copy_file(folder / "l", folder / "m")
    assert (folder / "m").readlink() == Path("f")


def test_few_parts_where_there_are_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(folder / "f", parts={start << 16: b"x" for start in range(0, 100, 2)})
    monkeypatch.setattr(sparse, "_MOST_PARTS", 8)
    _, packed = pack_one(path)
    assert packed.members[0].holes > SIZE // 2
    unpack(folder / "a.tar", {"work": folder / "w"})
    assert file_digest(folder / "w" / "f") == file_digest(path)


def test_file_system_that_knows_no_holes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(folder / "f")
    real: Callable[[int, int, int], int] = os.lseek

    def lseek(fd: int, position: int, how: int) -> int:
        if how in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(errno.EINVAL, "unknown")
        return real(fd, position, how)

    monkeypatch.setattr(os, "lseek", lseek)
    entry, packed = pack_one(path)
    assert (entry.holes, packed.members[0].holes) == (0, 0)
    unpack(folder / "a.tar", {"work": folder / "w"})
    assert file_digest(folder / "w" / "f") == file_digest(path)
    assert allocated(folder / "w" / "f") <= allocated(path) + 8192


def test_holes_that_are_filled_before_packing(folder: Path) -> None:
    path = make(folder / "f")
    [entry] = scan(path, "work/f")
    path.write_bytes(b"x" * SIZE)
    [member_] = pack([entry], folder / "a.tar").members
    assert member_.holes == 0
    unpack(folder / "a.tar", {"work": folder / "w"})
    assert file_digest(folder / "w" / "f") == file_digest(path)
