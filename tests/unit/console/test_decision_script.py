"""The script of a decision: it is run by bash, as a user would."""

from __future__ import annotations

import subprocess
from pathlib import Path

from snakemake_executor_plugin_grid.console.decision_script import decision_script, shown_command
from snakemake_executor_plugin_grid.worker.decided.decision import (
    PYTHON,
    SCRIPT,
    TMPDIR,
    Command,
    Container,
    DecidedOutput,
    Decision,
    Script,
    Shell,
    Step,
    variable_mark,
)
from snakemake_executor_plugin_grid.worker.description import WORKDIR

BASH = Shell("/bin/bash", "set -euo pipefail;  ")


def step(rule: str, text: str, *outputs: str | DecidedOutput, **fields: object) -> Step:
    made = tuple(DecidedOutput(one) if isinstance(one, str) else one for one in outputs)
    given = {"commands": (Command(text),), "shell": BASH, **fields}
    return Step(rule, outputs=made, **given)  # type: ignore[arg-type]


def run(folder: Path, decision: Decision, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a folder that is not the working directory of the workflow."""
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        ["bash"],
        input=decision_script(decision, Path("/the/workflow")),
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(folder.parent / "tmp"), **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def alone(one: Step, **fields: object) -> Decision:
    return Decision(((one,),), **fields)  # type: ignore[arg-type]


def test_a_command_that_is_too_long_for_an_argument(tmp_path: Path) -> None:
    text = f"""x='{"it''s " * 40_000}'; printf %s "${{#x}} {WORKDIR}" >one"""
    made = run(tmp_path / "copy", alone(step("one", text, "one")))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "copy" / "one").read_text() == f"160000 {tmp_path}/copy"


def test_quotes_and_marks(tmp_path: Path) -> None:
    text = (
        f"""printf '%s\\n' "it's" '$HOME' '{WORKDIR}/x y' {TMPDIR} {{a,b}} $OMP_NUM_THREADS >o/1"""
    )
    made = run(tmp_path / "my copy", alone(step("one", text, "o/1", threads=3)))
    assert made.returncode == 0, made.stderr
    lines = (tmp_path / "my copy" / "o" / "1").read_text().splitlines()
    here = f"{tmp_path}/my copy/x y"
    assert lines == ["it's", "$HOME", here, str(tmp_path / "tmp"), "a", "b", "3"]


def test_a_command_that_fails_ends_it(tmp_path: Path) -> None:
    layers = ((step("one", "false | true"),), (step("two", "touch made"),))
    assert run(tmp_path, Decision(layers)).returncode == 1
    assert not (tmp_path / "made").exists()


def test_a_variable_is_named_and_has_to_be_set(tmp_path: Path) -> None:
    mark = variable_mark("TOKEN")
    decision = alone(step("one", f"echo {mark} '{mark}'"))
    made = run(tmp_path, decision, TOKEN="s3cret")
    assert made.stdout == "s3cret s3cret\n"
    without = run(tmp_path, decision)
    assert without.returncode != 0
    assert "TOKEN" in without.stderr
    assert shown_command(decision.steps[0].commands[0]) == "echo $TOKEN '$TOKEN'"


def test_scripts_touch_and_umask(tmp_path: Path) -> None:
    script = Script("a b.sh", f"echo '$HOME' \"{WORKDIR}\"\nEND_OF_SCRIPT=1\n")
    one = step(
        "one",
        "",
        DecidedOutput("out/made", touch=True),
        commands=(Command(f"sh {SCRIPT} >said", script),),
    )
    made = run(tmp_path, alone(one, umask=0o77))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "said").read_text() == f"$HOME {tmp_path}\n"
    assert (tmp_path / "out" / "made").stat().st_mode & 0o777 == 0o600


def test_pipes_and_services_run_at_the_same_time(tmp_path: Path) -> None:
    layers = (
        (
            step("write", "echo text >p/fifo", DecidedOutput("p/fifo", pipe=True)),
            step("read", "cat p/fifo >copy", "copy", awaited=("p/fifo",)),
            step("serve", "sleep 0.2; echo up >up; sleep 60", "up", service=True),
            step("ask", "cat up >answer", "answer", awaited=("up",)),
        ),
        (step("last", "cat copy answer >both", "both"),),
    )
    made = run(tmp_path, Decision(layers))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "both").read_text() == "text\nup\n"
    assert not (tmp_path / "p" / "fifo").exists()


def test_what_fails_in_a_layer_of_pipes_fails_it(tmp_path: Path) -> None:
    layer = (step("a", "cat >/dev/null p", awaited=("p",)), step("b", "echo >p; exit 3", "p"))
    assert run(tmp_path, Decision((layer,))).returncode == 3


def test_containers_and_comments() -> None:
    one = step(
        "one",
        f"{PYTHON} x",
        DecidedOutput("a\nb", directory=True, non_empty=True),
        wildcards=(("name", "new\nline"),),
        inputs=(f"{WORKDIR}/in",),
        container=Container("image.sif", "--env 'A=b c'", ("/data:/mnt",)),
    )
    text = decision_script(alone(one), Path("/the/workflow"))
    for line in (
        "# Rule one (name=new\\nline), 1 thread",
        "# input: $PWD/in",
        "# output: a\\nb (directory, non_empty)",
        "# The command runs in the container image image.sif:",
        "with_threads 1 apptainer exec --env 'A=b c' --bind /data:/mnt image.sif /bin/bash -c "
        "'set -euo pipefail;  python3 x'",
    ):
        assert line in text.splitlines()
