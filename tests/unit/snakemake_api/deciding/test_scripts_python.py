"""Python scripts of decided jobs, run for real by Pythons without Snakemake."""

from __future__ import annotations

import ast
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.script import script as snakemake_script

from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.snakemake_api.deciding.scripts import beside, shim
from tests.unit.snakemake_api.conftest import Build
from tests.unit.snakemake_api.deciding.node import PYTHONS, Node, call, render

SNAKEFILE = r"""
from pathlib import Path
configfile: "config.yaml"

rule show:
    input: "in.csv", pair=["shared.csv", "in.csv"], one="in.csv"
    output: "{name}.txt", more=["{name} 2.txt"]
    params:
        nested={"list": [1, 2.5, None, True, {"deep": ("a", "b")}], 3: "three"},
        nothing=None,
        group={"b", "a", "c"},
        frozen=frozenset([3, 1]),
        place=Path("data/x y.txt"),
        inside=Path.cwd() / "data",
        absolute=f"{Path.cwd()}/data/a.txt",
        within=f"--dir {Path.cwd()}/data --also {Path.cwd()}",
        unicode="åéµ→😀",
        quotes="it's \"quoted\" \\ back\nline",
        braces=lambda wildcards: "{not} {{a}} ${x}",
        tmp=lambda wildcards, resources: [resources.tmpdir],
        index="an index",
    log: "logs/{name}.log", second="logs/{name}.b.log"
    threads: 1
    resources: mem_mb=100, label="a 'b'"
    script: "scripts/show.py"
"""
SHOW = r'''"""Shows what it gets."""
import sys as _sys
def seen(value):
    if isinstance(value, dict):
        return sorted((repr(k), seen(v)) for k, v in value.items())
    if isinstance(value, (set, frozenset)):
        return [type(value).__name__, sorted(map(repr, value))]
    if isinstance(value, (list, tuple)):
        items = list(value.items()) if hasattr(value, "items") else []
        return [type(value).__name__, [seen(v) for v in value], [(k, seen(v)) for k, v in items]]
    return [type(value).__name__, str(value)]
import json
everything = {name: seen(getattr(snakemake, name)) for name in (
    "input", "output", "params", "wildcards", "threads", "resources", "log", "config", "rule",
    "bench_iteration", "scriptdir")}
everything["names"] = [type(snakemake).__name__, logger.name, Snakemake.__module__, sys is _sys]
everything["file"] = __file__
everything["real"] = __real_file__.endswith(".show.py")
everything["log"] += [snakemake.log_fmt_shell(), snakemake.log_fmt_shell(append=True)]
everything["access"] = [snakemake.input[0], snakemake.input.one, snakemake.params["nothing"],
                        snakemake.params.get("absent", 7), snakemake.params.index]
everything["line"] = _sys._getframe().f_lineno
with open(snakemake.output[0], "w") as file:
    json.dump(everything, file)
'''
CONFIG = "samples: {a: [1, 2], b: {c: 'x y'}}\nempty: null\nwhen: 2026-11-30\n"


def prepare() -> None:
    Path("config.yaml").write_text(CONFIG)
    Path("scripts/show.py").write_text(SHOW)


@pytest.mark.parametrize("python", PYTHONS)
def test_values_are_those_that_snakemake_gives(build: Build, tmp_path: Path, python: str) -> None:
    prepare()
    job = build(SNAKEFILE, targets=("res.txt",)).job("show", name="res")
    node = Node(tmp_path, python)
    rendered = render(job)
    done = node.run(rendered)
    assert done.returncode == 0, done.stderr
    there = (node.workdir / "res.txt").read_text()
    snakemake_script(*call(job, tmpdir=str(node.tmpdir)).args)
    # The same but for the folder.
    here = Path("res.txt").read_text().replace(str(Path.cwd()), str(node.workdir))
    assert json.loads(there) == json.loads(here)
    assert "data/x y.txt" in there
    assert rendered.packages == ()


