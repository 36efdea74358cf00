"""Absolute paths below the working directory are recognised in texts, and only they."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.snakemake_api.deciding.marking import Marker, check
from snakemake_executor_plugin_grid.snakemake_api.deciding.paths import Paths
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.worker.description import WORKDIR


class Texts:
    """Marks texts in which ``@`` stands for the working directory, and ``#`` for the cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "home" / "dir"
        self.folder.mkdir(parents=True)
        self.cache = folder / "cache"
        (self.cache / "file").mkdir(parents=True)
        self.translate = Layout(self.folder).on_worker
        self.marker = Marker(self.translate, [self.folder, self.cache])
        self.paths = Paths(self.translate, [self.cache])

    def mark(self, text: str) -> str:
        text = text.replace("@", str(self.folder)).replace("#", str(self.cache))
        return (
            self.marker.mark(text, self.paths).replace(WORKDIR, "W").replace(str(self.folder), "@")
        )


@pytest.fixture
def texts(tmp_path: Path) -> Texts:
    return Texts(tmp_path)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("cd @", "cd W"),
        ("cd @; ls", "cd W; ls"),
        ("cat @/a.txt '@/b c' \"@/d\"", "cat W/a.txt 'W/b c' \"W/d\""),
        ("x --file=@/a -I@/include PATH=@/bin:@/lib", "x --file=W/a -IW/include PATH=W/bin:W/lib"),
        ("x -B @,/cvmfs -B /cvmfs,@:/data", "x -B W,/cvmfs -B /cvmfs,W:/data"),
        ('x "-I@/a" ${X:-@/b}', 'x "-IW/a" ${X:-W/b}'),
        ("x file://@/a", "x file://W/a"),
        ("$(cat @/a) `cat @/b` >@/c <@/d", "$(cat W/a) `cat W/b` >W/c <W/d"),
        ("python -c \"open('@/a')\"", "python -c \"open('W/a')\""),
        # Other folders with a longer name.
        ("cd @2; ls @_x @-old @.bak", "cd @2; ls @_x @-old @.bak"),
        ("cd @\\ 2", "cd @\\ 2"),
        ("cd /mnt@ other@ ${X}@ $(pwd)@", "cd /mnt@ other@ ${X}@ $(pwd)@"),
        ("echo nothing", "echo nothing"),
    ],
)
def test_words_are_recognised(texts: Texts, text: str, marked: str) -> None:
    assert texts.mark(text) == marked
    assert texts.paths.files == {}


def test_both_names_of_the_working_directory_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    (tmp_path / "link_latest").symlink_to("real")
    translate = Layout(link).on_worker
    text = f"cat {link}/a {tmp_path}/real/b {link}_latest/c {link}ed"
    for marker in (Marker(translate, [link, tmp_path / "real"]), Marker(translate, [link])):
        marked = marker.mark(text, Paths(translate, []))
        assert marked == f"cat {WORKDIR}/a {WORKDIR}/b {WORKDIR}/c {link}ed"


def test_files_of_the_source_cache_get_a_place_of_their_own(texts: Texts) -> None:
    for name in ("a.py", "b c.py"):
        (texts.cache / "file" / name).write_text("")
    marked = texts.mark("python #/file/a.py; python '#/file/b c.py' #/file/a.py")
    places = {Path(name).name: name for name in texts.paths.files}
    assert marked == (
        f"python W/{places['a.py']}; python 'W/{places['b c.py']}' W/{places['a.py']}"
    )
    assert texts.paths.files[places["b c.py"]] == str(texts.cache / "file" / "b c.py")
    with pytest.raises(Unsupported, match="source cache"):
        texts.mark("ls #/file/gone.py")


@pytest.mark.parametrize("text", ["a <grid_workdir> b", "<grid_", "a\0b"])
def test_texts_that_read_as_marks_are_refused(texts: Texts, text: str) -> None:
    with pytest.raises(Unsupported):
        check(text)
    with pytest.raises(Unsupported):
        texts.mark(text)


def test_the_root_of_the_file_system_is_not_looked_for() -> None:
    marker = Marker(str, ["/"])
    assert marker.mark("cat /a", Paths(str, [])) == "cat /a"
