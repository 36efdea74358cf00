"""Copies of configuration files travel in the place of the originals."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.planning.config_copies import with_copies
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.archive.pack import pack
from snakemake_executor_plugin_grid.worker.archive.unpack import unpack


def test_a_copy_has_the_mode_and_time_of_its_original(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("config.yaml", "other.yaml"):
        (home / name).write_text("original")
        (home / name).chmod(0o640)
        os.utime(home / name, ns=(10**18, 10**18))
    entries = {entry.name: entry for entry in scan(home, "work")}
    found = with_copies(entries, {"config.yaml": b"new"}, Layout(home), tmp_path / "copies")
    pack(found.values(), tmp_path / "a", compression="none")
    (tmp_path / "there").mkdir()
    unpack(tmp_path / "a", {"work": tmp_path / "there"}, compression="none")
    status = (tmp_path / "there" / "config.yaml").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 10**18)
    texts = {path.name: path.read_text() for path in (tmp_path / "there").iterdir()}
    assert texts == {"config.yaml": "new", "other.yaml": "original"}
    assert (home / "config.yaml").read_text() == "original"


def test_a_file_that_does_not_travel_is_named(tmp_path: Path) -> None:
    with pytest.raises(GridError, match=r"^\.\./config\.yaml: .*--grid-include"):
        with_copies({}, {"../config.yaml": b"new"}, Layout(tmp_path), tmp_path / "copies")
