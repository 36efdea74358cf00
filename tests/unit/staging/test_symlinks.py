from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.staging.symlinks import scan_following


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "in"
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "a").write_text("abc")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b").write_text("b")
    return top


def listed(top: Path) -> dict[str, str]:
    """Return kinds by name, for links the target."""
    return {entry.name: entry.target or entry.kind for entry in scan_following(top, "work/in")}


def test_plain_folder(top: Path) -> None:
    assert listed(top) == {"work/in": "dir", "work/in/sub": "dir", "work/in/sub/a": "file"}


def test_links_within_stay_links_and_become_relative(top: Path) -> None:
    (top / "relative").symlink_to("sub/a")
    (top / "absolute").symlink_to(top / "sub" / "a")
    (top / "broken").symlink_to("missing")
    found = listed(top)
    assert found["work/in/relative"] == found["work/in/absolute"] == "sub/a"
    assert found["work/in/broken"] == "missing"


def test_links_that_lead_out_are_replaced_by_their_targets(top: Path, tmp_path: Path) -> None:
    (top / "file").symlink_to("../other/b")
    (top / "folder").symlink_to(tmp_path / "other")
    found = {entry.name: entry for entry in scan_following(top, "work/in")}
    assert [found[f"work/in/{name}"].kind for name in ("file", "folder")] == ["file", "dir"]
    assert found["work/in/folder/b"].path == str(tmp_path / "other" / "b")


def test_broken_and_circular_links_are_left_out(top: Path, tmp_path: Path) -> None:
    (top / "broken").symlink_to("/nonexistent/x")
    (top / "parent").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(top)
    found = listed(top)
    assert "work/in/broken" not in found
    assert "work/in/parent/b" in found
    assert "work/in/parent/back" not in found


def test_file_under_a_link(top: Path) -> None:
    (top / "link").symlink_to("sub/a")
    (entry,) = scan_following(top / "link", "work/link")
    assert (entry.kind, entry.size) == ("file", 3)
