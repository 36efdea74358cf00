"""Results of workers are not trusted: hostile and damaged ones change nothing."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.console import progress
from snakemake_executor_plugin_grid.model.job import JobSpec, Resources
from snakemake_executor_plugin_grid.staging import install as installing
from snakemake_executor_plugin_grid.staging.install import (
    Installed,
    OutputDamagedError,
    install_outputs,
)
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.archive.member import TarballError
from snakemake_executor_plugin_grid.worker.description import Output
from tests.unit.console.test_progress import Heard

ENDED = 1_700_000_000.0


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def said(name: str, data: bytes = b"", kind: str = "file", **fields: Any) -> dict[str, Any]:
    """Return the entry of a member in a report."""
    member = {"name": name, "kind": kind, "mode": 0o644, "size": 0, "mtime_ns": int(ENDED * 1e9)}
    if kind == "file":
        member |= {"size": len(data), "sha256": sha256(data)}
    return member | fields


def packed(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mtime = int(ENDED)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@dataclass
class Host:
    """A submit host with an old output, and the results of a job that makes it again."""

    top: Path

    def __post_init__(self) -> None:
        self.workdir = self.top / "home" / "project"
        self.scratch = self.workdir / ".snakemake" / "grid" / "incoming" / "job-1"
        self.blobs = self.top / "store"
        for folder in (self.scratch, self.blobs, self.workdir / "out", self.workdir / "folder"):
            folder.mkdir(parents=True)
        (self.workdir / "out" / "a.txt").write_text("old")
        (self.workdir / "folder" / "inner.txt").write_text("old")
        (self.workdir / "Snakefile").write_text("rule a:")
        (self.workdir / ".snakemake" / "locks").write_text("lock")
        (self.top / "home" / "other.txt").write_text("of the user")
        self.spec = JobSpec(
            name="job-1",
            rule="a",
            wildcards=(),
            jobid="1",
            attempt=1,
            command="",
            inputs=(),
            shared=frozenset(),
            consumed=frozenset(),
            outputs=(
                Output("work/out/a.txt"),
                Output("work/folder"),
                Output("work/log.txt", "log", required=False),
            ),
            placeholders=(),
            resources=Resources(),
            environment={},
            overrides={},
        )

    def store(self, data: bytes, name: str | None = None) -> str:
        digest = name or sha256(data)
        (self.blobs / digest).write_bytes(data)
        return digest

    def install_outputs(self, *returned: dict[str, Any], undeclared: bool = True) -> Installed:
        """Install the entries of a report, each a member with ``blob`` and ``kind``."""
        items = [
            {
                "member": item,
                "kind": item.pop("as_", "output"),
                "blob": item.pop("blob"),
                "raw": item.pop("raw", False),
            }
            for item in returned
        ]
        path = self.scratch / "report.json"
        report = {"name": "job-1", "reason": "success", "times": {"ended": ENDED}}
        path.write_text(json.dumps(report | {"returned": items}))
        return install_outputs(
            self.spec,
            reports.load(path),
            Layout(self.workdir),
            lambda digest: self.blobs / digest,
            self.scratch,
            "none",
            undeclared=undeclared,
        )

    def picture(self) -> dict[str, Any]:
        """Return everything outside of the scratch folder: kind, mode, contents, time."""
        found: dict[str, Any] = {}
        for folder, folders, files in os.walk(self.top):
            if Path(folder) == self.scratch.parent:
                folders.clear()
            for name in [*folders, *files]:
                path = Path(folder, name)
                status = path.lstat()
                what: Any = status.st_mtime_ns
                if path.is_symlink():
                    what = path.readlink()
                elif path.is_file():
                    what = (path.read_bytes(), status.st_mtime_ns)
                elif self.scratch.is_relative_to(path):
                    what = None
                found[str(path)] = (status.st_mode, what)
        return found

    def read(self, name: str) -> str:
        return (self.workdir / name).read_text()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_good_result_replaces_the_old_one(host: Host) -> None:
    blob = host.store(
        archive(
            packed("work/out/a.txt", b"new"),
            packed("work/folder", type=tarfile.DIRTYPE, mode=0o755),
            packed("work/folder/other.txt", b"x"),
            packed("work/stray.txt", b"nobody asked"),
        )
    )
    large = host.store(b"large log")
    installed = host.install_outputs(
        said("work/out/a.txt", b"new", blob=blob),
        said("work/folder", kind="dir", mode=0o755, blob=blob),
        said("work/folder/other.txt", b"x", blob=blob),
        said("work/log.txt", b"large log", blob=large, raw=True, as_="log"),
    )
    assert host.read("out/a.txt") == "new"
    assert [path.name for path in (host.workdir / "folder").iterdir()] == ["other.txt"]
    assert host.read("log.txt") == "large log"
    assert installed.extra == ("work/stray.txt",)
    assert not (host.workdir / "stray.txt").exists()
    assert sorted(installed.moved) == ["work/folder", "work/log.txt", "work/out/a.txt"]


@pytest.mark.parametrize("inner_first", [True, False])
def test_an_output_inside_a_folder_that_is_an_output(host: Host, inner_first: bool) -> None:
    outputs = [Output("work/folder/inner.txt"), Output("work/folder")]
    host.spec = replace(host.spec, outputs=tuple(outputs if inner_first else outputs[::-1]))
    folder = packed("work/folder", type=tarfile.DIRTYPE, mode=0o755)
    files = [packed(f"work/folder/{name}.txt", name.encode()) for name in ("inner", "beside")]
    blob = host.store(archive(folder, *files))
    members = [
        said("work/folder/inner.txt", b"inner", blob=blob),
        said("work/folder", kind="dir", mode=0o755, blob=blob),
        said("work/folder/beside.txt", b"beside", blob=blob),
    ]
    installed = host.install_outputs(*(members if inner_first else members[::-1]))
    assert installed.moved == ("work/folder",)
    assert {path.name: path.read_text() for path in (host.workdir / "folder").iterdir()} == {
        "inner.txt": "inner",
        "beside.txt": "beside",
    }


A = "work/out/a.txt"
NEW = b"new"

Case = tuple[bytes, list[dict[str, Any]]]


def _of(*members: tuple[tarfile.TarInfo, bytes], says: list[dict[str, Any]] | None = None) -> Case:
    return archive(*members), says if says is not None else [said(A, NEW)]


def _link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return packed(name, type=tarfile.SYMTYPE, linkname=target)


GOOD = packed(A, NEW)
HOSTILE: dict[str, Callable[[], Case]] = {
    "an absolute name": lambda: _of(GOOD, packed("/tmp/evil", b"x")),
    "a name that climbs": lambda: _of(GOOD, packed("work/../../evil", b"x")),
    "a name in another root": lambda: _of(GOOD, packed("up1/other.txt", b"x")),
    "an absolute link": lambda: _of(_link(A, "/etc/passwd"), says=[said(A, kind="link")]),
    "a link out of the tree": lambda: _of(
        _link(A, "../../other.txt"), says=[said(A, kind="link", target="../../other.txt")]
    ),
    "a file below a link": lambda: _of(
        _link("work/folder", "out"),
        packed("work/folder/a.txt", b"x"),
        says=[said("work/folder", kind="link", target="out"), said("work/folder/a.txt", b"x")],
    ),
    "a hard link": lambda: _of(
        packed(A, type=tarfile.LNKTYPE, linkname="work/Snakefile"), says=[said(A)]
    ),
    "a device": lambda: _of(packed(A, type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "a fifo": lambda: _of(packed(A, type=tarfile.FIFOTYPE)),
    "a member twice": lambda: _of(GOOD, packed(A, b"two")),
    "a cut archive": lambda: (archive(GOOD)[:600], [said(A, NEW)]),
    "an empty blob": lambda: (b"", [said(A, NEW)]),
    "no archive at all": lambda: (b"<html>Service unavailable</html>" * 40, [said(A, NEW)]),
    "other contents than reported": lambda: _of(packed(A, b"old")),
    "more bytes than reported": lambda: _of(packed(A, b"\0" * (1 << 20))),
    "fewer bytes than reported": lambda: _of(packed(A, b"n")),
    "another kind than reported": lambda: _of(packed(A, type=tarfile.DIRTYPE)),
    "a member that is missing": lambda: _of(GOOD, says=[said(A, NEW), said("work/folder", b"x")]),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_and_damaged_tarballs_change_nothing(host: Host, case: str) -> None:
    data, says = HOSTILE[case]()
    blob = host.store(data)
    before = host.picture()
    with pytest.raises(OutputDamagedError, match="output damaged"):
        host.install_outputs(*(member | {"blob": blob} for member in says))
    assert host.picture() == before


@pytest.mark.parametrize(
    ("name", "as_"),
    [
        ("work/Snakefile", "output"),
        ("work/other.txt", "output"),
        ("work", "output"),
        ("work/out", "output"),
        ("up1/other.txt", "output"),
        ("up99/x", "output"),
        ("nowhere/x", "output"),
        ("work/.snakemake/locks", "output"),
        ("work/.snakemake/locks", "undeclared"),
        ("work/.snakemake", "undeclared"),
        ("work/.git", "undeclared"),
        ("work/.git/hooks/pre-commit", "undeclared"),
        ("up1/other.txt", "undeclared"),
        ("work", "undeclared"),
        ("work/out/a.txt.bak", "log"),
    ],
)
@pytest.mark.parametrize("raw", [False, True])
def test_a_file_that_is_no_output_of_the_rule_is_refused(
    host: Host, name: str, as_: str, raw: bool
) -> None:
    blob = host.store(b"x" if raw else archive(packed(name, b"x")))
    before = host.picture()
    with pytest.raises(OutputDamagedError, match=f"returned {name}, "):
        host.install_outputs(said(name, b"x", blob=blob, as_=as_, raw=raw))
    assert host.picture() == before


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "work/../../other.txt", "../other.txt", "work//x", "work/./x", ""]
)
def test_an_unsafe_name_in_the_report_is_refused(host: Host, name: str) -> None:
    before = host.picture()
    with pytest.raises((TarballError, ValueError)):
        host.install_outputs(said(name, b"x", blob=sha256(b"x"), raw=True))
    assert host.picture() == before


def test_the_transfer_of_a_large_file_is_shown(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    monkeypatch.setattr(progress, "_current", heard)
    host.install_outputs(said(A, b"genuine", blob=host.store(b"genuine"), raw=True))
    assert heard.announced == [(A.partition("/")[2], 7, False, "")]
    assert len(heard.moving) == 1


def test_a_large_file_with_other_contents_is_refused(host: Host) -> None:
    blob = host.store(b"damaged", sha256(b"genuine"))
    before = host.picture()
    with pytest.raises(OutputDamagedError, match=r"out/a\.txt: 7 bytes .* expected 7 bytes"):
        host.install_outputs(said(A, b"genuine", blob=blob, raw=True))
    assert host.picture() == before


def test_a_large_file_that_grew_is_not_copied(host: Host) -> None:
    blob = host.store(b"\0" * (4 << 20), sha256(b"small"))
    before = host.picture()
    with pytest.raises(OutputDamagedError):
        host.install_outputs(said(A, b"small", blob=blob, raw=True))
    assert host.picture() == before
    assert sum(path.stat().st_size for path in host.scratch.rglob("*")) < 1 << 20


@pytest.mark.parametrize("contradiction", ["kind", "blob"])
def test_a_report_that_contradicts_itself_is_refused(host: Host, contradiction: str) -> None:
    blob = host.store(b"x")
    fields: dict[str, Any] = {"kind": {"kind": "dir"}, "blob": {"sha256": sha256(b"y")}}
    before = host.picture()
    with pytest.raises(OutputDamagedError, match="contradicts itself"):
        host.install_outputs(said(A, b"x", blob=blob, raw=True, **fields[contradiction]))
    assert host.picture() == before


def test_a_large_file_is_not_written_through_a_link_of_the_same_job(host: Host) -> None:
    tar = host.store(archive(_link("work/folder", "out")))
    large = host.store(b"x")
    before = host.picture()
    with pytest.raises((OutputDamagedError, OSError)):
        host.install_outputs(
            said("work/folder", kind="link", target="out", blob=tar),
            said("work/folder/a.txt", b"x", blob=large, raw=True),
        )
    assert host.picture() == before


def test_nothing_is_moved_when_the_last_blob_is_bad(host: Host) -> None:
    good = host.store(archive(GOOD))
    bad = host.store(archive(packed("work/folder", b"x"))[:100])
    before = host.picture()
    with pytest.raises(OutputDamagedError):
        host.install_outputs(said(A, NEW, blob=good), said("work/folder", b"x", blob=bad))
    assert host.picture() == before


def test_undeclared_files_are_installed_only_on_request(host: Host) -> None:
    blob = host.store(b"x")
    before = host.picture()
    result = said("work/new.txt", b"x", blob=blob, raw=True, as_="undeclared")
    with pytest.raises(OutputDamagedError, match=r"work/new\.txt.*output of its rule"):
        host.install_outputs(dict(result), undeclared=False)
    assert host.picture() == before
    host.install_outputs(result, undeclared=True)
    assert host.read("new.txt") == "x"


def test_an_undeclared_file_does_not_replace_a_folder(host: Host) -> None:
    blob = host.store(b"x")
    (host.workdir / "data").mkdir()
    (host.workdir / "data" / "precious.txt").write_text("of the user")
    with pytest.raises(OutputDamagedError, match="data"):
        host.install_outputs(said("work/data", b"x", blob=blob, raw=True, as_="undeclared"))
    assert host.read("data/precious.txt") == "of the user"


def test_an_undeclared_file_does_not_follow_a_link_of_the_user(host: Host) -> None:
    (host.workdir / "shortcut").symlink_to(host.top / "home")
    blob = host.store(b"x")
    before = host.picture()
    with pytest.raises(OutputDamagedError, match="shortcut"):
        host.install_outputs(
            said("work/shortcut/other.txt", b"x", blob=blob, raw=True, as_="undeclared")
        )
    assert host.picture() == before


@pytest.mark.parametrize("kind", ["link", "file"])
def test_an_output_replaces_a_link_not_its_target(host: Host, kind: str) -> None:
    path = host.workdir / "out" / "a.txt"
    path.unlink()
    path.symlink_to(host.top / "home" / "other.txt")
    member = _link(A, "b.txt") if kind == "link" else GOOD
    blob = host.store(archive(member))
    says = said(A, kind="link", target="b.txt") if kind == "link" else said(A, NEW)
    host.install_outputs(says | {"blob": blob})
    assert (host.top / "home" / "other.txt").read_text() == "of the user"
    assert path.is_symlink() == (kind == "link")


def test_a_blob_that_is_no_file_does_not_block(host: Host) -> None:
    digest = sha256(b"x")
    os.mkfifo(host.blobs / digest)
    before = host.picture()
    with pytest.raises((OutputDamagedError, OSError)):
        host.install_outputs(said(A, b"x", blob=digest, raw=True))
    assert host.picture() == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"report"',
        "{",
        '{"name": "job-1"}',
        '{"name": "job-1", "returned": 1}',
        '{"name": "job-1", "returned": [], "surprise": 1}',
        '{"name": "job-1", "returned": [{"member": 3, "kind": "output", "blob": ""}]}',
        '{"name": "job-1", "returned": [{"kind": "output", "blob": ""}]}',
        '{"name": "\\ud800',
    ],
)
def test_a_damaged_report_is_a_value_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"."):
        reports.load(path)


def test_a_report_that_is_no_text_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"\x80\x81")
    with pytest.raises(ValueError, match=r"damaged"):
        reports.load(path)


def test_a_folder_with_content_is_not_replaced_by_a_file(host: Host) -> None:
    blob = host.store(archive(packed("work/folder", b"x")))
    before = host.picture()
    with pytest.raises(OutputDamagedError, match="not empty"):
        host.install_outputs(said("work/folder", b"x", blob=blob))
    assert host.picture() == before
    (host.workdir / "folder" / "inner.txt").unlink()
    shutil.rmtree(host.scratch / "tree")
    host.install_outputs(said("work/folder", b"x", blob=blob))
    assert (host.workdir / "folder").read_bytes() == b"x"


def test_files_that_no_rule_names_replace_nothing(host: Host) -> None:
    blob = host.store(archive(packed("work/Snakefile", b"x"), packed("work/new", b"y")))
    installed = host.install_outputs(
        said("work/Snakefile", b"x", blob=blob, as_="undeclared"),
        said("work/new", b"y", blob=blob, as_="undeclared"),
    )
    assert installed.not_replaced == ("work/Snakefile",)
    assert installed.extra == ()
    assert (host.workdir / "Snakefile").read_text() == "rule a:"
    assert (host.workdir / "new").read_text() == "y"


def test_an_old_folder_survives_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.parametrize("blob", ["/etc/passwd", "../../x", 7, None, ["a"], "a" * 63])
def test_a_report_names_no_file_of_the_submit_host(tmp_path: Path, blob: object) -> None:
    path = tmp_path / "report.json"
    reports.Report("n").write(path)
    fields = json.loads(path.read_text())
    member = {"name": "work/a", "kind": "file", "mode": 0, "size": 0, "mtime_ns": 0}
    fields["returned"] = [{"member": member, "kind": "output", "blob": blob, "raw": False}]
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="damaged"):
        reports.load(path)
