"""Installation of outputs: what they replace, and what they do not."""

from __future__ import annotations

import errno
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console import progress
from snakemake_executor_plugin_grid.staging import install as installing
from snakemake_executor_plugin_grid.staging.install import OutputDamagedError
from snakemake_executor_plugin_grid.worker.description import Output
from tests.unit.console.test_progress import Heard
from tests.unit.worker.archive.tarballs import link, member, tar_bytes

from .submit_host import GOOD, NEW, OUTPUT, SubmitHost, entry, host

__all__ = ["host"]


def test_good_result_replaces_the_old_one(host: SubmitHost) -> None:
    blob = host.store(
        tar_bytes(
            member("work/out/a.txt", b"new"),
            member("work/folder", type=tarfile.DIRTYPE, mode=0o755),
            member("work/folder/other.txt", b"x"),
            member("work/stray.txt", b"nobody asked"),
        )
    )
    large = host.store(b"large log")
    installed = host.install_outputs(
        entry("work/out/a.txt", b"new", blob=blob),
        entry("work/folder", kind="dir", mode=0o755, blob=blob),
        entry("work/folder/other.txt", b"x", blob=blob),
        entry("work/log.txt", b"large log", blob=large, raw=True, as_="log"),
    )
    assert host.read("out/a.txt") == "new"
    assert [path.name for path in (host.workdir / "folder").iterdir()] == ["other.txt"]
    assert host.read("log.txt") == "large log"
    assert installed.extra == ("work/stray.txt",)
    assert not (host.workdir / "stray.txt").exists()
    assert sorted(installed.moved) == ["work/folder", "work/log.txt", "work/out/a.txt"]


def test_equal_large_files_share_a_blob(host: SubmitHost) -> None:
    blob = host.store(NEW)
    names = (OUTPUT, "work/folder/one.txt", "work/folder/two.txt")
    host.install_outputs(*(entry(name, NEW, blob=blob, raw=True) for name in names))
    assert {host.read(name.partition("/")[2]) for name in names} == {"new"}


@pytest.mark.parametrize("inner_first", [True, False])
def test_output_inside_a_folder_that_is_an_output(host: SubmitHost, inner_first: bool) -> None:
    outputs = [Output("work/folder/inner.txt"), Output("work/folder")]
    host.spec = replace(host.spec, outputs=tuple(outputs if inner_first else outputs[::-1]))
    folder = member("work/folder", type=tarfile.DIRTYPE, mode=0o755)
    files = [member(f"work/folder/{name}.txt", name.encode()) for name in ("inner", "beside")]
    blob = host.store(tar_bytes(folder, *files))
    members = [
        entry("work/folder/inner.txt", b"inner", blob=blob),
        entry("work/folder", kind="dir", mode=0o755, blob=blob),
        entry("work/folder/beside.txt", b"beside", blob=blob),
    ]
    installed = host.install_outputs(*(members if inner_first else members[::-1]))
    assert installed.moved == ("work/folder",)
    assert {path.name: path.read_text() for path in (host.workdir / "folder").iterdir()} == {
        "inner.txt": "inner",
        "beside.txt": "beside",
    }


def test_progress_of_a_large_file_is_shown(
    host: SubmitHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    monkeypatch.setattr(progress, "_current", heard)
    host.install_outputs(entry(OUTPUT, b"genuine", blob=host.store(b"genuine"), raw=True))
    assert heard.announced == [(OUTPUT.partition("/")[2], 7, False, "")]
    assert len(heard.moving) == 1


def test_undeclared_files_are_installed_only_on_request(host: SubmitHost) -> None:
    blob = host.store(b"x")
    before = host.picture()
    result = entry("work/new.txt", b"x", blob=blob, raw=True, as_="undeclared")
    with pytest.raises(OutputDamagedError, match=r"work/new\.txt.*output of its rule"):
        host.install_outputs(dict(result), undeclared=False)
    assert host.picture() == before
    host.install_outputs(result, undeclared=True)
    assert host.read("new.txt") == "x"


def test_undeclared_file_does_not_replace_a_folder(host: SubmitHost) -> None:
    blob = host.store(b"x")
    (host.workdir / "data").mkdir()
    (host.workdir / "data" / "precious.txt").write_text("of the user")
    with pytest.raises(OutputDamagedError, match="data"):
        host.install_outputs(entry("work/data", b"x", blob=blob, raw=True, as_="undeclared"))
    assert host.read("data/precious.txt") == "of the user"


def test_undeclared_file_does_not_follow_a_link_of_the_user(host: SubmitHost) -> None:
    (host.workdir / "shortcut").symlink_to(host.top / "home")
    blob = host.store(b"x")
    before = host.picture()
    with pytest.raises(OutputDamagedError, match="shortcut"):
        host.install_outputs(
            entry("work/shortcut/other.txt", b"x", blob=blob, raw=True, as_="undeclared")
        )
    assert host.picture() == before


@pytest.mark.parametrize("kind", ["link", "file"])
def test_output_replaces_a_link_and_not_its_target(host: SubmitHost, kind: str) -> None:
    path = host.workdir / "out" / "a.txt"
    path.unlink()
    path.symlink_to(host.top / "home" / "other.txt")
    member = link(OUTPUT, "b.txt") if kind == "link" else GOOD
    blob = host.store(tar_bytes(member))
    entries = entry(OUTPUT, kind="link", target="b.txt") if kind == "link" else entry(OUTPUT, NEW)
    host.install_outputs(entries | {"blob": blob})
    assert (host.top / "home" / "other.txt").read_text() == "of the user"
    assert path.is_symlink() == (kind == "link")


def test_file_does_not_replace_a_folder_with_content(host: SubmitHost) -> None:
    blob = host.store(tar_bytes(member("work/folder", b"x")))
    before = host.picture()
    with pytest.raises(OutputDamagedError, match="not empty"):
        host.install_outputs(entry("work/folder", b"x", blob=blob))
    assert host.picture() == before
    (host.workdir / "folder" / "inner.txt").unlink()
    shutil.rmtree(host.scratch / "tree")
    host.install_outputs(entry("work/folder", b"x", blob=blob))
    assert (host.workdir / "folder").read_bytes() == b"x"


def test_undeclared_files_replace_nothing(host: SubmitHost) -> None:
    blob = host.store(tar_bytes(member("work/Snakefile", b"x"), member("work/new", b"y")))
    installed = host.install_outputs(
        entry("work/Snakefile", b"x", blob=blob, as_="undeclared"),
        entry("work/new", b"y", blob=blob, as_="undeclared"),
    )
    assert installed.not_replaced == ("work/Snakefile",)
    assert installed.extra == ()
    assert (host.workdir / "Snakefile").read_text() == "rule a:"
    assert (host.workdir / "new").read_text() == "y"


def test_old_folder_survives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    for folder in (new, old):
        folder.mkdir()
    (old / "precious").write_text("p")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(installing, "_move_folder", full)
    with pytest.raises(OSError, match="full"):
        installing.install(new, old)
    assert (old / "precious").read_text() == "p"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
