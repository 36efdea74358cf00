from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
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
from snakemake_executor_plugin_grid.worker.archive.unpack import Unpacked, unpack

COMPRESSIONS = ["none", "gzip", "zstd"]
TIME = 1_700_000_000


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mtime = TIME
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def craft(path: Path, *members: tuple[tarfile.TarInfo, bytes], **options: Any) -> Path:
    with tarfile.open(path, "w", **options) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


def picture(top: Path) -> dict[str, tuple[str, int, bytes | str, int]]:
    """What is below a folder: kind, mode, content and whole seconds, by name."""
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
def test_what_is_packed_comes_out_again(
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
        if compression == "none":  # others read it, too
            with tarfile.open(archive) as tar:
                assert tar.getnames() == [one.name for one in packed.members]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_same_files_give_the_same_bytes(folder: Path, compression: str) -> None:
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


def test_headers_name_no_user_and_no_fraction(folder: Path) -> None:
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
def test_a_size_beyond_ustar_is_read(size: int) -> None:
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


def test_gnu_tar_reads_ours(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / ("n" * 130)).write_text("x")
    pack(scan(folder / "in", "work"), folder / "a.tar")
    subprocess.run(["tar", "-xf", folder / "a.tar", "-C", folder], check=True)
    assert picture(folder / "work") == picture(folder / "in")


# Hostile archives

SECRET = "safe"
HOSTILE = {
    "absolute": ([member("/work/x", b"x")], "absolute"),
    "climbing": ([member("work/../../x", b"x")], "not a plain path"),
    "only dots": ([member("..", b"x")], "not a plain path"),
    "dot": ([member("work/./x", b"x")], "not a plain path"),
    "empty component": ([member("work//x", b"x")], "not a plain path"),
    "other root": ([member("home/x", b"x")], "none of work"),
    "nul": (
        [member("work/x", b"x", pax_headers={"path": "work/a\0b"})],
        "not a plain path",
    ),
    "hard link": ([member("work/x", type=tarfile.LNKTYPE, linkname="work/y")], "hard link"),
    "character device": ([member("work/x", type=tarfile.CHRTYPE)], "character device"),
    "block device": ([member("work/x", type=tarfile.BLKTYPE)], "block device"),
    "fifo": ([member("work/x", type=tarfile.FIFOTYPE)], "fifo"),
    "sparse": ([member("work/x", type=tarfile.GNUTYPE_SPARSE)], "sparse"),
    "pax sparse": ([member("work/x", pax_headers={"GNU.sparse.major": "1"})], "sparse"),
    "global header": (
        [member("x", b"21 path=work/elsewhere\n", type=tarfile.XGLTYPE), member("work/x", b"x")],
        "global header",
    ),
    "endless header": (
        [member("x", bytes(1 << 17), type=tarfile.XHDTYPE), member("work/x", b"x")],
        "a header has",
    ),
    "headers in headers": (
        [member("x", b"12 path=w/x\n", type=tarfile.XHDTYPE)] * 2000 + [member("work/x", b"x")],
        "damaged",
    ),
    "unknown type": ([member("work/x", type=b"Z")], "unknown type"),
    "absolute link": ([link("work/x", "/etc/passwd")], "not a relative path"),
    "empty link": ([link("work/x", "")], "not a relative path"),
    "link out": ([link("work/x", "../outside")], "out of the tree"),
    "deep link out": ([link("work/a/b", "../../../x")], "out of the tree"),
    "link down and out": ([link("work/a/b", "c/../../../x")], "out of the tree"),
    "root as link": ([link("work", "x")], "out of the tree"),
    "file below a link": (
        [member("work/d", type=tarfile.DIRTYPE), link("work/l", "d"), member("work/l/x", b"x")],
        "below a link",
    ),
    "directory below a link": (
        [link("work/l", "."), member("work/l/d/e", type=tarfile.DIRTYPE)],
        "below a link",
    ),
    "below a file": ([member("work/f", b"x"), member("work/f/g", b"x")], "directory"),
    "duplicate": ([member("work/x", b"1"), member("work/x", b"2")], "twice"),
    "link over a file": ([member("work/x", b"1"), link("work/x", "y")], "twice"),
    "directory with bytes": ([member("work/x", b"x" * 512, type=tarfile.DIRTYPE)], "cannot have"),
    "impossible time": ([member("work/x", mtime=8**11 + 2**33)], "impossible"),
    "name too long for the disk": ([member("work/" + "x" * 300, b"x")], "cannot be written"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("skipped", [False, True])
def test_hostile_archives_are_refused(folder: Path, case: str, skipped: bool) -> None:
    members, why = HOSTILE[case]
    archive = craft(folder / "a.tar", *members, format=tarfile.PAX_FORMAT)
    options: dict[str, Any] = {"manifest": {}} if skipped else {}
    if skipped and case in ("below a file", "name too long for the disk"):
        options = {}  # what is not written cannot collide
    with pytest.raises(TarballError, match=why) as caught:
        unpack(archive, {"work": folder / "box" / "work"}, **options)
    assert str(archive) in str(caught.value)
    assert {path.name for path in folder.iterdir()} == {"a.tar", "box"}
    assert [path.name for path in (folder / "box").iterdir()] == ["work"]


def test_links_may_lead_as_far_as_the_highest_root(folder: Path) -> None:
    archive = craft(
        folder / "a.tar", link("work/a/l", "../../../x"), link("up1/l", "../x"), link("up2/l", "x")
    )
    work = folder / "two" / "one" / "work"
    roots = {"work": work, "up1": work.parent, "up2": work.parent.parent}
    unpack(archive, roots)
    assert (work / "a" / "l").readlink() == Path("../../../x")
    for name, target in (("work/m", "../../../x"), ("up1/m", "../../x"), ("up2/m", "../x")):
        with pytest.raises(TarballError, match="out of the tree"):
            unpack(craft(folder / "b.tar", link(name, target)), roots)


def test_a_link_through_a_link_cannot_lead_out(folder: Path) -> None:
    archive = craft(
        folder / "a.tar", link("work/a/b/up", "../.."), link("work/a/b/out", "up/../../secret")
    )
    unpack(archive, {"work": folder / "work"})
    (folder / "secret").write_text(SECRET)
    assert (folder / "work/a/b/out").readlink() == Path("../secret")


def test_links_that_are_there_are_not_followed(folder: Path) -> None:
    (folder / "outside").mkdir()
    (folder / "work").mkdir()
    (folder / "work" / "d").symlink_to("../outside")
    (folder / "work" / "f").symlink_to("../outside/new")
    for name in ("work/d/x", "work/f"):
        with pytest.raises(TarballError):
            unpack(craft(folder / "a.tar", member(name, b"x")), {"work": folder / "work"})
    assert list((folder / "outside").iterdir()) == []


def test_an_existing_file_is_kept(folder: Path) -> None:
    (folder / "work").mkdir()
    (folder / "work" / "f").write_text("mine")
    with pytest.raises(TarballError, match="work/f"):
        unpack(craft(folder / "a.tar", member("work/f", b"x")), {"work": folder / "work"})
    assert (folder / "work" / "f").read_text() == "mine"


def test_archives_merge_into_one_tree(folder: Path) -> None:
    for name in "ab":
        archive = craft(
            folder / f"{name}.tar",
            member("work/d", type=tarfile.DIRTYPE, mode=0o555),
            member(f"work/d/{name}", name.encode()),
        )
        unpack(archive, {"work": folder / "work"})
    made = folder / "work" / "d"
    assert sorted(path.name for path in made.iterdir()) == ["a", "b"]
    assert made.stat().st_mode & 0o777 == 0o555
    assert made.stat().st_mtime == TIME


def test_special_bits_are_dropped_and_late_times_clamped(folder: Path) -> None:
    archive = craft(
        folder / "a.tar",
        member("work/f", b"x", mode=0o6755),
        member("work/d", type=tarfile.DIRTYPE, mode=0o2750),
        link("work/l", "f"),
    )
    found = unpack(archive, {"work": folder / "w"}, not_after_ns=5 * 10**9)
    assert (folder / "w" / "f").stat().st_mode & 0o7777 == 0o755
    assert (folder / "w" / "d").stat().st_mode & 0o7777 == 0o750
    for name in "fdl":
        assert (folder / "w" / name).lstat().st_mtime == 5
    assert {one.mtime_ns for one in found.members} == {5 * 10**9}


# Damage


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_cut_archive_is_refused_wherever_it_is_cut(folder: Path, compression: str) -> None:
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
def test_a_changed_byte_never_leads_out_or_to_another_error(place: int, change: int) -> None:
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
def test_a_wrong_header_with_a_right_checksum_gives_no_other_error(
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
def test_a_wrong_digest_is_told_with_both(folder: Path, compression: str) -> None:
    (folder / "f").write_text("x")
    packed = pack(scan(folder / "f", "work/f"), folder / "a.tar", compression=compression)
    with pytest.raises(TarballError, match=f"{'0' * 64}.*{packed.digest}"):
        unpack(folder / "a.tar", {"work": folder / "w"}, digest="0" * 64, compression=compression)


def test_more_after_the_end_is_refused(folder: Path) -> None:
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
def test_zstd_that_is_damaged_at_its_end_is_refused(
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
def test_a_zstd_program_that_cannot_write_is_an_os_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(compression, "_zstd_module", lambda: None)
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(OSError, match="No space left"),
        compression.compressing(full, "zstd") as stream,
    ):
        stream.write(os.urandom(size))


def test_without_zstd_the_option_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_zstd_module", lambda: None)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(TarballError, match="--grid-compression"):
        pack([], folder / "a.tar", compression="zstd")
    with pytest.raises(TarballError, match="--grid-compression"):
        pack([], folder / "a.tar", compression="bzip2")


# Manifests and limits


def expected(name: str, data: bytes, **fields: Any) -> dict[str, Member]:
    sha256 = hashlib.sha256(data).hexdigest()
    return {name: replace(Member(name, "file", 0o644, len(data), 0, sha256), **fields)}


def test_only_what_the_manifest_names_is_taken(folder: Path) -> None:
    archive = craft(folder / "a.tar", member("work/a", b"a"), member("work/b", b"b"))
    found = unpack(archive, {"work": folder / "w"}, manifest=expected("work/a", b"a", mtime_ns=7))
    assert found.extra == ["work/b"]
    assert [path.name for path in (folder / "w").iterdir()] == ["a"]
    assert (folder / "w" / "a").stat().st_mtime_ns == 7


@pytest.mark.parametrize("size", [1, 300_000])
@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"size": 5}, "bytes, but the manifest says 5"),
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"kind": "dir"}, "is a file, but the manifest says dir"),
    ],
)
def test_what_the_manifest_says_otherwise_is_refused(
    folder: Path, size: int, fields: dict[str, Any], why: str
) -> None:
    archive = craft(folder / "a.tar", member("work/a", b"a" * size))
    said = expected("work/a", b"a" * size, **fields)
    with pytest.raises(TarballError, match=why):
        unpack(archive, {"work": folder / "w"}, manifest=said)
    assert not (folder / "w" / "a").exists()