def test_shared_folder_of_modules_beside_the_script_travels(build: Build, tmp_path: Path) -> None:
    Path("scripts/helper.py").write_text("import lib.deep\nvalue = lib.deep.value")
    Path("scripts/lib").mkdir()
    Path("scripts/lib/__init__.py").write_text("")
    Path("scripts/lib/deep.py").write_text("value = 42")
    Path("scripts/table.tsv").write_text("a table")
    Path("scripts/.env").write_text("a secret")
    Path("scripts/large.bin").write_bytes(b"\0" * (1 << 20))
    Path("scripts/__pycache__").mkdir()
    Path("scripts/__pycache__/helper.pyc").write_text("")
    Path("scripts/show.py").write_text(
        "import helper, os\nfolder = os.path.dirname(__file__)\n"
        "print(helper.value, open(folder + '/table.tsv').read(), folder == snakemake.scriptdir)"
    )
    rule = 'rule one:\n    output: "a"\n    script: "scripts/show.py"\n'
    rendered = render(build(rule).job("one"))
    assert sorted(rendered.files) == [
        "scripts/helper.py",
        "scripts/lib/__init__.py",
        "scripts/lib/deep.py",
        "scripts/show.py",
        "scripts/table.tsv",
    ]
    done = Node(tmp_path).run(rendered)
    assert (done.stdout, done.stderr) == ("42 a table True\n", "")


def test_script_in_the_working_directory_takes_only_code(build: Build) -> None:
    Path("show.py").write_text("")
    Path("data.txt").write_text("")
    Path("package").mkdir()
    Path("package/__init__.py").write_text("")
    Path("package/data.txt").write_text("")
    rule = 'rule one:\n    output: "a"\n    script: "show.py"\n'
    assert sorted(render(build(rule).job("one")).files) == ["package/__init__.py", "show.py"]


