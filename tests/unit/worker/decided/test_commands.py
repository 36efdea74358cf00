"""How commands are run: shell, environment, scripts, long texts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.decided import commands
from snakemake_executor_plugin_grid.worker.decided.decision import (
    PYTHON,
    SCRIPT,
    TMPDIR,
    Command,
    Script,
    Shell,
    variable_mark,
)
from snakemake_executor_plugin_grid.worker.description import WORKDIR

from ..programs import program
from .place import BASH, Place, place, step

__all__ = ["place"]


def test_exit_code_and_signal_are_those_of_the_command(place: Place) -> None:
    result = place.run(step("exit 3"))
    assert (result.reason, result.exit_code, result.signal) == (reports.PAYLOAD_FAILED, 3, 0)
    assert result.message == "the command ended with exit code 3"
    assert place.log == "grid: the command ended with exit code 3\n"
    result = place.run(step("kill -SEGV $$"))
    assert (result.exit_code, result.signal) == (None, 11)
    assert result.message == "the command was killed by SIGSEGV"


def test_bash_has_the_strict_prefix(place: Place) -> None:
    assert place.run(step("false | true")).exit_code == 1
    assert place.run(step("false; true")).exit_code == 1
    assert place.run(step("false | true", shell=Shell("bash"))).reason == reports.SUCCESS


def test_prefix_suffix_and_modules_stand_around_the_command(place: Place) -> None:
    shell = Shell("bash", "echo prefix; ", "; echo suffix", "echo modules; ")
    place.run(step("echo text", shell=shell))
    assert place.log.split() == ["modules", "prefix", "text", "suffix"]


@pytest.mark.parametrize(
    ("executable", "name"), [("", "/bin/sh"), ("/bin/sh", "/bin/sh"), ("/no/such/bash", "bash")]
)
def test_the_shell(place: Place, executable: str, name: str) -> None:
    place.run(step('echo "$0"', shell=Shell(executable)))
    assert place.log.strip().endswith(name)


def test_a_shell_that_the_node_lacks(place: Place) -> None:
    result = place.run(step("true", shell=Shell("nosuchshell")))
    assert (result.reason, result.exit_code) == (reports.NO_RUNTIME, None)
    assert "the worker node has no shell nosuchshell" in result.message
    assert "--grid-runtime-setup" in result.message


def test_environment_of_a_command(place: Place) -> None:
    names = ("OMP", "GOTO", "OPENBLAS", "MKL", "NUMEXPR")
    place.env = {"MINE": "1", "OMP_NUM_THREADS": "77"}
    text = "echo $MINE $VECLIB_MAXIMUM_THREADS " + " ".join(f"${n}_NUM_THREADS" for n in names)
    place.run(step(f"{text}; echo $TMPDIR $TMP $TEMP $TEMPDIR; cat; umask", threads=3), umask=0o27)
    first, second, third = place.log.splitlines()
    assert first.split() == ["1"] + ["3"] * 6
    assert set(second.split()) == {str(place.scratch / "tmp")}
    assert third == "0027"


def test_values_of_declared_variables_are_those_of_the_submit_host(place: Place) -> None:
    place.declared = {"TOKEN": "of the user"}
    place.env = {"TOKEN": "of the setup lines"}
    place.run(step(f"echo '{variable_mark('TOKEN')}'"))
    assert place.log == "of the user\n"


def test_marks_have_the_values_of_the_node(place: Place) -> None:
    place.run(step(f"echo {WORKDIR} {TMPDIR}; pwd", tmpdir=f"{WORKDIR}/t"))
    assert place.log.split() == [str(place.cwd), f"{place.cwd}/t", str(place.cwd)]


def test_a_folder_that_a_command_cannot_name(tmp_path: Path) -> None:
    place = Place(tmp_path / "my job")
    result = place.run(step(f"cat {WORKDIR}/x"))
    assert result.reason == reports.WORKER_FAILED
    assert "contains ' ', so it cannot stand in a command" in result.message


@pytest.mark.parametrize("more", [0, 1])
def test_a_long_command_runs_from_a_file(place: Place, more: int) -> None:
    """Quotes count as often as in ``snakemake/shell.py``."""
    head = "echo '' \"$0\" ${#LONG}; LONG="
    shell = Shell("bash")
    left = commands.LONGEST - 2 - len(head.replace("'", "'\\''")) + more
    place.run(step(head + "x" * left, shell=shell))
    assert ("/.snakemake/" in place.log) is bool(more)
    assert not [one for one in place.cwd.rglob("*") if one.is_file()]


def test_a_long_command_keeps_its_exit_code(place: Place) -> None:
    assert place.run(step(": " + "é" * 80_000 + "; exit 7")).exit_code == 7


def test_scripts_are_written_and_removed(place: Place) -> None:
    script = Script("my plot.sh", f"echo {WORKDIR} {TMPDIR} é\nstat -c %a {SCRIPT[:0]}$0\n")
    one = Command(f"bash {SCRIPT}; echo {SCRIPT}", script)
    assert place.run(step(commands=(one,))).reason == reports.SUCCESS
    first, mode, path = place.log.splitlines()
    assert first == f"{place.cwd} {place.scratch}/tmp é"
    assert mode == "600"
    assert path.startswith(f"{place.cwd}/.snakemake/scripts/")
    assert path.endswith(".my_plot.sh")
    assert not list((place.cwd / ".snakemake/scripts").iterdir())


def test_the_path_of_a_script_is_relative_where_it_would_need_quotes(tmp_path: Path) -> None:
    place = Place(tmp_path / "my job")
    place.run(step(commands=(Command(f"bash {SCRIPT}", Script("s.sh", "pwd; exit 4")),)))
    assert place.log.startswith(f"{place.cwd}\n")
    assert "exit code 4" in place.log


def test_python_is_the_first_on_path(place: Place, tmp_path: Path) -> None:
    one = step(commands=(Command(f"{PYTHON} {SCRIPT}", Script("s.py", "x")),))
    folder = tmp_path / "bin"
    place.env["PATH"] = f"{folder}:/usr/bin:/bin"
    program(folder, "python", 'echo "python $1"')
    program(folder, "python3", 'echo "python3 $1"')
    place.run(one)
    assert place.log.startswith(f"python3 {place.cwd}/.snakemake/scripts/")
    place.env["PATH"] = str(folder)
    (folder / "python3").unlink()
    bash = Shell("/bin/bash")
    place.run(step(commands=one.commands, shell=bash))
    assert place.log.startswith("python ")
    (folder / "python").unlink()
    result = place.run(step(commands=one.commands, shell=bash))
    assert result.reason == reports.NO_RUNTIME
    assert "neither python3 nor python" in result.message


def test_python_is_looked_for_after_modules_are_loaded(place: Place, tmp_path: Path) -> None:
    program(tmp_path / "bin", "python3", 'echo "module $1"')
    modules = f"PATH={tmp_path}/bin:$PATH; "
    one = Command(f"{PYTHON} {SCRIPT}", Script("s.py", "x"))
    place.run(step(commands=(one,), shell=Shell("bash", BASH.prefix, "", modules)))
    assert place.log.startswith("module ")


def test_a_worker_program_without_the_stand_in(place: Place, tmp_path: Path) -> None:
    script = Script("s.py", "", uses_snakemake=True)
    result = place.run(step(commands=(Command(f"{PYTHON} {SCRIPT}", script),)))
    assert result.reason != reports.SUCCESS
    assert not list((place.cwd / ".snakemake/scripts").iterdir())


def test_descriptors_of_the_pilot_do_not_reach_commands(place: Place) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        place.run(step("ls /proc/self/fd"))
    finally:
        os.close(reading)
        os.close(writing)
    assert set(place.log.split()) <= {"0", "1", "2", "3"}  # 3 is the folder that ls reads


def test_signals_that_python_ignores_reach_commands(place: Place) -> None:
    place.run(step("yes | head -n 1", shell=Shell("bash")))
    assert place.log == "y\n"
    result = place.run(step("kill -PIPE $$", shell=Shell("bash")))
    assert result.signal == 13


def test_only_the_owner_reads_scripts(place: Place) -> None:
    """Values of params may be secret."""
    one = Command(f"stat -c %a {SCRIPT}; exit 1", Script("s", "x"))
    place.run(step(commands=(one,)), umask=0)
    assert place.log.startswith("600\n")
    assert stat.S_ISDIR((place.cwd / ".snakemake/scripts").stat().st_mode)
