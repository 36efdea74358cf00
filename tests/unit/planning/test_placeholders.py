from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.planning import placeholders
from snakemake_executor_plugin_grid.planning.placeholders import collect, write_listing
from snakemake_executor_plugin_grid.staging.paths import Layout


def put(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(5, 7))


def test_listed_folders_are_listed_again(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "flow", tmp_path / "elsewhere"
    for path in (home / "raw/b.dat", home / "raw/a.dat", home / "raw/.git/x", elsewhere / "c"):
        put(path, "12345")
    put(home / "raw/source.csv")
    (home / "raw/empty").mkdir()
    (home / "raw/gone").symlink_to("nowhere")
    (home / "raw/linked").symlink_to("a.dat")
    put(home / "venv/pyvenv.cfg")
    put(home / "venv/lib/x.py")
    listed = {
        **dict.fromkeys(map(str, (home / "raw", home / "venv", home / "venv/lib")), False),
        **dict.fromkeys(map(str, (home / "none", elsewhere, home / "raw/.git")), False),
        str(tmp_path / "beside"): True,
    }
    put(tmp_path / "beside/d", "1")
    found = collect(Layout(home), listed, [], {"work/raw/source.csv"})
    assert found.folders == {
        "up1/beside": [("d", 1, 7)],
        "work/raw": [("a.dat", 5, 7), ("b.dat", 5, 7), ("linked", 5, 7)],
        "work/raw/empty": [],
    }
    assert not found.warning
    entry = write_listing(found, tmp_path / "config")
    again = write_listing(found, tmp_path / "config")
    assert entry is not None
    assert again is not None
    assert entry.path == again.path  # named by its bytes
    assert entry.name.startswith("up1/")
    read = json.loads(gzip.decompress(Path(entry.path).read_bytes()))
    assert read["work/raw"][0] == ["a.dat", 5, 7]


def test_nothing_listed_is_no_file(tmp_path: Path) -> None:
    assert write_listing(collect(Layout(tmp_path), {}, [], set()), tmp_path / "config") is None
    assert not (tmp_path / "config").exists()


def test_the_number_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placeholders, "MOST", 2)
    for name in "abc":
        put(tmp_path / name)
    found = collect(Layout(tmp_path), {str(tmp_path): True}, [], set())
    assert [leaf for leaf, _, _ in found.folders["work"]] == ["a", "b"]
    assert "lists more than 2 files" in found.warning