def test_script_outside_the_working_directory_is_as_far_up(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("scripts/show.py").write_text("print(__file__, snakemake.scriptdir)")
    (tmp_path / "run" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run" / "here")
    job = build('rule one:\n    output: "a"\n    script: "scripts/show.py"\n').job("one")
    rendered = render(job)
    assert sorted(rendered.files) == ["../../scripts/helper.py", "../../scripts/show.py"]
    node = Node(tmp_path)
    done = node.run(rendered)
    assert done.stderr == ""
    file, folder = done.stdout.split()
    assert Path(file).resolve() == node.workdir.parents[1] / "scripts" / "show.py"
    assert Path(folder).resolve() == node.workdir.parents[1] / "scripts"


def test_link_to_a_script_is_followed(build: Build, tmp_path: Path) -> None:
    Path("real").mkdir()
    Path("real/show.py").write_text("import os; print(os.listdir(os.path.dirname(__file__)))")
    Path("real/table.tsv").write_text("")
    Path("scripts/show.py").unlink()
    Path("scripts/show.py").symlink_to("../real/show.py")
    job = build('rule one:\n    output: "a"\n    script: "scripts/show.py"\n').job("one")
    done = Node(tmp_path).run(render(job))
    assert sorted(ast.literal_eval(done.stdout)) == ["show.py", "table.tsv"]


def test_wildcards_and_params_are_in_the_path(build: Build) -> None:
    rule = (
        'rule all:\n    input: "show.out"\n'
        'rule one:\n    output: "{w}.out"\n    params: d="scripts"\n'
        '    script: "{params.d}/{wildcards.w}.py"\n'
    )
    rendered = render(build(rule).job("one", w="show"))
    assert rendered.command.script is not None
    assert rendered.command.script.name == "show.py"


def test_folder_that_the_snakefile_adds_to_the_search_path_travels(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("lib").mkdir()
    Path("lib/tool.py").write_text("value = 7")
    Path("lib/data.txt").write_text("")
    Path("scripts/show.py").write_text("import tool; print(tool.value)")
    rule = (
        "import sys\nsys.path.insert(0, workflow.basedir + '/lib')\n"
        'rule one:\n    output: "a"\n    script: "scripts/show.py"\n'
    )
    rendered = render(build(rule).job("one"))
    assert "lib/tool.py" in rendered.files
    assert "lib/data.txt" not in rendered.files
    assert Node(tmp_path).run(rendered).stdout == "7\n"


def test_repeats_of_a_benchmark_differ_in_their_number(build: Build, tmp_path: Path) -> None:
    Path("scripts/show.py").write_text("print(snakemake.bench_iteration)")
    job = build('rule one:\n    output: "a"\n    script: "scripts/show.py"\n').job("one")
    node = Node(tmp_path)
    shown = [node.run(render(job, iteration=number)).stdout for number in (None, 0, 1)]
    assert shown == ["None\n", "0\n", "1\n"]


def test_same_job_gives_the_same_text_in_each_process(build: Build) -> None:
    prepare()
    job = build(SNAKEFILE, targets=("res.txt",)).job("show", name="res")
    script = render(job).command.script
    assert script is not None
    code = (
        "from tests.unit.snakemake_api.deciding.node import render\n"
        "from tests.unit.snakemake_api.dags import made\n"
        "from pathlib import Path\n"
        "with made(Path('Snakefile'), ('res.txt',)) as workflow:\n"
        "    (job,) = workflow.dag.jobs\n"
        "    print(render(job).command.script.text, end='')\n"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "1",  # pytest has a random one
        "PYTHONPATH": str(Path(__file__).parents[4]),
        "PYTHONSAFEPATH": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == (script.text, 0), done.stderr


PARAMS = """
import fractions
class Own:
    pass
cyclic = []
cyclic.append(cyclic)
rule one:
    output: "a"
    params: thing={}
    script: "scripts/show.py"
"""


@pytest.mark.parametrize(
    "value", ["Own()", "[lambda: 1]", "{'a': Own}", "open('in.csv')", "cyclic"]
)
def test_param_that_cannot_travel_is_named(build: Build, value: str) -> None:
    job = build(PARAMS.format(value)).job("one")
    with pytest.raises(
        Unsupported, match=r"params: thing (cannot be pickled|holds an object of snakemake)"
    ):
        render(job)


def test_param_of_the_standard_library_travels(build: Build, tmp_path: Path) -> None:
    Path("scripts/show.py").write_text("print(repr(snakemake.params.thing))")
    job = build(PARAMS.format("fractions.Fraction(1, 3)")).job("one")
    assert Node(tmp_path).run(render(job)).stdout == "Fraction(1, 3)\n"


def test_param_of_a_module_of_the_workflow_falls_back(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(Path.cwd()), *sys.path])
    Path("own_module.py").write_text("class Thing:\n    pass\n")
    rule = "import own_module\n" + PARAMS.format("own_module.Thing()")
    with pytest.raises(
        Unsupported, match="params: thing holds an object of own_module, a module that"
    ):
        render(build(rule).job("one"))
    del sys.modules["own_module"]


def test_source_path_in_params_is_a_plain_text(build: Build, tmp_path: Path) -> None:
    Path("scripts/show.py").write_text("print(type(snakemake.params.thing).__name__)")
    job = build(PARAMS.format("workflow.source_path('scripts/helper.py')")).job("one")
    assert Node(tmp_path).run(render(job)).stdout == "str\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("numpy.float64(2.5)", "2.5"), ("numpy.arange(4)", "[0 1 2 3]"), ("[numpy.int8(3)]", "3")],
)
def test_packages_that_values_need_are_named(
    build: Build, tmp_path: Path, value: str, shown: str
) -> None:
    numpy = pytest.importorskip("numpy")
    Path("scripts/show.py").write_text(
        "x = snakemake.params.thing\nprint(*x) if type(x) is list else print(x)"
    )
    rendered = render(build("import numpy\n" + PARAMS.format(value)).job("one"))
    assert rendered.packages == ("numpy",)
    node = Node(tmp_path)
    assert "numpy" in node.run(rendered).stderr.splitlines()[-1]
    node.environment["PYTHONPATH"] = str(Path(numpy.__file__).parents[1])
    assert node.run(rendered).stdout == f"{shown}\n"


def test_encoding_of_the_source_is_kept(build: Build, tmp_path: Path) -> None:
    Path("scripts/show.py").write_bytes("print(ascii('é'))\r\nprint(2)".encode())
    job = build('rule one:\n    output: "a"\n    script: "scripts/show.py"\n').job("one")
    assert Node(tmp_path).run(render(job)).stdout == "'\\xe9'\n2\n"


def test_pickle_is_one_that_old_pythons_read(build: Build) -> None:
    prepare()
    job = build(SNAKEFILE, targets=("res.txt",)).job("show", name="res")
    script = render(job).command.script
    assert script is not None
    tree = ast.parse(script.text)
    (data,) = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes)
    )
    assert data[:2] == pickle.PROTO + bytes([4])


