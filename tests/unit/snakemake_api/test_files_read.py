from __future__ import annotations

import glob
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import snakemake
from snakemake.io import glob_wildcards
from snakemake.utils import listfiles

import snakemake_executor_plugin_grid as package
from snakemake_executor_plugin_grid.backends.registry import check_options
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.snakemake_api import files_read as parsing


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=True
    )


def test_import_of_the_package_imports_nothing_else() -> None:
    # What `before` holds is there at every start of Snakemake.
    out = python(
        "import __future__, os, sys, typing; before = set(sys.modules);"
        "import snakemake_executor_plugin_grid;"
        "print(*sorted(set(sys.modules) - before))"
    )
    name = "snakemake_executor_plugin_grid"
    assert out.stdout.split() == [name, f"{name}.snakemake_api", f"{name}.snakemake_api.files_read"]


def test_import_of_the_package_does_not_reach_heavy_modules() -> None:
    lines = python("import snakemake_executor_plugin_grid", "-X", "importtime").stderr.splitlines()
    depth = {line.rpartition("|")[2].strip(): line for line in lines if "import time:" in line}
    assert "snakemake_executor_plugin_grid.snakemake_api.files_read" in depth
    for heavy in ("snakemake", "snakemake_interface_common", "asyncio", "DIRAC", "pandaclient"):
        assert heavy not in depth


def test_options_are_known_without_the_executor() -> None:
    out = python(
        "import sys, snakemake_executor_plugin_grid as package; package.ExecutorSettings;"
        "print(*sys.modules)"
    )
    modules = out.stdout.split()
    assert "snakemake_executor_plugin_grid.settings.options" in modules
    assert "snakemake_executor_plugin_grid.executor" not in modules
    assert "snakemake" not in modules


def test_plugin_has_what_snakemake_looks_for() -> None:
    assert package.common_settings.non_local_exec
    assert package.Executor.__name__ == "Executor"
    assert package.ExecutorSettings.__name__ == "ExecutorSettings"
    assert not hasattr(package, "no_such_thing")


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples.csv").write_text("a")
    parsing.record()
    yield tmp_path
    parsing.stop()


def read(path: str | Path) -> None:
    with open(path) as stream:  # noqa: PTH123 - relative as given
        stream.read()


def test_relative_and_absolute_reads_are_told_apart(recording: Path) -> None:
    (recording / "other.csv").write_text("b")
    read("samples.csv")
    read(recording / "other.csv")
    found = parsing.stop()
    assert found[f"{recording}/samples.csv"] is True
    assert found[f"{recording}/other.csv"] is False


def test_file_read_both_ways_counts_as_relative(recording: Path) -> None:
    read("samples.csv")
    read(recording / "samples.csv")
    assert parsing.stop()[f"{recording}/samples.csv"] is True


def test_relative_name_belongs_to_the_folder_of_that_moment(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recording / "sub").mkdir()
    (recording / "sub" / "in.txt").write_text("")
    monkeypatch.chdir(recording / "sub")
    read("in.txt")
    read("../samples.csv")
    monkeypatch.chdir(recording)
    found = parsing.stop()
    assert f"{recording}/sub/in.txt" in found
    assert f"{recording}/samples.csv" in found


def test_other_ways_to_read_are_seen(recording: Path) -> None:
    names = ["pathlib", "binary", "low"]
    for name in names:
        (recording / name).write_bytes(b"x")
    parsing.record()
    Path("pathlib").read_text()
    with open("binary", "rb") as stream:  # noqa: PTH123
        stream.read()
    os.close(os.open("low", os.O_RDONLY))
    assert {f"{recording}/{name}" for name in names} <= set(parsing.stop())


@pytest.mark.parametrize("mode", ["w", "a", "x", "wb", "r+", "w+"])
def test_files_that_are_written_are_not_recorded(recording: Path, mode: str) -> None:
    path = recording / "out.txt"
    if mode != "x":
        parsing.stop()
        path.write_text("")
        parsing.record()
    with path.open(mode):
        pass
    assert str(path) not in parsing.stop()


def test_listed_folders_are_recorded(recording: Path) -> None:
    for name in ("a", "b", "c", "d/e", "f", "g", "h"):
        (recording / name).mkdir(parents=True)
    parsing.record()
    os.listdir("a")  # noqa: PTH208
    list(os.scandir(b"b"))
    list((recording / "c").glob("*.dat"))
    list(os.walk("d"))
    glob.glob("f/*.dat")  # noqa: PTH207
    glob_wildcards("g/{name}.dat")
    list(listfiles("h/{name}.dat"))
    os.listdir()  # noqa: PTH208
    parsing.stop()
    os.listdir("a/..")  # noqa: PTH208
    found = parsing.listed()
    names = ("a", "b", "d", "d/e", "f", "g", "h")
    expected = {f"{recording}/{name}": True for name in names} | {f"{recording}/c": False}
    assert {path: found.get(path) for path in expected} == expected
    assert found[str(recording)] is True
    assert f"{recording}/a/.." not in found
    parsing.record()  # of another workflow
    assert not parsing.listed()


