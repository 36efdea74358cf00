"""Packing: what is packed is unpacked unchanged, and files that change are refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.worker.archive import compression, reader
from snakemake_executor_plugin_grid.worker.archive.files import copy_hashed, file_digest
from snakemake_executor_plugin_grid.worker.archive.listing import Entry, scan
from snakemake_executor_plugin_grid.worker.archive.member import Member, TarballError
from snakemake_executor_plugin_grid.worker.archive.pack import Packed, pack
from snakemake_executor_plugin_grid.worker.archive.unpack import unpack

from .tarballs import COMPRESSIONS, TIME, craft, folder, link, member

__all__ = ["folder"]


def picture(top: Path) -> dict[str, tuple[str, int, bytes | str, int]]:
    """Return kind, mode, content and whole seconds of all files below a folder, by name."""
    found: dict[str, tuple[str, int, bytes | str, int]] = {}
    for entry in scan(top, "work"):
        path = Path(entry.path)
        content = path.read_bytes() if entry.kind == "file" else entry.target
        found[entry.name] = (entry.kind, entry.mode, content, entry.mtime_ns // 10**9)
    return found


def manifest(packed: Packed) -> dict[str, Member]:
    return {found.name: found for found in packed.members}


# Round trips

leaf = st.one_of(
    st.sampled_from(["a", "ü", "日本", "new\nline", " ", "-rf", "'\"\\", "x" * 120, "é" * 120]),
    st.binary(min_size=1, max_size=30)
    .map(lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"0")))
    .filter(lambda name: name not in (".", "..")),
)
node = st.recursive(
    st.tuples(
        st.just("file"), st.binary(max_size=1500), st.sampled_from([0o644, 0o600, 0o755, 0o444])
    )
    | st.tuples(st.just("link"), leaf, st.just(0o777)),
    lambda inner: st.tuples(
        st.just("dir"),
        st.dictionaries(leaf, inner, max_size=4),
        st.sampled_from([0o755, 0o700, 0o555]),
    ),
    max_leaves=8,
)
tree = st.dictionaries(leaf, node, max_size=5)


def build(where: Path, nodes: dict[str, Any], seconds: int) -> None:
    for name, (kind, content, mode) in nodes.items():
        path = where / name
        if kind == "file":
            path.write_bytes(content)
        elif kind == "link":
            path.symlink_to(content)
        else:
            path.mkdir()
            build(path, content, seconds + 7)
        if kind != "link":
            path.chmod(mode)
        os.utime(path, (seconds, seconds), follow_symlinks=False)
    os.utime(where, (seconds, seconds))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree, st.sampled_from(COMPRESSIONS), st.integers(0, 2**31))
def test_packed_files_are_unpacked_unchanged(
    nodes: dict[str, Any], compression: str, seconds: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        source, target, archive = here / "in", here / "out", here / "it.tar"
        source.mkdir()
        build(source, nodes, seconds)
        packed = pack(scan(source, "work"), archive, compression=compression, sums=True)
        assert file_digest(archive) == (packed.size, packed.digest)
        found = unpack(
            archive,
            {"work": target},
            digest=packed.digest,
            compression=compression,
            manifest=manifest(packed),
        )
        assert picture(target) == picture(source)
        assert tuple(found.members) == packed.members
        assert found.extra == []
        assert [Member.from_json(one.to_json()) for one in packed.members] == found.members
        if compression == "none":  # Python's tarfile reads it, too
            with tarfile.open(archive) as tar:
                assert tar.getnames() == [one.name for one in packed.members]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_same_files_give_the_same_bytes(folder: Path, compression: str) -> None:
    bytes_found = set()
    for order in (1, -1):
        source = folder / f"source{order}"
        (source / "d").mkdir(parents=True)
        for name in ["d/b", "a", "d-"][::order]:
            (source / name).write_text("text")
        (source / "l").symlink_to("a")
        for path in [*source.rglob("*"), source]:
            os.utime(path, (TIME, TIME), follow_symlinks=False)
        archive = folder / f"{order}.tar"
        pack(list(scan(source, "work"))[::order], archive, compression=compression)
        bytes_found.add(archive.read_bytes())
    assert len(bytes_found) == 1


def test_headers_hold_no_user_and_no_fraction_of_a_second(folder: Path) -> None:
    (folder / "f").write_text("x")
    os.utime(folder / "f", ns=(0, 1_999_999_999))
    packed = pack(scan(folder / "f", "work/f"), folder / "a.tar")
    with tarfile.open(folder / "a.tar") as tar:
        [info] = tar.getmembers()
    assert (info.uid, info.gid, info.uname, info.gname, info.mtime) == (0, 0, "", "", 1)
    assert info.pax_headers == {}
    assert packed.members[0].mtime_ns == 1_999_999_999


@pytest.mark.parametrize("length", [99, 100, 101, 155, 156, 200, 255, 256, 257, 300, 3000])
@pytest.mark.parametrize("kind", ["file", "dir", "link"])
def test_names_and_links_of_any_length(folder: Path, length: int, kind: str) -> None:
    name = "work/" + "/".join(["é" * 40] * (length // 81 + 1))
    name = os.fsdecode(os.fsencode(name)[: length - 1].rstrip(b"/\xc3") + b"z")
    (folder / "f").touch()
    path = str(folder / "f") if kind == "file" else ""
    target = name[5:] if kind == "link" else ""
    entry = Entry(name, path, kind, 0o755, 0, -5 * 10**9, target)
    packed = pack([entry], folder / "a.tar")
    found = unpack(folder / "a.tar", {"work": folder / "out"})
    assert tuple(found.members) == packed.members
    with tarfile.open(folder / "a.tar") as tar:
        [info] = tar.getmembers()
    assert (info.name, info.linkname, info.mtime) == (name, target, -5)


@pytest.mark.parametrize("size", [8**11 - 1, 8**11, 8**12])
def test_size_beyond_ustar_is_read(size: int) -> None:
    data = member("work/a")[0]
    data.size = size
    source = reader.Source(io.BytesIO(data.tobuf(tarfile.PAX_FORMAT)))
    assert next(reader.headers(source)).size == size


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_other_programs_are_read(folder: Path, style: int) -> None:
    long = "work/" + "n" * 200
    archive = craft(
        folder / "a.tar",
        member(long, b"data", mtime=1.5),
        link("work/l", "n" * 200),
        member("work/old", mtime=-3),
        format=style,
    )
    found = unpack(archive, {"work": folder / "out"})
    assert [one.name for one in found.members] == [long, "work/l", "work/old"]
    assert (folder / "out" / "l").read_bytes() == b"data"
    assert found.members[2].mtime_ns == -3 * 10**9


def test_gnu_tar_reads_our_archives(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / ("n" * 130)).write_text("x")
    pack(scan(folder / "in", "work"), folder / "a.tar")
    subprocess.run(["tar", "-xf", folder / "a.tar", "-C", folder], check=True)
    assert picture(folder / "work") == picture(folder / "in")


def entry_of(path: Path) -> Entry:
    [entry] = scan(path, "work/f")
    return entry


@pytest.mark.parametrize("size", [1, 3 << 20])
@pytest.mark.parametrize("change", [-1, 1])
def test_file_whose_size_changed_is_named(folder: Path, size: int, change: int) -> None:
    path = folder / "f"
    path.write_bytes(bytes(size))
    entry = entry_of(path)
    os.truncate(path, size + change)
    with pytest.raises(TarballError, match=f"{path} changed"):
        pack([entry], folder / "a.tar")
    assert [found.name for found in folder.iterdir()] == ["f"]


@pytest.mark.parametrize("change", [-4096, 4096, 0])
def test_file_that_changes_while_it_is_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: int
) -> None:
    path = folder / "f"
    size = 5 << 20
    path.write_bytes(bytes(size))
    os.utime(path, (TIME, TIME))
    real = os.read

    def read(fd: int, count: int) -> bytes:
        data = real(fd, count)
        with path.open("r+b") as out:
            out.truncate(size + change)
            out.write(b"x")
        return data

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(TarballError, match=f"{path} changed"):
        pack([entry_of(path)], folder / "a.tar")
    assert [found.name for found in folder.iterdir()] == ["f"]


def test_file_that_vanishes_is_named(folder: Path) -> None:
    (folder / "f").touch()
    entry = entry_of(folder / "f")
    (folder / "f").unlink()
    with pytest.raises(TarballError, match="vanished"):
        pack([entry], folder / "a.tar")
    os.mkfifo(folder / "f")
    with pytest.raises(TarballError, match="not a regular file"):
        pack([entry], folder / "a.tar")


def test_duplicate_and_unsafe_names_are_not_packed(folder: Path) -> None:
    entry = Entry("work/d", "", "dir", 0o755, 0, 0)
    with pytest.raises(TarballError, match="twice"):
        pack([entry, entry], folder / "a.tar")
    with pytest.raises(TarballError, match="plain path"):
        pack([replace(entry, name="work/../d")], folder / "a.tar")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_raises_an_os_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "f").write_bytes(bytes(5 << 20))
    real = os.write
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(os, "write", lambda fd, data: real(full, data))
    try:
        with pytest.raises(OSError, match="No space"):
            pack(scan(folder / "f", "work/f"), folder / "a.tar")
    finally:
        os.close(full)
    assert [found.name for found in folder.iterdir()] == ["f"]


def test_scan_follows_only_the_top_link_and_skips_special_files(folder: Path) -> None:
    real = folder / "real"
    (real / "d").mkdir(parents=True)
    (real / "d" / "f").write_text("abc")
    (real / "l").symlink_to("d")
    os.mkfifo(real / "fifo")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(real / "sock"))
    (folder / "top").symlink_to("real")
    found = [(entry.name, entry.kind, entry.target) for entry in scan(folder / "top", "work")]
    assert found == [
        ("work", "dir", ""),
        ("work/d", "dir", ""),
        ("work/d/f", "file", ""),
        ("work/l", "link", "d"),
    ]
    (folder / "one").symlink_to("real/d/f")
    assert [(one.kind, one.size) for one in scan(folder / "one", "work/one")] == [("file", 3)]
    with pytest.raises(FileNotFoundError):
        list(scan(folder / "none", "work"))


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (5 << 20) + 3])
def test_copy_is_hashed_and_private(folder: Path, size: int) -> None:
    data = os.urandom(size)
    (folder / "f").write_bytes(data)
    wanted = (size, hashlib.sha256(data).hexdigest())
    assert copy_hashed(folder / "f", folder / "g", limit=size) == wanted
    assert file_digest(folder / "g") == wanted
    assert (folder / "g").read_bytes() == data
    assert (folder / "g").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        copy_hashed(folder / "f", folder / "g")
    assert (folder / "g").exists()


def test_copy_beyond_the_limit_is_removed(folder: Path) -> None:
    (folder / "f").write_bytes(bytes(3 << 20))
    with pytest.raises(TarballError, match="bigger than"):
        copy_hashed(folder / "f", folder / "g", limit=(3 << 20) - 1)
    assert not (folder / "g").exists()


MEASURE = """
import sys
from pathlib import Path
from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.archive.pack import pack
from snakemake_executor_plugin_grid.worker.archive.unpack import unpack
here, compression = Path(sys.argv[1]), sys.argv[2]
packed = pack(scan(here / "f", "work/f"), here / "a", compression=compression, sums=True)
said = {one.name: one for one in packed.members}
unpack(here / "a", {"work": here / "w"}, digest=packed.digest, compression=compression,
       manifest=said)
# ru_maxrss would include the process that forked this one.
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_memory_does_not_grow_with_the_file(folder: Path, compression: str) -> None:
    (folder / "f").touch()
    os.truncate(folder / "f", 300 << 20)
    command = [sys.executable, "-c", MEASURE, str(folder), compression]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (folder / "w" / "f").stat().st_size == 300 << 20
    assert int(found.stdout) < 100 * 1024


@pytest.mark.parametrize("module", [True, False])
def test_the_level_of_zstd_is_not_taken_from_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, module: bool
) -> None:
    if not module:
        if shutil.which("zstd") is None:
            pytest.skip("there is no zstd program")
        monkeypatch.setattr(compression, "_zstd_module", lambda: None)
    (folder / "f").write_text("".join(f"line {n * n}\n" for n in range(20_000)))
    digests = set()
    for level in ("1", "19"):
        monkeypatch.setenv("ZSTD_CLEVEL", level)
        packed = pack(scan(folder / "f", "work/f"), folder / "a.tar", compression="zstd")
        digests.add(packed.digest)
    assert len(digests) == 1