def test_language_without_counterpart_falls_back(build: Build) -> None:
    Path("scripts/show.rs").write_text("")
    job = build('rule one:\n    output: "a"\n    script: "scripts/show.rs"\n').job("one")
    with pytest.raises(Unsupported, match=r"neither Python, R, .*, Julia nor bash: show.rs"):
        render(job)


def test_missing_script_is_an_error_of_the_job(build: Build) -> None:
    from snakemake.exceptions import WorkflowError

    job = build('rule one:\n    output: "a"\n    script: "scripts/absent.py"\n').job("one")
    with pytest.raises((WorkflowError, OSError), match=r"absent.py"):
        render(job)


def test_folder_with_too_much_falls_back(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "MOST_FILES", 3)
    for number in range(4):
        Path(f"scripts/{number}.txt").write_text("")
    job = build('rule one:\n    output: "a"\n    script: "scripts/show.py"\n').job("one")
    for _ in range(2):
        with pytest.raises(Unsupported, match="holds more than 3 files or 100 MiB"):
            render(job)


def test_links_beside_a_script_are_followed_once(build: Build) -> None:
    Path("library").mkdir()
    Path("library/table.tsv").write_text("")
    Path("scripts/library").symlink_to("../library")
    Path("library/back").symlink_to("../scripts")
    job = build('rule one:\n    output: "a"\n    script: "scripts/show.py"\n').job("one")
    assert sorted(render(job).files) == [
        "scripts/helper.py",
        "scripts/library/table.tsv",
        "scripts/show.py",
    ]


def test_another_layout_of_snakemake_falls_back(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise shim.LayoutError("snakemake.shell of 10.0 imports no logger")

    monkeypatch.setattr(shim, "files", fail)
    job = build('rule one:\n    output: "a"\n    script: "scripts/show.py"\n').job("one")
    with pytest.raises(Unsupported, match=r"snakemake.shell of 10.0 imports no logger"):
        render(job)
    assert shim.for_worker() == {}


def test_script_in_a_linked_folder_has_its_real_file(build: Build, tmp_path: Path) -> None:
    (tmp_path / "shared" / "code").mkdir(parents=True)
    Path("shared/code/show.py").write_text(
        "import os\nprint(__file__ == os.path.abspath('shared/code/show.py'))\n"
        "print(os.path.exists(__file__))"
        "\nprint(snakemake.scriptdir == os.path.abspath('linked'))"
    )
    Path("linked").symlink_to("shared/code")
    job = build('rule one:\n    output: "a"\n    script: "linked/show.py"\n').job("one")
    done = Node(tmp_path).run(render(job))
    assert (done.stdout, done.stderr) == ("True\nTrue\nTrue\n", "")


def test_remote_script_imports_what_the_cache_has_beside_it(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("cache").mkdir()
    Path("cache/show.py").write_text("import beside_it; print(beside_it.value, __file__)")
    Path("cache/beside_it.py").write_text("value = 5")
    address = "https://example.org/far/show.py"
    job = build(f'rule one:\n    output: "a"\n    script: "{address}"\n').job("one")
    monkeypatch.setattr(
        "snakemake.sourcecache.SourceCache._cache",
        lambda self, source: Path("cache/show.py").absolute(),
    )
    rendered = render(job)
    (name,) = rendered.files
    assert name.startswith(".snakemake/grid-sources/")
    assert Node(tmp_path).run(rendered).stdout == f"5 {address}\n"
