"""Links to folders: what is behind them travels as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.planning import folders

from .conftest import Home


def test_a_linked_folder_within_the_working_directory_travels(home: Home) -> None:
    home.put("common/tools/h.py", "common/tools/deep/i.py")
    (home.folder / "tools").symlink_to("common/tools")
    found = home.collect(declared=frozenset({"tools", "common/tools/h.py"}))
    assert set(found.entries) == {
        *("work/common/tools/h.py", "work/common/tools/deep/i.py"),
        *("work/tools/h.py", "work/tools/deep/i.py"),
    }
    # A link would be in the way of inputs below it.
    assert found.entries["work/tools/h.py"].kind == "file"


def test_a_linked_folder_elsewhere_travels(home: Home, tmp_path: Path) -> None:
    home.put("../shared/h.py", "../shared/.secret", "../shared/.git/x", "Snakefile")
    (tmp_path / "shared" / "more").symlink_to(home.folder)  # which contains the link
    (home.folder / "tools").symlink_to(tmp_path / "shared")
    assert home.names() == {"work/tools/h.py", "work/Snakefile"}


def test_a_link_that_git_tracks_elsewhere_travels(home: Home, tmp_path: Path) -> None:
    home.put("../lib/h.py")
    (tmp_path / "tools").symlink_to("lib")
    assert home.names(declared=frozenset({"../tools"})) == {"up1/tools/h.py"}


def test_links_in_a_circle_end(home: Home) -> None:
    home.put("a/x", "b/y")
    (home.folder / "loop").symlink_to(".")
    (home.folder / "a" / "up").symlink_to("..")
    (home.folder / "a" / "b").symlink_to("../b")
    (home.folder / "b" / "a").symlink_to("../a")
    assert home.names() == {"work/a/x", "work/b/y", "work/a/b/y", "work/b/a/x"}


def test_environments_and_folders_of_tools_behind_links_are_not_sent(home: Home) -> None:
    home.put(".snakemake/conda/1/x", "../venv/pyvenv.cfg", "../venv/bin/python", "kept")
    (home.folder / "env").symlink_to(".snakemake/conda/1")
    (home.folder / "venv").symlink_to("../venv")
    assert home.names() == {"work/kept"}


def test_inputs_and_products_behind_links_are_no_sources(home: Home) -> None:
    home.put("../disk/in.dat", "../disk/out.dat", "../disk/helper.py")
    (home.folder / "data").symlink_to("../disk")
    found = home.names(inputs={"work/data/in.dat"}, products={"work/data/out.dat"})
    assert found == {"work/data/helper.py"}


def test_a_link_to_a_large_data_set_is_reported_and_not_sent(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_MOST_BEHIND_A_LINK", 3)
    home.put(*(f"../disk/{number}" for number in range(4)), "Snakefile")
    home.put(*(f"inside/{number}" for number in range(4)))
    (home.folder / "data").symlink_to("../disk")
    (home.folder / "copy").symlink_to("inside")
    found = home.collect(declared=frozenset({"data"}))
    assert {name.split("/")[1] for name in found.entries} == {"Snakefile", "inside", "copy"}
    (warning,) = found.warnings
    assert "data" in warning
    assert "--grid-include" in warning


def test_files_behind_links_leave_first_when_all_are_too_many(home: Home) -> None:
    home.put("own.py", size=60)
    home.put("../disk/a", "../disk/b", size=40)
    (home.folder / "data").symlink_to("../disk")
    found = home.collect(total_limit=100)
    assert "work/own.py" in found.entries
    assert len(found.entries) == 2
    assert len(found.left_out) == 1