def test_what_python_and_snakemake_list_themselves_is_not_recorded(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recording / "lib").mkdir()
    (recording / "lib" / "module_of_ours.py").write_text("")
    monkeypatch.syspath_prepend(str(recording / "lib"))
    parsing.record()
    importlib.import_module("module_of_ours")
    own = Path(snakemake.__file__).parent / "persistence.py"
    exec(compile("import os; os.listdir('lib')", own, "exec"), {})  # noqa: S102
    assert str(recording / "lib") not in parsing.listed()


def test_system_files_are_not_recorded(recording: Path) -> None:
    read("/proc/self/stat")
    read(os.__file__)
    found = parsing.stop()
    assert "/proc/self/stat" not in found
    assert os.__file__ not in found


def test_nothing_is_recorded_after_stop(recording: Path) -> None:
    parsing.stop()
    read("samples.csv")
    assert f"{recording}/samples.csv" not in parsing.stop()


def test_second_workflow_of_a_process_has_what_it_read_itself(recording: Path) -> None:
    for name in ("first.csv", "between.csv", "second.csv"):
        (recording / name).write_text("")
    read("first.csv")
    assert f"{recording}/first.csv" in parsing.stop()
    read("between.csv")
    parsing.record()
    read("second.csv")
    here = {path for path in parsing.stop() if path.startswith(str(recording))}
    assert here == {f"{recording}/second.csv"}


def test_file_that_is_not_there_does_no_harm(recording: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read("missing")
    with open(os.open("samples.csv", os.O_RDONLY)) as stream:  # noqa: PTH123 - a descriptor
        assert stream.read() == "a"


def test_reads_in_a_removed_folder_do_no_harm(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recording / "gone").mkdir()
    monkeypatch.chdir(recording / "gone")
    (recording / "gone").rmdir()
    with pytest.raises(FileNotFoundError):
        read("samples.csv")


def test_record_starts_only_when_snakemake_is_there() -> None:
    code = (
        "import sys, types, os\n{}\nimport snakemake_executor_plugin_grid\n"
        "open('/etc/passwd').close()\n"
        "from snakemake_executor_plugin_grid.snakemake_api import files_read\n"
        "print('/etc/passwd' in files_read.stop())"
    )
    assert python(code.format("")).stdout.strip() == "False"
    loaded = code.format("sys.modules['snakemake'] = types.ModuleType('snakemake')")
    assert python(loaded).stdout.strip() == "True"


@pytest.mark.parametrize(
    ("options", "hooked"),
    [
        (("--executor", "local"), False),
        ((), False),
        (("--executor", "grid", "--jobs", "1"), True),
        (("--profile", "other"), False),
        (("--profile", "chosen", "--jobs", "1"), True),
    ],
)
@pytest.mark.usefixtures("build")
def test_only_a_run_with_this_executor_has_a_hook(options: tuple[str, ...], hooked: bool) -> None:
    Path("samples.csv").write_text("a")
    Path("Snakefile").write_text("open('samples.csv').close()\nrule all:\n    shell: 'true'\n")
    for profile, executor in (("chosen", "grid"), ("other", "local")):
        Path(profile).mkdir()
        (Path(profile) / "config.yaml").write_text(f"executor: {executor}\n")
    code = (
        "import sys; hooks = []\n"
        "sys.addaudithook(lambda event, _: event == 'sys.addaudithook' and hooks.append(event))\n"
        "from snakemake.cli import parse_args, args_to_api\n"
        f"parser, args = parse_args(['--cores', '1', '--list-rules', *{options!r}])\n"
        "assert args_to_api(args, parser)\n"
        "from snakemake_executor_plugin_grid.snakemake_api import files_read\n"
        "print(len(hooks), any(path.endswith('/samples.csv') for path in files_read.stop()))"
    )
    assert python(code).stdout.split()[-2:] == [str(int(hooked)), str(hooked)]


def test_nothing_is_recorded_after_parsing(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExecutorSettings, "when_made", parsing.record)
    settings = ExecutorSettings()
    parsing.stop()  # as the executor does before it checks its options
    check_options(settings, recording)
    read("samples.csv")
    assert parsing.stop() == {}
