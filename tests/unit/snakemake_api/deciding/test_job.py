"""What is decided for single jobs, trap by trap."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from snakemake.exceptions import WorkflowError
from snakemake.settings import types as options
from snakemake.shell import shell

from snakemake_executor_plugin_grid.snakemake_api.deciding import process_state
from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.worker.decided.decision import DecidedOutput, Decision
from snakemake_executor_plugin_grid.worker.description import WORKDIR

from .conftest import Make, single


def test_a_job_is_plain_data_that_survives_json(deciding: Make) -> None:
    made = deciding(
        """
rule one:
    input: "in.csv", table="shared.csv"
    output: "out/{name}.txt"
    log: "logs/{name}.log"
    params: limit=3, words=["x y", "z"]
    threads: 1
    shell: "show {input.table:q} {params.words:q} -n {params[0]} {wildcards.name} >{output} 2>{log}"
""",
        targets=("out/a.txt",),
    )
    decision = made.decided("one", name="a").decision
    (step,) = decision.steps
    assert step.rule == "one"
    assert step.wildcards == (("name", "a"),)
    assert step.inputs == ("in.csv", "shared.csv")
    assert step.outputs == (DecidedOutput("out/a.txt"),)
    assert step.logs == ("logs/a.log",)
    assert [one.text for one in step.commands] == [
        "show shared.csv 'x y' z -n 3 a >out/a.txt 2>logs/a.log"
    ]
    assert Decision.from_json(json.loads(decision.dumps())) == decision


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ('f"echo {1 + 1} {{input}}"', "echo 2 in.csv"),
        ("\"awk '{{print $1}}' {input}\"", "awk '{print $1}' in.csv"),
        ('"echo {rule} {jobid} {threads}"', "echo one 0 1"),
        ('"a " + "-".join(str(n) for n in range(3))', "a 0-1-2"),
        ('"echo {config[cut]} {bench_iteration}"', "echo 5 None"),
        ('"""\n      first\n      second\n      """', "\n      first\n      second"),
    ],
)
def test_the_command_is_what_the_rule_function_runs(
    deciding: Make, command: str, text: str
) -> None:
    made = deciding(single(command), config=options.ConfigSettings(config={"cut": 5}))
    assert made.command("one") == text


def test_a_module_has_its_own_configuration(deciding: Make, tmp_path: Path) -> None:
    (tmp_path / "other.smk").write_text(
        'rule two:\n    output: "two.txt"\n    shell: "echo {config[cut]} > {output}"\n'
    )
    made = deciding(
        'config["cut"] = "main"\n'
        "module other:\n"
        '    snakefile: "other.smk"\n'
        '    config: {"cut": "own"}\n'
        "use rule two from other as other_two\n"
    )
    assert made.command("other_two") == "echo own > two.txt"
    # What Snakemake shows is another command.
    assert made.find("other_two").shellcmd == "echo main > two.txt"


@pytest.mark.parametrize(
    ("command", "extra", "why"),
    [
        ('"true"', "resources: tmpdir=lambda wildcards: 'x'", "tmpdir is evaluated on the worker"),
        (
            '"sort -T {params.up}"',
            "params: up=lambda wildcards, resources: resources.tmpdir.upper()",
            "computes with resources.tmpdir",
        ),
        (
            '"sort -T {params.name}"',
            "params: name=lambda wildcards, resources: os.path.basename(resources.tmpdir)",
            "computes with resources.tmpdir",
        ),
        (
            '"sort -T {params.above}"',
            "params: above=lambda wildcards, resources: os.path.dirname(resources.tmpdir)",
            "computes with resources.tmpdir",
        ),
        (
            '"sort -T {params.relative}"',
            "params: relative=lambda wildcards, resources: os.path.relpath(str(resources.tmpdir))",
            "computes with resources.tmpdir",
        ),
        ("\"echo '<grid_workdir>'\"", "", "<grid_"),
        ('"echo {params[0]}"', "params: '<grid_tmpdir>'", "<grid_"),
        (r'"echo \0"', "", "null byte"),
    ],
)
def test_what_only_the_worker_knows_is_not_decided(
    deciding: Make, command: str, extra: str, why: str
) -> None:
    made = deciding("import os\n" + single(command, extra))
    with pytest.raises(Unsupported, match=why):
        made.decided("one")


def test_a_value_that_depends_on_an_absent_input_is_not_decided(
    deciding: Make, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").unlink()
    made = deciding(
        'rule first:\n    output: "in.csv"\n    shell: "true"\n'
        + single('"echo {params.size}"', "params: size=lambda w, input: open(input[0]).read()"),
        targets=("one.txt",),
    )
    with pytest.raises(Unsupported, match="not there yet"):
        made.decided("one")
    (tmp_path / "in.csv").write_text("7")
    assert made.command("one") == "echo 7"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("run:\n        pass", "it has run:"),
        ("cwl: 'tool.cwl'", "it has cwl:"),
    ],
)
def test_code_of_the_rule_needs_snakemake(deciding: Make, body: str, why: str) -> None:
    made = deciding(f'rule one:\n    output: "one.txt"\n    {body}\n')
    with pytest.raises(Unsupported, match=why):
        made.decided("one")


def test_a_conda_environment_needs_snakemake_only_if_it_is_used(deciding: Make) -> None:
    snakefile = single('"true"', 'conda: "named-env"')
    assert deciding(snakefile).command("one") == "true"
    made = deciding(snakefile, deployment={options.DeploymentMethod.CONDA})
    with pytest.raises(Unsupported, match="conda environment"):
        made.decided("one")


def test_an_error_in_the_command_is_snakemakes(deciding: Make) -> None:
    made = deciding(single('"echo {nothing}"'))
    job = made.find("one")
    before = job.params, job.resources
    with pytest.raises(WorkflowError, match=r"NameError in file .*Snakefile.*\n.*nothing"):
        made.decided("one")
    assert (job.params, job.resources) == before
    made = deciding("size = [1]\n" + single('"echo {params}"', "params: lambda w: 1 / size[0]"))
    made.workflow.globals["size"][0] = 0
    with pytest.raises(WorkflowError, match="ZeroDivisionError"):
        made.decided("one")


def test_absolute_paths_below_the_working_directory_get_a_mark(
    deciding: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deciding(
        f"""
