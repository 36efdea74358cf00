from __future__ import annotations

import importlib.util
import json
import marshal
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import snakemake_executor_plugin_grid.worker as worker
from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.staging import worker_zip
from snakemake_executor_plugin_grid.staging.worker_zip import compiled, write_worker
from snakemake_executor_plugin_grid.worker.description import Job
from snakemake_executor_plugin_grid.worker.runtime import Runtime

SOURCES = Path(str(worker.__file__)).parent


def test_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pyz", tmp_path / "b.pyz"
    write_worker(first)
    os.utime(SOURCES / "run.py")
    write_worker(second)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pyz", "b.pyz"]


def test_archive_holds_every_module_as_it_is(tmp_path: Path) -> None:
    write_worker(tmp_path / "worker.pyz")
    with zipfile.ZipFile(tmp_path / "worker.pyz") as archive:
        for path in SOURCES.glob("*.py"):
            assert archive.read(f"worker/{path.name}") == path.read_bytes()


def test_archive_holds_compiled_modules(tmp_path: Path) -> None:
    write_worker(tmp_path / "worker.pyz")
    with zipfile.ZipFile(tmp_path / "worker.pyz") as archive:
        data = archive.read("worker/run.pyc")
    assert data[:4] == importlib.util.MAGIC_NUMBER
    code = marshal.loads(data[16:])  # noqa: S302
    assert code.co_filename == "worker/run.py"
    docstring = (SOURCES / "run.py").read_bytes().splitlines()[0].strip(b'"')
    assert docstring not in data
    assert str(SOURCES).encode() not in data


def test_another_python_takes_the_source(tmp_path: Path) -> None:
    """A compiled module of another version is not for it."""
    write_worker(tmp_path / "worker.pyz")
    with (
        zipfile.ZipFile(tmp_path / "worker.pyz") as archive,
        zipfile.ZipFile(tmp_path / "other.pyz", "w") as other,
    ):
        for name in archive.namelist():
            data = archive.read(name)
            other.writestr(name, b"\0\0\r\n" + data[4:] if name.endswith("c") else data)
    ended = subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / "other.pyz"), "a", "b"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr.startswith("usage: worker.pyz")


def test_a_module_that_cannot_be_compiled_for_all_is_there_as_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.14 has constant slices, of which `marshal` knows no reproducible form."""
    module = tmp_path / "m.py"
    module.write_text("x = 'place'\n")
    code = compile(module.read_text(), "m.py", "exec")
    with_slice = code.replace(co_consts=(*code.co_consts, slice(1, 2)))
    monkeypatch.setattr(worker_zip, "compile", lambda *_, **__: with_slice, raising=False)
    assert compiled(module, "m.py") is None
    write_worker(tmp_path / "worker.pyz")
    ended = subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / "worker.pyz"), "a", "b"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr.startswith("usage: worker.pyz")


def test_more_files(tmp_path: Path) -> None:
    write_worker(tmp_path / "worker.pyz", {"shim/b/c.py": b"c", "shim/a.py": b"a"})
    with zipfile.ZipFile(tmp_path / "worker.pyz") as archive:
        names = [name for name in archive.namelist() if name.startswith("shim/")]
        assert names == ["shim/a.py", "shim/b/c.py"]
        assert archive.read("shim/b/c.py") == b"c"


def test_older_archive_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "worker.pyz"
    path.write_text("old")
    write_worker(path)
    assert zipfile.is_zipfile(path)


def test_archive_runs_with_nothing_but_the_standard_library(tmp_path: Path) -> None:
    write_worker(tmp_path / "worker.pyz")
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    job = Job("j", "echo hello; exit 7", (), (), (), Runtime("inherit"))
    (sandbox / "job.json").write_text(job.dumps())
    (sandbox / "environment.json").write_text(json.dumps({}))
    ended = subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / "worker.pyz"), str(sandbox)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.returncode == 1
    report = load_report(sandbox / "report.json")
    assert (report.name, report.exit_code) == ("j", 7)
    assert (sandbox / "payload.log").read_text() == "hello\n"


def test_archive_looks_into_the_current_folder_by_default(tmp_path: Path) -> None:
    write_worker(tmp_path / "worker.pyz")
    (tmp_path / "job.json").write_text(Job("j", "true", (), (), (), Runtime("inherit")).dumps())
    (tmp_path / "environment.json").write_text("{}")
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "worker.pyz"], cwd=tmp_path, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert load_report(tmp_path / "report.json").reason == "success"
