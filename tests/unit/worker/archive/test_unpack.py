"""Unpacking: hostile archives write nothing, and the manifest is enforced."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.worker.archive.member import Member, TarballError
from snakemake_executor_plugin_grid.worker.archive.unpack import Unpacked, unpack

from .tarballs import TIME, craft, folder, link, member, tar_bytes

__all__ = ["folder"]


def pax(body: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member("x", body, type=tarfile.XHDTYPE)


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
        "too large",
    ),
    "headers in headers": (
        [member("x", b"12 path=w/x\n", type=tarfile.XHDTYPE)] * 2000 + [member("work/x", b"x")],
        "too large",
    ),
    "digits without end": ([pax(b"1" * 60_000), member("work/x", b"x")], "too large"),
    "no record": ([pax(b"garbage!!!"), member("work/x", b"x")], "bad record"),
    "garbage after a record": ([pax(b"15 path=work/y\n!"), member("work/x", b"x")], "bad record"),
    "size that is no number": ([pax(b"12 size=1_0\n"), member("work/x", b"x")], "bad size"),
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
    "name too long for the disk": ([member("work/" + "x" * 300, b"x")], "too long"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("skipped", [False, True])
def test_hostile_archives_are_refused(folder: Path, case: str, skipped: bool) -> None:
    members, why = HOSTILE[case]
    archive = craft(folder / "a.tar", *members, format=tarfile.PAX_FORMAT)
    options: dict[str, Any] = {"manifest": {}} if skipped else {}
    if skipped and case == "below a file":
        options = {}  # a skipped member cannot collide
    with pytest.raises(TarballError, match=why) as caught:
        unpack(archive, {"work": folder / "box" / "work"}, **options)
    assert str(archive) in str(caught.value)
    assert {path.name for path in folder.iterdir()} == {"a.tar", "box"}
    assert [path.name for path in (folder / "box").iterdir()] == ["work"]


def test_a_map_of_a_sparse_file_is_not_read(folder: Path) -> None:
    # Of 16 MiB, which tarfile would read whole and split into lines.
    info, data = member("work/x", b"0\n" * (8 << 20))
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    archive = craft(folder / "a.tar", (info, data), format=tarfile.PAX_FORMAT)
    with pytest.raises(TarballError, match="sparse"):
        unpack(archive, {"work": folder / "work"})
    old = bytearray(tar_bytes(member("work/x", b"x", type=tarfile.GNUTYPE_SPARSE)))
    old[482] = 1  # more of the map follows, in block after block
    archive.write_bytes(bytes(old[:512]) + (b"0" * 504 + b"\1" + bytes(7)) * 20_000)
    with pytest.raises(TarballError):
        unpack(archive, {"work": folder / "work2"})


def test_the_longest_names_are_taken(folder: Path) -> None:
    target = "/".join(["t" * 255] * 15)
    archive = craft(folder / "a.tar", link("work/l", target), format=tarfile.PAX_FORMAT)
    unpack(archive, {"work": folder / "work"})
    assert (folder / "work" / "l").readlink() == Path(target)


def test_links_may_point_to_the_highest_root(folder: Path) -> None:
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


def test_link_through_a_link_cannot_leave_the_tree(folder: Path) -> None:
    archive = craft(
        folder / "a.tar", link("work/a/b/up", "../.."), link("work/a/b/out", "up/../../secret")
    )
    unpack(archive, {"work": folder / "work"})
    (folder / "secret").write_text(SECRET)
    assert (folder / "work/a/b/out").readlink() == Path("../secret")


def test_existing_links_are_not_followed(folder: Path) -> None:
    (folder / "outside").mkdir()
    (folder / "work").mkdir()
    (folder / "work" / "d").symlink_to("../outside")
    (folder / "work" / "f").symlink_to("../outside/new")
    for name in ("work/d/x", "work/f"):
        with pytest.raises(TarballError):
            unpack(craft(folder / "a.tar", member(name, b"x")), {"work": folder / "work"})
    assert list((folder / "outside").iterdir()) == []


def test_existing_file_is_not_replaced(folder: Path) -> None:
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


def test_special_mode_bits_are_dropped_and_late_times_limited(folder: Path) -> None:
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


# Manifests and limits


def expected(name: str, data: bytes, **fields: Any) -> dict[str, Member]:
    sha256 = hashlib.sha256(data).hexdigest()
    return {name: replace(Member(name, "file", 0o644, len(data), 0, sha256), **fields)}


def test_only_members_in_the_manifest_are_unpacked(folder: Path) -> None:
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
def test_member_that_differs_from_the_manifest_is_refused(
    folder: Path, size: int, fields: dict[str, Any], why: str
) -> None:
    archive = craft(folder / "a.tar", member("work/a", b"a" * size))
    said = expected("work/a", b"a" * size, **fields)
    with pytest.raises(TarballError, match=why):
        unpack(archive, {"work": folder / "w"}, manifest=said)
    assert not (folder / "w" / "a").exists()


def test_link_that_differs_from_the_manifest_is_refused(folder: Path) -> None:
    archive = craft(folder / "a.tar", link("work/l", "x"))
    said = {"work/l": Member("work/l", "link", 0o777, 0, 0, target="y")}
    with pytest.raises(TarballError, match="is a link to 'x'"):
        unpack(archive, {"work": folder / "w"}, manifest=said)


def test_missing_member_is_named(folder: Path) -> None:
    said = expected("work/a", b"a")
    with pytest.raises(TarballError, match=r"'work/a'.*missing"):
        unpack(craft(folder / "a.tar"), {"work": folder / "w"}, manifest=said)
    found = unpack(
        folder / "a.tar", {"work": folder / "w"}, manifest=said, wanted=lambda name: False
    )
    assert found == Unpacked([], [])


def test_only_wanted_members_are_unpacked(folder: Path) -> None:
    archive = craft(folder / "a.tar", member("work/a", b"a"), member("work/b", b"b"))
    found = unpack(archive, {"work": folder / "w"}, wanted=lambda name: name == "work/b")
    assert [one.name for one in found.members] == ["work/b"]
    assert found.extra == []


def test_archive_bomb_is_not_written(folder: Path) -> None:
    data = bytes(50 << 20)
    plain = craft(folder / "plain.tar", member("work/a", b"a"), member("work/bomb", data))
    bomb = folder / "a.tar.gz"
    bomb.write_bytes(gzip.compress(plain.read_bytes()))
    said = expected("work/a", b"a") | expected("work/bomb", b"small")
    with pytest.raises(TarballError, match="work/bomb"):
        unpack(bomb, {"work": folder / "w"}, compression="gzip", manifest=said)
    assert sum(path.stat().st_size for path in (folder / "w").iterdir()) == 1


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
def test_invalid_manifest_entry_is_refused(value: Any) -> None:
    good = Member("work/a", "file", 0o644, 1, 2, "0" * 64).to_json()
    assert Member.from_json(good).to_json() == good
    with pytest.raises(TarballError, match=r"manifest|name"):
        Member.from_json({**good, **value} if value else value)