rule one:
    input: "{tmp_path}/in.csv"
    output: "{tmp_path}/one.txt"
    shell: "cd {{workflow.basedir}}; cat {{input}} {tmp_path}2/x /opt/in > {{output}}"
"""
    )
    step = made.step("one")
    assert step.inputs == (f"{WORKDIR}/in.csv",)
    assert step.outputs[0].path == f"{WORKDIR}/one.txt"
    assert step.commands[0].text == (
        f"cd {WORKDIR}; cat {WORKDIR}/in.csv {tmp_path}2/x /opt/in > {WORKDIR}/one.txt"
    )


def test_a_file_of_the_source_cache_travels(deciding: Make, tmp_path: Path) -> None:
    (tmp_path / "scripts" / "show.py").write_text("print(1)")
    made = deciding(
        """
rule one:
    input: workflow.source_path("scripts/show.py")
    output: "one.txt"
    params: script=workflow.source_path("scripts/helper.py")
    shell: "python '{params.script}' {input} > {output}"
"""
    )
    decided = made.decided("one")
    (step,) = decided.decision.steps
    names = sorted(decided.files, key=lambda name: Path(name).name)
    assert [Path(name).name for name in names] == ["helper.py", "show.py"]
    assert step.inputs == (f"{WORKDIR}/{names[1]}",)
    assert step.commands[0].text == (
        f"python '{WORKDIR}/{names[0]}' {WORKDIR}/{names[1]} > one.txt"
    )
    assert Path(decided.files[names[1]]).read_text() == "print(1)"
    assert decided.undeclared == ()
    # The folder of the cache has a new name in each run.
    again = deciding(Path("Snakefile").read_text()).decided("one")
    assert again.decision == decided.decision
    assert again.files != decided.files


def test_a_file_of_the_source_cache_with_a_blank_in_its_name(
    deciding: Make, tmp_path: Path
) -> None:
    (tmp_path / "scripts" / "a b.py").touch()
    decided = deciding(
        "rule one:\n"
        '    output: "one"\n'
        '    params: script=workflow.source_path("scripts/a b.py")\n'
        '    shell: "python {params.script:q}"\n'
    ).decided("one")
    ((name, path),) = decided.files.items()
    assert name.endswith("/a b.py")
    assert Path(path).is_file()
    assert decided.decision.steps[0].commands[0].text == f"python '{WORKDIR}/{name}'"


def test_the_shell_is_that_of_the_workflow(
    deciding: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = deciding(single('"true"')).step("one").shell
    assert found.executable == shell.get_executable()
    assert found.prefix == "set -euo pipefail;  "
    monkeypatch.setattr(shell, "_process_prefix", f"source {tmp_path}/env.sh;")
    monkeypatch.setattr(shell, "_process_suffix", "; done")
    made = deciding(single('"  true"', "resources: shell_exec='zsh'"))
    found = made.step("one").shell
    assert (found.executable, found.prefix, found.suffix) == (
        "zsh",
        f"source {WORKDIR}/env.sh; ",
        " ; done",
    )
    assert made.command("one") == "  true"
    monkeypatch.setattr(shell, "_process_prefix", None)
    assert made.step("one").shell.prefix == ""
    assert made.command("one") == "true"


def test_a_shell_that_the_worker_does_not_have(deciding: Make, tmp_path: Path) -> None:
    made = deciding(single('"true"', f"resources: shell_exec='{tmp_path}/zsh'"))
    with pytest.raises(Unsupported, match="shell is a file below"):
        made.decided("one")


def test_environment_modules_are_loaded_only_if_they_are_used(deciding: Make) -> None:
    snakefile = single('"true"', 'envmodules: "gcc/12", "root"')
    assert deciding(snakefile).step("one").shell.modules == ""
    found = deciding(snakefile, deployment={options.DeploymentMethod.ENV_MODULES}).step("one").shell
    assert found.modules.startswith("module purge && ")
    assert found.modules.endswith("module load gcc/12 root; ")


def test_what_the_snakefile_changes_in_its_process_is_inherited(
    deciding: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_state, "_environment", None)
    monkeypatch.setattr(process_state, "_umask", None)
    before = os.umask(0o022)
    try:
        process_state.remember()
        monkeypatch.setenv("GRID_TEST_SET", f"{Path.cwd()}/data")
        os.umask(0o027)
        decided = deciding(single('"true"')).decided("one")
    finally:
        os.umask(before)
    assert decided.environment["GRID_TEST_SET"] == f"{WORKDIR}/data"
    assert decided.decision.umask == 0o027
    assert "GRID_TEST_SET" not in decided.decision.dumps()
