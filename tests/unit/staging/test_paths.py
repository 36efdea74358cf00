from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.model.untrusted import UntrustedError
from snakemake_executor_plugin_grid.staging.paths import Layout, OutsideError, climb, depth
from snakemake_executor_plugin_grid.worker.tree import below

WORKDIR = Path("/home/me/analysis")
components = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8
).filter(lambda part: part not in (".", ".."))


@st.composite
def paths(draw: st.DrawFn) -> str:
    """Relative paths that do not lead above the root."""
    parts = [".."] * draw(st.integers(0, 3)) + draw(st.lists(components, max_size=4))
    return "/".join(parts) or "."


@given(paths())
def test_a_name_maps_back_to_the_same_file(path: str) -> None:
    layout = Layout(WORKDIR)
    assert str(layout.local(layout.member(path))) == os.path.normpath(WORKDIR / path)


@given(paths())
def test_member_is_a_plain_relative_name(path: str) -> None:
    member = Layout(WORKDIR).member(path)
    assert not member.startswith("/")
    assert not {"", ".", ".."} & set(member.split("/"))
    assert member.split("/")[0] in ("work", "up1", "up2", "up3")


@given(st.lists(components, max_size=4))
def test_absolute_and_relative_paths_have_the_same_name(parts: list[str]) -> None:
    layout = Layout(WORKDIR)
    assert layout.member(str(WORKDIR.joinpath(*parts))) == layout.member("/".join(parts) or ".")


@given(st.lists(paths(), min_size=1))
def test_nesting_reaches_the_deepest_climb(names: list[str]) -> None:
    layout = Layout(WORKDIR)
    levels = depth([layout.member(name) for name in names])
    assert levels == max(PurePosixPath(name).parts.count("..") for name in names)
    assert layout.nesting(levels) == (() if levels == 0 else WORKDIR.parts[-levels:])


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("a.txt", "work/a.txt"),
        ("./data//a.txt", "work/data/a.txt"),
        ("data/../a.txt", "work/a.txt"),
        ("results/", "work/results"),
        (".", "work"),
        ("..", "up1"),
        ("../shared/genome.fa", "up1/shared/genome.fa"),
        ("../../x", "up2/x"),
        ("up1/x", "work/up1/x"),
        ("..x/y", "work/..x/y"),
        ("/home/me/analysis/a.txt", "work/a.txt"),
        ("/home/me/analysis", "work"),
        ("//home/me/./analysis/a.txt", "work/a.txt"),
        ("/home/me/other/../analysis/a.txt", "work/a.txt"),
        ("../analysis/a.txt", "work/a.txt"),
        ("../../me/analysis", "work"),
        ("../../me/x", "up1/x"),
        ("../me/x", "up1/me/x"),
    ],
)
def test_names(path: str, member: str) -> None:
    assert Layout(WORKDIR).member(path) == member


@pytest.mark.parametrize(
    "path", ["/cvmfs/x", "/home/me/analysis2/x", "/home/me", "../../../../x", "../../../.."]
)
def test_paths_elsewhere_have_no_name(path: str) -> None:
    with pytest.raises(OutsideError):
        Layout(WORKDIR).member(path)


def test_working_directory_is_known_by_its_link_and_by_its_target(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "link"
    link.symlink_to(real)
    layout = Layout(link)
    assert layout.workdir == link
    assert layout.member(f"{link}/a") == layout.member(f"{real}/a") == "work/a"
    assert layout.local("work/a") == link / "a"


@pytest.fixture
def aliased(tmp_path: Path) -> Path:
    """A working directory ``home/analysis`` that is also ``alias/analysis`` and ``direct``."""
    (tmp_path / "home" / "analysis" / "results").mkdir(parents=True)
    (tmp_path / "alias").symlink_to("home")
    (tmp_path / "direct").symlink_to("home/analysis")
    (tmp_path / "results").symlink_to("home/analysis/results")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("alias/analysis/results/a.txt", "work/results/a.txt"),
        ("alias/analysis/new/folder/a.txt", "work/new/folder/a.txt"),
        ("alias/analysis", "work"),
        ("direct", "work"),
        ("direct/a.txt", "work/a.txt"),
        ("results", "work/results"),
        ("results/a.txt", "work/results/a.txt"),
    ],
)
def test_another_name_of_the_working_directory(aliased: Path, path: str, member: str) -> None:
    assert Layout(aliased / "home" / "analysis").member(f"{aliased}/{path}") == member


