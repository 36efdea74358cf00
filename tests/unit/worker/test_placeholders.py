from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.snakemake_api.comparison.placeholders import (
    LIST_FILE,
    Placeholders,
)
from snakemake_executor_plugin_grid.worker.comparison import comparison_folder, write_comparison
from snakemake_executor_plugin_grid.worker.description import Blob, Job, Output
from snakemake_executor_plugin_grid.worker.fetch import InputDamagedError
from snakemake_executor_plugin_grid.worker.placeholders import left_placeholders
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker.stagein import stage_in
from snakemake_executor_plugin_grid.worker.tree import Tree

LISTING = {
    "work/raw": [["a.dat", 5, 7], ["big.dat", 1 << 40, 7], ["real.dat", 9, 7], ["out.dat", 1, 7]],
    "work/raw/empty": [],
    "work/results/old": [["x", 1, 7]],
    "up1/shared": [["s", 1, 7]],
}


def stage(tmp_path: Path, data: bytes, digest: str = "") -> tuple[Tree, Job]:
    real = b"123456789"
    blobs = []
    for content, kind in ((data, "placeholders"), (real, "raw")):
        name = hashlib.sha256(content).hexdigest()
        (tmp_path / name).write_bytes(content)
        blobs.append(Blob(name, len(content), kind=kind, name="work/raw/real.dat"))
    (tmp_path / blobs[0].digest).write_bytes(data if not digest else b"other")
    outputs = (Output("work/raw/out.dat"), Output("work/results"))
    job = Job("n", "c", (), tuple(blobs), outputs, Runtime("inherit"), comparison="{}")
    tree = Tree(tmp_path / "tree", ())
    staged, _ = stage_in(job, tmp_path, tree, tmp_path / "runtime")
    assert staged == {"work/raw/real.dat"}
    return tree, job


def test_placeholders_are_where_nothing_else_is(tmp_path: Path) -> None:
    tree, job = stage(tmp_path, gzip.compress(json.dumps(LISTING).encode()))
    raw = tree.cwd / "raw"
    assert sorted(path.name for path in raw.iterdir()) == ["a.dat", "big.dat", "empty", "real.dat"]
    assert not (tree.cwd / "results").exists()
    status = (raw / "big.dat").stat()
    assert (status.st_size, status.st_mtime_ns, status.st_blocks) == (1 << 40, 7, 0)
    assert not status.st_mode & 0o777  # nobody may read it
    assert (raw / "real.dat").read_bytes() == b"123456789"
    both = {"work/raw/a.dat", "work/raw/big.dat"}
    assert left_placeholders(tree) == both

    # Snakemake removes them, and a process of its own makes them again.
    write_comparison(job, tmp_path, tree)
    placeholders = Placeholders(str(comparison_folder(tmp_path)))
    (raw / "a.dat").unlink()
    (raw / "a.dat").write_text("mine")
    assert left_placeholders(tree) == {"work/raw/big.dat"}
    placeholders.remove()
    assert sorted(path.name for path in raw.iterdir()) == ["a.dat", "empty", "real.dat"]
    placeholders.restore()
    assert (raw / "a.dat").read_text() == "mine"
    assert (raw / "big.dat").stat().st_size == 1 << 40
    assert json.loads((comparison_folder(tmp_path) / LIST_FILE).read_text())


def test_a_folder_that_an_input_brings_gets_none(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "tree", ())
    (tree.cwd / "raw").mkdir()
    (tree.cwd / "raw/linked").symlink_to("../elsewhere")
    (tree.cwd / "elsewhere").mkdir()
    from snakemake_executor_plugin_grid.worker.placeholders import make_placeholders

    listing = tmp_path / "listing"
    names = {"work/raw/linked": [["x", 1, 7]], "work/full/sub": [["y", 1, 7]]}
    listing.write_bytes(gzip.compress(json.dumps(names).encode()))
    make_placeholders(listing, tree, {"work/full"})
    assert not tree.placeholders
    assert not os.listdir(tree.cwd / "elsewhere")  # noqa: PTH208


@pytest.mark.parametrize(
    "data", [b"nothing", gzip.compress(b"{"), gzip.compress(b"[]")], ids=["text", "open", "list"]
)
def test_a_damaged_listing_is_an_input_damaged(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputDamagedError, match="listing is damaged"):
        stage(tmp_path, data)


def test_another_listing_is_an_input_damaged(tmp_path: Path) -> None:
    with pytest.raises(InputDamagedError, match="is not the file with SHA-256"):
        stage(tmp_path, gzip.compress(b"{}"), "other")


def test_a_name_that_leads_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputDamagedError, match="not a plain path"):
        stage(tmp_path, gzip.compress(b'{"work/../../x": []}'))