def test_links_are_held_to_the_manifest(folder: Path) -> None:
    archive = craft(folder / "a.tar", link("work/l", "x"))
    said = {"work/l": Member("work/l", "link", 0o777, 0, 0, target="y")}
    with pytest.raises(TarballError, match="is a link to 'x'"):
        unpack(archive, {"work": folder / "w"}, manifest=said)


def test_what_is_missing_is_named(folder: Path) -> None:
    said = expected("work/a", b"a")
    with pytest.raises(TarballError, match=r"'work/a'.*missing"):
        unpack(craft(folder / "a.tar"), {"work": folder / "w"}, manifest=said)
    found = unpack(
        folder / "a.tar", {"work": folder / "w"}, manifest=said, wanted=lambda name: False
    )
    assert found == Unpacked([], [])


def test_only_what_is_wanted_is_taken(folder: Path) -> None:
    archive = craft(folder / "a.tar", member("work/a", b"a"), member("work/b", b"b"))
    found = unpack(archive, {"work": folder / "w"}, wanted=lambda name: name == "work/b")
    assert [one.name for one in found.members] == ["work/b"]
    assert found.extra == []


def test_a_bomb_is_not_written(folder: Path) -> None:
    data = bytes(50 << 20)
    plain = craft(folder / "plain.tar", member("work/a", b"a"), member("work/bomb", data))
    bomb = folder / "a.tar.gz"
    bomb.write_bytes(gzip.compress(plain.read_bytes()))
    said = expected("work/a", b"a") | expected("work/bomb", b"small")
    cases: list[dict[str, Any]] = [{"limit": 1 << 20}, {"manifest": said}]
    for number, options in enumerate(cases):
        target = folder / f"w{number}"
        with pytest.raises(TarballError, match="work/bomb"):
            unpack(bomb, {"work": target}, compression="gzip", **options)
        assert sum(path.stat().st_size for path in target.iterdir()) == 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"name": "../x"},
        {"name": 5},
        {"kind": "fifo"},
        {"mode": -1},
        {"mode": True},
        {"size": "5"},
        {"size": -1},
        {"mtime_ns": 1e9},
        {"mtime_ns": 1 << 80},
        {"sha256": "abc"},
        {"sha256": None},
        {"target": 1},
    ],
)
def test_a_manifest_from_outside_is_checked(value: Any) -> None:
    good = Member("work/a", "file", 0o644, 1, 2, "0" * 64).to_json()
    assert Member.from_json(good).to_json() == good
    with pytest.raises(TarballError, match=r"manifest|name"):
        Member.from_json({**good, **value} if value else value)