def test_other_folders_behind_an_alias_stay_outside(aliased: Path) -> None:
    layout = Layout(aliased / "home" / "analysis")
    (aliased / "file").symlink_to("home/analysis/results/file")
    (aliased / "home/analysis/results/file").touch()
    for path in ("alias", "alias/other/a.txt", "results_2/a.txt", "file"):
        with pytest.raises(OutsideError):
            layout.member(f"{aliased}/{path}")


@pytest.mark.parametrize(
    ("path", "folders"),
    [
        ("a/b", []),
        ("a/..b/c", []),
        ("runs/first/../summary.txt", ["work/runs/first", "work/runs"]),
        ("a/../b/../c", ["work/a", "work", "work/b", "work"]),
        ("../x", ["work", "up1"]),
        ("../analysis/x", ["work", "up1"]),
        ("a/../../x", ["work/a", "work", "work", "up1"]),
        ("/home/me/analysis/a/../x", ["work/a", "work"]),
        ("/cvmfs/a/../x", []),
    ],
)
def test_folders_that_a_path_leads_through(path: str, folders: list[str]) -> None:
    assert list(Layout(WORKDIR).passed(path)) == folders


def test_a_path_that_climbs_out_of_the_target_of_a_link(tmp_path: Path) -> None:
    workdir = tmp_path / "analysis"
    (workdir / "real" / "sub").mkdir(parents=True)
    (workdir / "link").symlink_to("real/sub")
    (workdir / "beside").symlink_to("real")
    layout = Layout(workdir)
    assert layout.follows_link("link/../a.txt")
    assert layout.follows_link(f"{workdir}/link/../a.txt")
    for path in ("real/sub/../a.txt", "new/../a.txt", "beside/../a.txt", "../a.txt", "link/a.txt"):
        assert not layout.follows_link(path), path


def test_absolute_paths_in_commands(aliased: Path) -> None:
    layout = Layout(aliased / "home" / "analysis")
    given = {
        f"{layout.workdir}": "<grid_workdir>",
        f"{layout.workdir}/": "<grid_workdir>/",
        f"{layout.workdir}/results": "<grid_workdir>/results",
        f"{aliased}/direct/x/": "<grid_workdir>/x/",
        "results": "results",
        "/cvmfs/x": "/cvmfs/x",
        "/cvmfs\0": "/cvmfs\0",
        f"x{layout.workdir}": f"x{layout.workdir}",
        "": "",
    }
    assert {path: layout.on_worker(path) for path in given} == given


def test_levels_of_a_top_level_name() -> None:
    assert [climb(root) for root in ("work", "up1", "up12")] == [0, 1, 12]


def test_depth_without_names() -> None:
    assert depth([]) == 0


def test_below() -> None:
    folders = {"work/out", "up1/x"}
    assert below("work/out", folders)
    assert below("work/out/a/b", folders)
    assert below("up1/x/y", folders)
    assert not below("work/outer", folders)
    assert not below("work", folders)
    assert not below("work/x/y", folders)


def test_deepest_climb_of_paths() -> None:
    layout = Layout(WORKDIR)
    assert layout.deepest([]) == 0
    assert layout.deepest(["a", "../../b", "/cvmfs/x", "../c"]) == 2


@pytest.mark.parametrize("name", ["up99/x", "up5"])
def test_name_from_outside_does_not_lead_above_the_root(name: str) -> None:
    with pytest.raises(OutsideError, match="root of the file system"):
        Layout(Path("/home/me/project/run")).local(name)


@pytest.mark.parametrize("name", ["work//etc/passwd", "work/../x", "up1/../../x", "work/a/../../x"])
def test_name_from_outside_does_not_lead_elsewhere(name: str) -> None:
    with pytest.raises(UntrustedError):
        Layout(Path("/home/me/project/run")).local(name)
