"""Packages installed on the submit host for workers that have only a Python."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.staging import wheels
from snakemake_executor_plugin_grid.staging.wheels import (
    WheelsError,
    WheelsSpec,
    build,
    default_packages,
    key,
)
from snakemake_executor_plugin_grid.worker.environment import wheels_environment
from snakemake_executor_plugin_grid.worker.payload_script import script

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class Pip:
    """Stands for pip: keeps its arguments and installs one small package."""

    def __init__(self, report: Sequence[tuple[str, str]] = (), wheel: str = "") -> None:
        self.calls: list[list[str]] = []
        self.report = report
        self.wheel = wheel

    def __call__(self, arguments: Sequence[str]) -> str:
        arguments = list(arguments)
        self.calls.append(arguments)
        if "--report" in arguments:
            install = [
                {"metadata": {"name": name, "version": "1"}, "download_info": {"url": url}}
                for name, url in self.report
            ]
            return json.dumps({"install": install})
        if "wheel" in arguments:
            Path(arguments[arguments.index("--wheel-dir") + 1], self.wheel).touch()
            return ""
        target = Path(arguments[arguments.index("--target") + 1])
        (target / "small").mkdir(parents=True)
        (target / "small" / "__init__.py").write_text("NAMES = {'a', 'b', 'c', 'd'}\n")
        info = target / "small-1.dist-info"
        info.mkdir()
        for name in ("METADATA", "RECORD", "direct_url.json"):
            (info / name).write_text("Name: small\n")
        bin_folder = target / "bin"
        bin_folder.mkdir()
        scripts = {
            "plain": f"#!{sys.executable}\n",
            "long": "#!/bin/sh\n'''exec' \"/a long/python3\" \"$0\" \"$@\"\n' '''\n",
        }
        for name, head in scripts.items():
            path = bin_folder / name
            path.write_text(head + "import sys, small\nprint(sys.argv[1], sorted(small.NAMES))\n")
            path.chmod(0o755)
        (bin_folder / "other").write_text("#!/bin/sh\necho python\n")
        for system in ("linux", "osx", "win"):
            (target / "pulp" / "solverdir" / "cbc" / system).mkdir(parents=True)
        return ""


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    fake = Pip()
    monkeypatch.setattr(wheels, "_pip", fake)
    return fake


def spec(*packages: str, python: str = HERE, platform: str = "") -> WheelsSpec:
    return WheelsSpec(python, platform, packages)


# --- packages


def test_default_packages_are_pinned_to_what_is_here() -> None:
    packages = default_packages(["uproot>=5"], [])
    assert f"snakemake=={metadata.version('snakemake')}" in packages
    common = metadata.version("snakemake-interface-common")
    assert f"snakemake-interface-common=={common}" in packages
    assert packages[-1] == "uproot>=5"
    assert all("==" in name for name in packages[:-1])
    assert len(set(packages)) == len(packages)


@pytest.mark.parametrize(
    "name", ["s3", "snakemake-storage-plugin-s3", "Snakemake_Storage-plugin.s3"]
)
def test_storage_plugins_by_short_and_full_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = metadata.version
    plugin = "snakemake-storage-plugin-s3"
    monkeypatch.setattr(metadata, "version", lambda n: "0.3" if n == plugin else real(n))
    assert f"{plugin}==0.3" in default_packages([], [name])


def test_a_plugin_that_is_not_installed() -> None:
    with pytest.raises(WheelsError, match=r"snakemake-storage-plugin-nowhere.*Install it"):
        default_packages([], ["nowhere"])


def test_the_key_depends_on_the_contents() -> None:
    one = key(spec("a==1", "b==2"))
    assert one == key(spec("b==2", "a==1"))
    assert one == key(spec("a==1", "b==2", platform=sysconfig.get_platform()))
    others = {key(spec("a==1")), key(spec("a==1", "b==2", platform="x"))}
    others.add(key(spec("a==1", "b==2", python="3.99")))
    assert len(others | {one}) == 4


# --- building the folder


def test_a_folder_is_built_once(tmp_path: Path, pip: Pip) -> None:
    lines: list[str] = []
    folder = build(spec("small==1"), tmp_path / "a" / "b", progress=lines.append)
    assert folder == tmp_path / "a" / "b" / key(spec("small==1"))
    assert pip.calls[0][:3] == ["--python", sys.executable, "install"]
    assert pip.calls[0][-1] == "small==1"
    assert "small==1" in lines[0]
    assert build(spec("small==1"), tmp_path / "a" / "b", progress=lines.append) == folder
    assert len(pip.calls) == 1
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_folder_contains_no_paths_of_this_host(tmp_path: Path, pip: Pip) -> None:
    folder = build(spec("small==1"), tmp_path, progress=lambda _: None)
    assert [path.name for path in (folder / "small-1.dist-info").iterdir()] == ["METADATA"]
    assert (folder / "bin" / "other").read_text() == "#!/bin/sh\necho python\n"
    (bytecode,) = (folder / "small" / "__pycache__").iterdir()
    here = str(tmp_path).encode()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if here in path.read_bytes()]
    assert not [path for path in files if sys.executable.encode() in path.read_bytes()]
    # Flags 1: the bytecode is used without a look at the times of the files.
    assert int.from_bytes(bytecode.read_bytes()[4:8], "little") == 1


@pytest.mark.parametrize("name", ["plain", "long"])
def test_scripts_run_with_the_workers_python(tmp_path: Path, pip: Pip, name: str) -> None:
    folder = build(spec("small==1"), tmp_path, progress=lambda _: None)
    env = wheels_environment({"PATH": "/usr/bin:/bin", "GRID_PYTHON": sys.executable}, str(folder))
    done = subprocess.run([name, "x y"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "x y ['a', 'b', 'c', 'd']\n"


def test_two_builds_are_the_same_bytes(tmp_path: Path, pip: Pip) -> None:
    def content(root: Path) -> dict[str, bytes]:
        folder = build(spec("small==1"), root, progress=lambda _: None)
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    assert content(tmp_path / "one") == content(tmp_path / "another one")


@pytest.mark.parametrize(
    ("platform", "kept"),
    [("manylinux_2_28_x86_64", ["linux"]), ("macosx_14_0_arm64", ["linux", "osx", "win"])],
)
def test_solvers_of_other_systems(tmp_path: Path, pip: Pip, platform: str, kept: list[str]) -> None:
    folder = build(spec("small==1", platform=platform), tmp_path, progress=lambda _: None)
    solvers = folder / "pulp" / "solverdir" / "cbc"
    assert sorted(path.name for path in solvers.iterdir()) == kept


def test_another_process_may_be_faster(tmp_path: Path, pip: Pip) -> None:
    folder = tmp_path / key(spec("small==1"))

    def meanwhile(line: str) -> None:
        if line.startswith("compiling"):
            folder.mkdir()
            (folder / "theirs").touch()

    assert build(spec("small==1"), tmp_path, progress=meanwhile) == folder
    assert [path.name for path in folder.iterdir()] == ["theirs"]
    assert list(tmp_path.iterdir()) == [folder]


# --- for another Python or platform


def test_foreign_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = [("pool", "https://host/pool-1.tar.gz"), ("yaml", "https://host/yaml-1-cp311.whl")]
    pip = Pip(report, "pool-1-py3-none-any.whl")
    monkeypatch.setattr(wheels, "_pip", pip)
    lines: list[str] = []
    wanted = spec("small==1", python="3.99", platform="manylinux_2_18_x86_64, linux_x86_64")
    folder = build(wanted, tmp_path, progress=lines.append)
    asked, made, installed = pip.calls
    assert "--dry-run" in asked
    assert made[-1] == "pool==1"
    platforms = [value for option, value in pairwise(installed) if option == "--platform"]
    assert platforms[:3] == [
        "manylinux_2_18_x86_64",
        "manylinux_2_17_x86_64",
        "manylinux2014_x86_64",
    ]
    assert platforms[-2:] == ["manylinux1_x86_64", "linux_x86_64"]
    assert installed[installed.index("--python-version") + 1] == "3.99"
    assert installed[installed.index("--only-binary") + 1] == ":all:"
    assert any("python3.99" in line and "bytecode" in line for line in lines)
    assert not list(folder.rglob("*.pyc"))


def test_a_wheel_with_compiled_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = Pip([("pool", "https://host/pool-1.tar.gz")], "pool-1-cp311-cp311-linux_x86_64.whl")
    monkeypatch.setattr(wheels, "_pip", pip)
    with pytest.raises(WheelsError, match=r"pool-1-cp311.*--grid-runtime-packages"):
        build(spec("small==1", python="3.99"), tmp_path, progress=lambda _: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "found"), [("echo 3.99", True), ("echo 3.1", False), ("exit 1", False)]
)
def test_an_interpreter_on_path_must_have_the_right_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, found: bool
) -> None:
    program = tmp_path / "python3.99"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert wheels._interpreter("3.99") == (str(program) if found else "")


# --- errors


def test_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels.util, "find_spec", lambda name: None)
    with pytest.raises(WheelsError, match="needs the package pip"):
        build(spec("small==1"), tmp_path, progress=lambda _: None)


def test_the_error_contains_the_output_of_pip(tmp_path: Path) -> None:
    missing = f"{tmp_path}/missing-1-py3-none-any.whl"
    with pytest.raises(WheelsError) as caught:
        build(spec(missing), tmp_path / "root", progress=lambda _: None)
    assert "missing-1-py3-none-any.whl" in str(caught.value)
    assert "pip config list" in str(caught.value)
    assert list((tmp_path / "root").iterdir()) == []


def test_pip_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "PIP_SECONDS", 0.01)
    with pytest.raises(WheelsError, match=r"longer than 0\.01 s"):
        wheels._pip(["--version"])


# --- with the real pip


@pytest.mark.slow
def test_a_bare_python_runs_snakemake(tmp_path: Path) -> None:
    folder = build(spec(*default_packages([], [])), tmp_path / "wheels", progress=lambda _: None)
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    work = tmp_path / "work"
    work.mkdir()
    # The script of the rule is a child process: it has to find the packages as well.
    (work / "rule.py").write_text(
        "import yaml\n"
        "with open(snakemake.output[0], 'w') as file:\n"
        "    yaml.dump({'made': snakemake.wildcards.x}, file)\n"
    )
    (work / "Snakefile").write_text(
        'rule make:\n  output: "{x}.yaml"\n  script: "rule.py"\n'
        'rule last:\n  input: "a.yaml"\n  output: "out"\n'
        '  shell: "snakemake --version > {output}"\n'
    )
    python = str(bare / "bin" / "python")

    def run(command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "job.sh"
        file.write_text(script(command, ""))
        return subprocess.run(
            ["/bin/sh", str(file)],
            env={"PATH": "/usr/bin:/bin", "HOME": str(work), "GRID_PYTHON": python} | env,
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    without = run('"$GRID_PYTHON" -m snakemake --version', {})
    assert "No module named snakemake" in without.stderr
    env = wheels_environment({"PATH": "/usr/bin:/bin"}, str(folder))
    version = metadata.version("snakemake")
    assert run('"$GRID_PYTHON" -m snakemake --version', env).stdout == f"{version}\n"
    done = run('"$GRID_PYTHON" -m snakemake --cores 1 out', env)
    assert done.returncode == 0, done.stderr
    assert (work / "a.yaml").read_text() == "made: a\n"
    assert (work / "out").read_text() == f"{version}\n"