# Packing


def entry_of(path: Path) -> Entry:
    [entry] = scan(path, "work/f")
    return entry


@pytest.mark.parametrize("size", [1, 3 << 20])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_size_is_named(folder: Path, size: int, change: int) -> None:
    path = folder / "f"
    path.write_bytes(bytes(size))
    entry = entry_of(path)
    os.truncate(path, size + change)
    with pytest.raises(TarballError, match=f"{path} changed"):
        pack([entry], folder / "a.tar")
    assert [found.name for found in folder.iterdir()] == ["f"]


@pytest.mark.parametrize("change", [-4096, 4096, 0])
def test_a_file_that_changes_while_it_is_read_is_named(
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


def test_a_file_that_vanishes_is_named(folder: Path) -> None:
    (folder / "f").touch()
    entry = entry_of(folder / "f")
    (folder / "f").unlink()
    with pytest.raises(TarballError, match="vanished"):
        pack([entry], folder / "a.tar")
    os.mkfifo(folder / "f")
    with pytest.raises(TarballError, match="not a regular file"):
        pack([entry], folder / "a.tar")


def test_names_that_are_twice_or_climb_are_not_packed(folder: Path) -> None:
    entry = Entry("work/d", "", "dir", 0o755, 0, 0)
    with pytest.raises(TarballError, match="twice"):
        pack([entry, entry], folder / "a.tar")
    with pytest.raises(TarballError, match="plain path"):
        pack([replace(entry, name="work/../d")], folder / "a.tar")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_os_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_scan_follows_the_top_alone_and_skips_what_is_no_file(folder: Path) -> None:
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


# Copying and memory


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (5 << 20) + 3])
def test_a_copy_is_hashed_and_private(folder: Path, size: int) -> None:
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


def test_a_copy_beyond_the_limit_is_removed(folder: Path) -> None:
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
# Not ru_maxrss, which counts the process that this one was forked from as well.
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
