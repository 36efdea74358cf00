from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.tree import Tree


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


def test_tree_without_climb(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "t", ())
    assert tree.cwd == tree.base == tmp_path / "t"
    assert tree.roots == {"work": tree.cwd}
    assert tree.cwd.is_dir()


def test_levels_above_are_named_as_at_home(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "t", ("me", "analysis"))
    assert tree.cwd == tmp_path / "t" / "me" / "analysis"
    assert tree.roots == {
        "work": tmp_path / "t" / "me" / "analysis",
        "up1": tmp_path / "t" / "me",
        "up2": tmp_path / "t",
    }


@pytest.mark.parametrize("name", ["work", "work/a/b", "up1/shared/x", "up2", "up2/y"])
def test_names_and_paths_belong_together(tmp_path: Path, name: str) -> None:
    tree = Tree(tmp_path / "t", ("me", "analysis"))
    assert tree.name(str(tree.path(name))) == name


def test_path_belongs_to_the_innermost_root(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "t", ("me", "analysis"))
    assert tree.name(str(tmp_path / "t" / "me" / "analysis" / "x")) == "work/x"
    assert tree.name(str(tmp_path / "t" / "me" / "analysis2")) == "up1/analysis2"


def test_path_outside_has_no_name(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "t", ())
    assert tree.name(str(tmp_path)) is None
    assert tree.name(str(tmp_path / "t2" / "x")) is None


def test_unknown_root_is_refused(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "t", ("analysis",))
    with pytest.raises(ValueError, match="up2/x: the job's tree has no folder up2"):
        tree.path("up2/x")


def test_files_of_the_job_are_listed(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "t", ("analysis",))
    for name in ("work/a", "work/d/b", "up1/shared/c", "work/.hidden"):
        put(tree.path(name))
    for name in ("work/.snakemake/log/x", "work/d/__pycache__/m.pyc"):
        put(tree.path(name))
    tree.path("work/link").symlink_to("a")
    tree.path("work/folder").symlink_to("d")
    tree.path("work/broken").symlink_to("missing")
    tree.path("work/empty").mkdir()
    assert sorted(tree.files()) == [
        *("up1/shared/c", "work/.hidden", "work/a", "work/broken", "work/d/b", "work/folder"),
        "work/link",
    ]
