"""Archives that hold more than is stated, and loops that end early."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.archive import reader
from snakemake_executor_plugin_grid.worker.archive.compression import compressing
from snakemake_executor_plugin_grid.worker.archive.files import copy_file, copy_hashed, file_digest
from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.archive.member import Member, TarballError
from snakemake_executor_plugin_grid.worker.archive.pack import pack
from snakemake_executor_plugin_grid.worker.archive.unpack import unpack
from snakemake_executor_plugin_grid.worker.interruption import InterruptionError, interrupt_by

from .tarballs import COMPRESSIONS, craft, folder, member, tar_bytes

__all__ = ["folder"]

STATED = {"work/a": Member("work/a", "file", 0o644, 1, 0)}
GOOD = member("work/a", b"a")
BOMBS = {
    "a large file that is not stated": [GOOD, member("work/bomb", bytes(12 << 20))],
    "many files that are not stated": [
        *(member(f"work/{number}") for number in range(20_000)),
        GOOD,
    ],
    "long names": [
        *(member(f"work/{number}{'n' * 5000}", pax_headers={}) for number in range(1000)),
        GOOD,
    ],
    "much after the end": [GOOD, member("work/b", bytes(3 << 20))],
}


HEADERS = [member(f"new/{number}") for number in range(9)]


def write(path: Path, data: bytes, compression: str) -> None:
    """Write an archive."""
    with path.open("wb") as file:
        if compression == "none":
            file.write(data)
        else:
            with compressing(file, compression) as stream:
                stream.write(data)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of all that is read from archives."""
    sizes: list[int] = []
    real = reader.Source.take

    def take(source: reader.Source, most: int) -> bytes:
        data = real(source, most)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(reader.Source, "take", take)
    return sizes


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_bomb_is_not_read_to_its_end(
    folder: Path, taken: list[int], bomb: str, compression: str
) -> None:
    data = tar_bytes(*BOMBS[bomb], format=tarfile.PAX_FORMAT)
    write(folder / "a.tar", data, compression)
    with pytest.raises(TarballError, match=r"more than|too long"):
        unpack(folder / "a.tar", {"work": folder / "w"}, compression=compression, manifest=STATED)
    assert sum(taken) < 4 << 20


def test_a_few_files_that_are_not_stated_are_named(folder: Path) -> None:
    archive = craft(folder / "a.tar", GOOD, member("work/b", bytes(1 << 20)))
    assert unpack(archive, {"work": folder / "w"}, manifest=STATED).extra == ["work/b"]


def test_the_longest_headers_are_within_the_limit(folder: Path) -> None:
    names = [f"work/{number}/" + "/".join(["é" * 100] * 15) for number in range(1000)]
    members = [member(name) for name in names]
    archive = craft(folder / "a.tar", *members, format=tarfile.PAX_FORMAT)
    stated = {name: Member(name, "file", 0o644, 0, 0) for name in names}
    assert len(unpack(archive, {"work": folder / "w"}, manifest=stated).members) == 1000


@pytest.fixture
def _interrupted() -> Iterator[None]:
    """End every loop after its second block."""
    blocks: list[None] = []

    def look() -> None:
        blocks.append(None)
        if len(blocks) > 2:
            raise InterruptionError

    interrupt_by(look)
    yield
    interrupt_by()


def _unpack_headers(compression: str) -> Callable[[Path, Path], object]:
    """Return what reads an archive whose blocks are headers."""

    def loop(source: Path, target: Path) -> object:
        archive = source.with_name(f"headers.{compression}")
        roots = {target.name: target.parent}
        return unpack(archive, roots, wanted=lambda _: False, compression=compression)

    return loop


LOOPS: dict[str, Callable[[Path, Path], object]] = {
    "hashing": lambda source, _: file_digest(source),
    "copying": copy_hashed,
    "copying a file": copy_file,
    "packing": lambda source, target: pack(scan(source, "work/f"), target),
    "packing with gzip": lambda source, target: pack(
        scan(source, "work/f"), target, compression="gzip"
    ),
    "unpacking": lambda source, target: unpack(
        source.with_name("a.tar"), {target.name: target.parent}
    ),
    "skipping": lambda source, target: unpack(
        source.with_name("a.tar"), {target.name: target.parent}, wanted=lambda _: False
    ),
    **{f"reading headers with {name}": _unpack_headers(name) for name in COMPRESSIONS},
}


@pytest.mark.parametrize("loop", LOOPS)
def test_loops_end_between_blocks(folder: Path, loop: str, request: pytest.FixtureRequest) -> None:
    source = folder / "f"
    source.write_bytes(b"x" * (4 << 20))
    craft(folder / "a.tar", member("new/f", source.read_bytes()))
    for compression in COMPRESSIONS:
        write(folder / f"headers.{compression}", tar_bytes(*HEADERS), compression)
    (folder / "w").mkdir()
    request.getfixturevalue("_interrupted")
    with pytest.raises(InterruptionError):
        LOOPS[loop](source, folder / "w" / "new")
    assert list((folder / "w").iterdir()) == []
