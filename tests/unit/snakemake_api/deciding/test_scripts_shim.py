"""The stand-in for Snakemake, as scripts use it on nodes with and without Snakemake."""

from __future__ import annotations

import ast
import sys
import zipfile
from pathlib import Path

import pytest
import snakemake
from snakemake.settings.types import ResourceSettings

from snakemake_executor_plugin_grid.snakemake_api.deciding.scripts import shim
from snakemake_executor_plugin_grid.snakemake_api.deciding.scripts.containers import MODULE
from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from tests.unit.snakemake_api.conftest import Build
from tests.unit.snakemake_api.deciding.node import PYTHONS, Node, render

RULE = """
rule one:
    input: "in.csv"
    output: "a b.txt"
    params: words=["x y", "z"]
    log: "a.log"
    threads: 3
    script: "scripts/show.py"
"""
VERSION = str(snakemake.__version__)


def run(build: Build, node: Node, code: str) -> tuple[str, str]:
    Path("scripts/show.py").write_text(code.replace("CONTAINERS", MODULE))
    done = node.run(render(build(RULE, resources=ResourceSettings(cores=4)).job("one")), "in.csv")
    return done.stdout, done.stderr


@pytest.mark.parametrize("python", PYTHONS)
def test_shell_runs_as_that_of_snakemake(build: Build, tmp_path: Path, python: str) -> None:
    code = """
import os, subprocess
from snakemake import shell
from snakemake.shell import shell as same
from snakemake.utils import format, makedirs
assert shell is same
log = snakemake.log_fmt_shell(stdout=False)
value = "it's"
shell("echo {value:q} {snakemake.params.words:q} {{}} {log} > {snakemake.output[0]:q}")
print(open(snakemake.output[0]).read().strip())
shell.executable("bash")
shell.prefix("set -eu; A=1; ")
print(shell("echo $A {snakemake.threads}", read=True).strip())
print(list(shell("printf '1\\n2\\n'", iterable=True)))
try:
    shell("false | true; exit 3")
except subprocess.CalledProcessError as error:
    print(error.returncode)
print(format("{snakemake.wildcards}|{snakemake.rule}|{snakemake.input}"))
makedirs("new/folder")
print(os.path.isdir("new/folder"), os.path.exists("a.log"))
long = "x" * 70000
print(len(shell("echo {long}", read=True)))
"""
    shown, errors = run(build, Node(tmp_path, python), code)
    assert errors == ""
    assert shown.splitlines() == [
        "it's x y z {}",
        "1 3",
        "['1', '2']",
        "3",
        "|one|in.csv",
        "True True",
        "70001",
    ]


def test_logger_is_silent_below_a_warning_as_with_snakemake(build: Build, tmp_path: Path) -> None:
    code = "from snakemake.logging import logger as same\nlogger.info('a')\nsame.warning('b')"
    assert run(build, Node(tmp_path), code) == ("", "b\n")


def test_classes_are_there_for_annotations(build: Build, tmp_path: Path) -> None:
    code = """
given = snakemake
from CONTAINERS import InputFiles, Namedlist, Snakemake as A
from snakemake.script import Snakemake as B
from snakemake.exceptions import WorkflowError
import snakemake.common, snakemake.io
print(A is B, type(given) is A, issubclass(WorkflowError, Exception))
"""
    assert run(build, Node(tmp_path), code) == ("True True True\n", "")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from snakemake.utils import validate", "snakemake.utils.validate"),
        ("from snakemake.io import expand", "snakemake.io.expand"),
        ("import snakemake.sourcecache", "snakemake.sourcecache"),
        ("from snakemake.remote import HTTP", "snakemake.remote"),
        ("snakemake.input.size_mb", "snakemake.common.async_run"),
    ],
)
def test_what_is_not_there_says_what_to_do(
    build: Build, tmp_path: Path, code: str, name: str
) -> None:
    _, errors = run(build, Node(tmp_path), code)
    assert errors.splitlines()[-1].endswith(
        f"Error: {name}: scripts have a stand-in for Snakemake on this node, which does not have "
        f"that. Install Snakemake {VERSION} on the node, or use --grid-decide never"
    )


def test_optional_import_can_be_tried(build: Build, tmp_path: Path) -> None:
    code = """
try:
    from snakemake.utils import validate
    import snakemake.report
except ImportError:
    print("goes on")
"""
    assert run(build, Node(tmp_path), code) == ("goes on\n", "")


def test_other_version_on_the_node_is_not_used(build: Build, tmp_path: Path) -> None:
    other = tmp_path / "site" / "snakemake"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "7.32.4"\nraise SystemExit("old")\n')
    node = Node(tmp_path)
    node.environment["PYTHONPATH"] = str(other.parent)
    code = f"import snakemake as package; print(package.__version__ == {VERSION!r})"
    assert run(build, node, code) == ("True\n", "")


def test_same_version_on_the_node_is_used(build: Build, tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.environment["PYTHONPATH"] = str(Path(snakemake.__file__).parents[1])
    code = """
import snakemake.utils as utils
from snakemake.utils import validate, min_version
from CONTAINERS import Snakemake as Class
print(utils.__file__)
"""
    shown, errors = run(build, node, code)
    assert (shown.strip(), errors) == (str(Path(snakemake.__file__).parent / "utils.py"), "")


def test_href_of_a_report_is_that_of_snakemake(build: Build, tmp_path: Path) -> None:
    code = "print(snakemake.report_href('a/b').child_path('c d.html').url_args(x='ä').anchor('y'))"
    real = sys.modules[MODULE].ReportHref("a/b").child_path("c d.html").url_args(x="ä").anchor("y")
    assert run(build, Node(tmp_path), code) == (f"{real}\n", "")


def test_other_process_gets_the_params(build: Build, tmp_path: Path) -> None:
    code = """
import multiprocessing
def words(params):
    return " ".join(params.words)
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map(words, [snakemake.params]))
"""
    assert run(build, Node(tmp_path), code) == ("['x y z']\n", "")


def test_files_are_in_the_worker_program(tmp_path: Path) -> None:
    write_worker(tmp_path / "worker.pyz", shim.files())
    with zipfile.ZipFile(tmp_path / "worker.pyz") as archive:
        for name, content in shim.files().items():
            assert archive.read(name) == content
        assert "worker/start.py" in archive.namelist()


def test_own_modules_are_outside_the_package_snakemake() -> None:
    """They would be hidden by a real Snakemake."""
    real = {path.name.removesuffix(".py") for path in Path(snakemake.__file__).parent.iterdir()}
    names = [name.removeprefix("shim/") for name in shim.files()]
    assert "grid_script.py" in names
    for name in names:
        if name.startswith("snakemake/"):
            module = name.removeprefix("snakemake/").split("/")[0].removesuffix(".py")
            assert module == "__init__" or module in real


def test_python_3_6_can_read_every_file() -> None:
    for name, content in shim.files().items():
        ast.parse(content, name, feature_version=(3, 6))


def test_another_layout_of_snakemake_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shim, "_UTILS", (*shim._UTILS, "gone"))
    with pytest.raises(shim.LayoutError, match=r"snakemake.utils of .* has no .*'gone'"):
        shim._utils("def format(): pass")
    with pytest.raises(shim.LayoutError, match=r"snakemake.shell of .* imports no"):
        shim._shell("import os")
