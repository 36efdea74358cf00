"""Jobs in containers, with a stand-in for Apptainer and an image that has no Snakemake."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import venv
from dataclasses import fields
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid import ExecutorSettings
from tests.conftest import ONE_TRY, Project
from tests.servers.apptainer.fixture import URL, Apptainer, apptainer
from tests.servers.apptainer.image import NAME

__all__ = ["apptainer"]

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).parents[2]


def plugin_has(option: str) -> bool:
    """Return whether the plugin has an option, such as ``decide`` for ``--grid-decide``."""
    return option in {known.name for known in fields(ExecutorSettings)}


NOT_DECIDED = ("--grid-decide", "never") if plugin_has("decide") else ()
needs_decide = pytest.mark.skipif(not plugin_has("decide"), reason="there is no --grid-decide")


@pytest.fixture
def node(project: Project, apptainer: Apptainer) -> Apptainer:
    """Let the jobs of the project find the stand-in."""
    project.environment["PATH"] = apptainer.path
    return apptainer


def test_snakemake_runs_in_the_container_of_the_runtime(project: Project, node: Apptainer) -> None:
    """The Python of the tests is bound into the image, as the image has no Snakemake."""
    project.put("in.txt", "word\n")
    project.put(
        "Snakefile",
        """
rule all:
    input: "run.txt"
rule shell:
    input: "in.txt"
    output: "shell.txt"
    shell: "cat {input} /etc/grid-image > {output}"
rule run:
    input: "shell.txt"
    output: "run.txt"
    run:
        import os
        with open(output[0], "w") as out:
            out.write(open(input[0]).read() + str(os.path.exists("/etc/ld.so.cache")))
""",
    )
    prefixes = sorted({sys.prefix, sys.base_prefix, str(ROOT)})
    python = shlex.quote(f"{sys.prefix}/bin")
    project.run(
        *(*ONE_TRY, *NOT_DECIDED, "--grid-runtime", "container", "--grid-runtime-image", URL),
        *(
            "--grid-runtime-options",
            shlex.join(f"--bind={prefix}:{prefix}:ro" for prefix in prefixes),
        ),
        *("--grid-runtime-setup", f"export PATH={python}:$PATH"),
    ).succeeded()
    assert project.read("run.txt") == f"word\n{NAME}\nFalse"
    assert [call[0] for call in node.calls] == ["exec", "exec"]


CONTAINER = """
rule all:
    input: "shell.txt", "script.txt", "bash.txt", "node.txt"
rule shell:
    input: "in.txt"
    output: "shell.txt"
    params: odd="it's \\"odd\\" $HOME"
    container: "{image}"
    shell:
        "cat {{input}} /etc/grid-image > {{output}}; echo {{params.odd:q}} $PWD >> {{output}}; "
        "test ! -e /etc/ld.so.cache; of-image >> {{output}}"
rule script:
    input: "in.txt"
    output: "script.txt"
    container: "{image}"
    script: "script.py"
rule bash:
    input: "in.txt"
    output: "bash.txt"
    container: "{image}"
    script: "script.sh"
rule node:
    output: "node.txt"
    shell: "test ! -e /etc/grid-image; echo node > {{output}}"
"""


def write_rules(project: Project, image: str) -> None:
    project.put("in.txt", "word\n")
    project.put("Snakefile", CONTAINER.format(image=image))
    project.put(
        "script.py",
        """
