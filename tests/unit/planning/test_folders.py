"""Links to folders: they travel as links, if what they lead to travels."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.planning import sources

from .conftest import Home


def links(home: Home, **values: object) -> dict[str, str]:
    """Return the targets of the links among the sources, by name."""
    entries = home.collect(**values).entries.values()
    return {entry.name: entry.target for entry in entries if entry.kind == "link"}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def test_a_linked_folder_within_the_working_directory_travels_as_a_link(home: Home) -> None:
    home.put("common/tools/h.py", "common/tools/deep/i.py", "sub/x")
    (home.folder / "tools").symlink_to("common/tools")
    (home.folder / "sub" / "tools").symlink_to(home.folder / "tools")
    found = home.collect(declared=frozenset({"tools", "common/tools/h.py"}))
    files = {"work/common/tools/h.py", "work/common/tools/deep/i.py", "work/sub/x"}
    assert set(found.entries) == {*files, "work/tools", "work/sub/tools"}
    assert found.entries["work/tools"].target == "common/tools"
    assert found.entries["work/sub/tools"].target == "../common/tools"
    assert found.warnings == []


def test_a_link_to_a_folder_of_the_workflow_beside_the_working_directory_travels(
    home: Home, tmp_path: Path
) -> None:
    home.put("../workflow/rules/a.smk")
    (home.folder / "rules").symlink_to("../workflow/rules")
    assert links(home, folders=(tmp_path / "workflow",)) == {"work/rules": "../workflow/rules"}


def test_what_is_outside_does_not_travel_and_is_reported(home: Home, tmp_path: Path) -> None:
    home.put("../shared/h.py", "../disk/in.dat", ".private/token", "Snakefile", "x/.git/config")
    (home.folder / "tools").symlink_to(tmp_path / "shared")
    (home.folder / "old").symlink_to(tmp_path / "shared")
    (home.folder / "conf").symlink_to(".private")
    (home.folder / "data").symlink_to("../disk")
    (home.folder / "git").symlink_to("x/.git")
    found = home.collect(inputs={"work/data/in.dat"}, exclude=("old",))
    assert set(found.entries) == {"work/Snakefile"}
    (warning,) = found.warnings
    assert "(tools)" in warning
    assert "--grid-include" in warning


def test_a_folder_outside_travels_if_it_is_included(home: Home, tmp_path: Path) -> None:
    home.put("../shared/h.py")
    (home.folder / "tools").symlink_to(tmp_path / "shared")
    found = home.collect(include=("tools",))
    assert set(found.entries) == {"work/tools", "work/tools/h.py"}
    assert found.warnings == []


def test_a_folder_outside_travels_if_git_tracks_link_and_target(home: Home, tmp_path: Path) -> None:
    home.put("../lib/h.py", "../lib/.hidden", "../lib/new.py", "../other/private")
    (home.folder / "lib").symlink_to("../lib")
    (home.folder / "other").symlink_to("../other")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "lib/h.py", "lib/.hidden", "home/lib", "home/other")
    found = home.collect(declared=frozenset({"lib", "other"}))
    assert set(found.entries) == {"up1/lib/h.py", "up1/lib/.hidden", "work/lib"}
    assert found.entries["work/lib"].target == "../lib"
    assert "(other)" in found.warnings[0]


def test_a_tracked_link_to_another_repository_is_not_followed(home: Home, tmp_path: Path) -> None:
    for repository in ("home", "private"):
        home.put(f"../{repository}/file")
        git(tmp_path / repository, "init", "-q")
        git(tmp_path / repository, "add", ".")
    (home.folder / "docs").symlink_to(tmp_path / "private")
    git(home.folder, "add", "docs")
    assert home.names(declared=frozenset({"docs", "file"})) == {"work/file"}


def test_links_in_a_circle_stay_links(home: Home) -> None:
    home.put("a/x", "b/y")
    targets = {"loop": ".", "a/up": "..", "a/b": "../b", "b/a": "../a"}
    for name, target in targets.items():
        (home.folder / name).symlink_to(target)
    assert links(home) == {f"work/{name}": target for name, target in targets.items()}
    assert len(home.names()) == 6
    found = home.names(inputs={"work/loop/b/y", "work/a/b/y"})
    assert found == {"work/a/x", "work/b/y", "work/a/up", "work/b/a"}


def test_folders_that_are_linked_to_each_other_are_sent_once(home: Home) -> None:
    names = [f"results/{number}" for number in range(9)]
    for name in names:
        home.put(f"{name}/file", f"{name}/log")
        for other in names:
            (home.folder / name / f"to-{Path(other).name}").symlink_to(f"../{Path(other).name}")
    # Through each link, of each folder, an input is named.
    inputs = {f"work/{name}/to-{number}/file" for name in names for number in range(9)}
    products = {f"work/{name}/log" for name in names}
    found = home.names(inputs=inputs, products=products, total_limit=10_000)
    assert found == {f"work/{name}/file" for name in names}


def test_environments_and_folders_of_tools_behind_links_are_not_sent(home: Home) -> None:
    home.put(".snakemake/conda/1/x", "sub/venv/pyvenv.cfg", "sub/venv/bin/python", "kept")
    (home.folder / "env").symlink_to(".snakemake/conda/1")
    (home.folder / "venv").symlink_to("sub/venv")
    assert home.names() == {"work/kept"}


def test_copies_travel_if_a_link_would_be_in_the_way(home: Home) -> None:
    home.put("disk/in.dat", "disk/out.dat", "disk/helper.py", "common/samples.csv", "common/x")
    (home.folder / "data").symlink_to("disk")
    (home.folder / "results").symlink_to("disk")
    (home.folder / "config").symlink_to("common")
    found = home.names(
        inputs={"work/data/in.dat"},
        products={"work/results/out.dat"},
        parsed={str(home.folder / "config" / "samples.csv"): True},
    )
    disk = {"in.dat", "out.dat", "helper.py"}
    assert found == {
        *(f"work/disk/{name}" for name in disk),
        *(f"work/data/{name}" for name in disk - {"in.dat"}),
        *(f"work/results/{name}" for name in disk - {"out.dat"}),
        *(
            f"work/{folder}/{name}"
            for folder in ("config", "common")
            for name in ("samples.csv", "x")
        ),
    }


def test_links_that_are_inputs_or_products_are_no_sources(home: Home) -> None:
    home.put("v1/x", "results/a/y")
    (home.folder / "cur").symlink_to("v1")
    (home.folder / "made").symlink_to("v1")
    (home.folder / "results" / "last").symlink_to("a")
    found = home.names(inputs={"work/cur"}, products={"work/made", "work/results"})
    assert found == {"work/v1/x"}


def test_an_included_folder_keeps_its_links(home: Home) -> None:
    home.put("data/v1/x.txt", "data/v2/y.txt", size=5000)
    (home.folder / "data" / "cur").symlink_to("v1")
    (home.folder / "data" / "next").symlink_to("v2")
    files = {
        "work/data",
        "work/data/v1",
        "work/data/v1/x.txt",
        "work/data/v2",
        "work/data/v2/y.txt",
    }
    found = home.collect(include=("data",))
    assert set(found.entries) == {*files, "work/data/cur", "work/data/next"}
    found = home.collect(
        include=("data",), parsed={str(home.folder / "data" / "cur" / "x.txt"): True}
    )
    assert set(found.entries) == {*files, "work/data/cur/x.txt", "work/data/next"}


def test_copies_leave_first_when_all_are_too_many(home: Home) -> None:
    home.put("own.py", size=60)
    home.put("disk/a", size=40)
    home.put("disk/b", size=20)
    (home.folder / "data").symlink_to("disk")
    found = home.collect(total_limit=140, inputs={"work/data/in"})
    assert set(found.entries) == {"work/own.py", "work/disk/a", "work/disk/b", "work/data/b"}
    assert found.left_out == [("data/a", 40)]


def test_the_number_of_copies_is_limited(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.put("disk/1", "disk/2", "disk/3")
    for name in "abcd":
        (home.folder / name).symlink_to("disk")
    inputs = {f"work/{name}/in" for name in "abcd"}
    monkeypatch.setattr(sources, "_MOST_FOUND", 12)
    found = home.collect(inputs=inputs)
    assert (len(found.entries), found.warnings) == (3 + 12, [])
    monkeypatch.setattr(sources, "_MOST_FOUND", 8)
    found = home.collect(inputs=inputs)
    assert len(found.entries) == 3 + 8
    assert {entry.kind for entry in found.entries.values()} == {"file"}
    assert "first 8" in found.warnings[0]


def test_the_folder_of_a_snakefile_may_be_a_link(home: Home, tmp_path: Path) -> None:
    home.put("../shared/Snakefile", "../shared/scripts/h.py")
    (home.folder / "workflow").symlink_to(tmp_path / "shared")
    found = home.names(folders=(home.folder / "workflow",))
    assert found == {"work/workflow/Snakefile", "work/workflow/scripts/h.py"}
