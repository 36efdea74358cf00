"""Headers of archives are those of `tarfile`."""

from __future__ import annotations

import itertools
import tarfile

import pytest

from snakemake_executor_plugin_grid.worker.archive.header import header
from snakemake_executor_plugin_grid.worker.archive.listing import Entry

NAMES = ["work/a", *("w/" + "a" * count for count in (96, 97, 98, 99, 150)), "work/é", "\udcff"]
TIMES = [0, 10**18 + 7, -1, (8**11 - 1) * 10**9, 8**11 * 10**9]
SIZES = [0, 1, 8**11 - 1, 8**11]


@pytest.mark.parametrize("kind", ["file", "dir", "link"])
@pytest.mark.parametrize("records", [{}, {"GNU.sparse.major": "1"}])
def test_bytes_are_those_of_tarfile(kind: str, records: dict[str, str]) -> None:
    types = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
    targets = ["", "../x", "y" * 100, "y" * 101, "é"]
    for name, mtime, size, target, mode in itertools.product(
        NAMES, TIMES, SIZES, targets, (0, 0o644, 0o7777)
    ):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size = types[kind], mode, size
        info.mtime, info.linkname = mtime // 10**9, target
        info.pax_headers = dict(records)
        wanted = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        assert header(Entry(name, "", kind, mode, 0, mtime, target), size, records) == wanted