import json, sys
from pathlib import Path
found = [sys.executable, Path("/etc/grid-image").read_text(), Path(snakemake.input[0]).read_text()]
Path(snakemake.output[0]).write_text(json.dumps(found))
""",
    )
    project.put(
        "script.sh", 'cat "${snakemake_input[0]}" /etc/grid-image > "${snakemake_output[0]}"\n'
    )


def check_results(project: Project) -> None:
    word, name, odd, of_image = project.read("shell.txt").splitlines()
    assert (word, name, of_image) == ("word", NAME, NAME)
    assert odd.startswith('it\'s "odd" $HOME /')
    python, *files = json.loads(project.read("script.txt"))
    assert python in ("/usr/bin/python", "/usr/bin/python3")
    assert files == [f"{NAME}\n", "word\n"]
    assert project.read("bash.txt") == f"word\n{NAME}\n"
    assert project.read("node.txt") == "node\n"


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """Return a Python that has no Snakemake."""
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=False)
    return str(bare / "bin" / "python")


def test_snakemake_itself_gets_along_with_the_stand_in(project: Project, node: Apptainer) -> None:
    write_rules(project, URL)
    project.run("--executor", "local", "--sdm", "apptainer").succeeded()
    check_results(project)
    assert [call[0] for call in node.calls if call[0] != "exec"] == ["--version", "pull"]
    assert len([call for call in node.calls if call[0] == "exec"]) == 3


def test_snakemake_on_the_worker_runs_the_container_of_a_rule(
    project: Project, node: Apptainer
) -> None:
    write_rules(project, URL)
    project.run(*ONE_TRY, *NOT_DECIDED, "--sdm", "apptainer").succeeded()
    check_results(project)
    assert len([call for call in node.calls if "exec" in call]) == 3


@needs_decide
@pytest.mark.parametrize("kind", ["folder", "file", "URL"])
def test_decided_jobs_run_in_the_container_of_their_rule(
    project: Project, node: Apptainer, tmp_path: Path, bare_python: str, kind: str
) -> None:
    image = {
        "folder": str(node.image),
        "file": str(node.image_file(tmp_path / "image.sif")),
        "URL": URL,
    }[kind]
    write_rules(project, image)
    always = ("--grid-decide", "always", "--grid-local-python", bare_python)
    project.run(*ONE_TRY, *always, "--sdm", "apptainer").succeeded()
    check_results(project)
    assert len([call for call in node.calls if "exec" in call]) == 3


@needs_decide
def test_decided_jobs_get_the_arguments_for_the_engine(
    project: Project, node: Apptainer, tmp_path: Path, bare_python: str
) -> None:
    data = tmp_path / "data of the node"
    data.mkdir()
    (data / "word.txt").write_text("shared\n")
    project.put(
        "Snakefile",
        f"""
rule all:
    output: "out.txt"
    container: {str(node.image)!r}
    shell: "cat /data/word.txt > {{output}}; ! touch /data/new"
""",
    )
    always = ("--grid-decide", "always", "--grid-local-python", bare_python, "--sdm", "apptainer")
    bind = f"--bind {shlex.quote(f'{data}:/data:ro')} --cleanenv"
    project.run(*ONE_TRY, *always, f"--apptainer-args={bind}").succeeded()
    assert project.read("out.txt") == "shared\n"


@needs_decide
def test_decided_jobs_in_a_container_report_their_exit_code(
    project: Project, node: Apptainer, bare_python: str
) -> None:
    project.put(
        "Snakefile",
        f"""
rule all:
    output: "out.txt"
    container: {str(node.image)!r}
    shell: "touch {{output}}; exit 7"
""",
    )
    always = ("--grid-decide", "always", "--grid-local-python", bare_python, "--sdm", "apptainer")
    output = project.run(*ONE_TRY, *always).failed().output
    assert re.search("exit (code|status) 7", output)


@needs_decide
@pytest.mark.skipif(
    bool(shutil.which("apptainer") or shutil.which("singularity")), reason="Apptainer is installed"
)
def test_a_node_without_an_engine_is_told(project: Project, bare_python: str) -> None:
    write_rules(project, URL)
    always = ("--grid-decide", "always", "--grid-local-python", bare_python, "--sdm", "apptainer")
    output = project.run(*ONE_TRY, "shell.txt", *always).failed().output
    assert "neither apptainer nor singularity" in output


@needs_decide
@pytest.mark.parametrize("kind", ["folder", "URL"])
def test_decided_jobs_run_in_the_container_of_the_runtime(
    project: Project, node: Apptainer, bare_python: str, kind: str
) -> None:
    write_rules(project, "unused.sif")
    text = project.read("Snakefile").replace(
        """
rule node:
    output: "node.txt"
    shell: "test ! -e""",
        """
rule node:
    output: "node.txt"
    shell: "test -e""",
    )
    project.put("Snakefile", text)
    image = {"folder": str(node.image), "URL": URL}[kind]
    project.run(
        *(*ONE_TRY, "--grid-decide", "always", "--grid-local-python", bare_python),
        *("--grid-runtime", "container", "--grid-runtime-image", image),
    ).succeeded()
    check_results(project)
    assert len([call for call in node.calls if "exec" in call]) == 4
