"""Files that a command names and no rule declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Make


def snakefile(command: str) -> str:
    return (
        'rule one:\n    input: "in.csv"\n    output: "out/one.txt"\n    log: "log.txt"\n'
        f"    shell: {command!r}\n"
    )


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for name in (
        "tools/x.py",
        "tools/lib/y.py",
        "a b.txt",
        "made.txt",
        "parts/1",
        "mixed/old",
        "in/x",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "large").write_bytes(b"x" * ((1 << 20) + 1))
    (tmp_path / "many").mkdir()
    for number in range(201):
        (tmp_path / "many" / str(number)).touch()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "link").symlink_to("../tools")
    (tmp_path / ".snakemake").mkdir(exist_ok=True)
    (tmp_path / ".snakemake" / "own").touch()


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("python tools/x.py {input} > {output}", {"tools/x.py"}),
        ("python ./tools/x.py; cat 'a b.txt'", {"tools/x.py", "a b.txt"}),
        ("x --script=tools/x.py, 2>{log}", {"tools/x.py"}),
        ("x 'a b.txt',tools/x.py @tools/lib/y.py", {"a b.txt", "tools/x.py", "tools/lib/y.py"}),
        ("x $PWD/tools/x.py; y ${{PWD}}/tools/lib/y.py", {"tools/x.py", "tools/lib/y.py"}),
        ('x "$(pwd)/tools/x.py"; for n in 1; do :; done', {"tools/x.py"}),
        ("x --folder in", {"in/x"}),
        ('bash -c "cat \\"tools/x.py\\""', {"tools/x.py"}),
        ("x tools", {"tools/x.py", "tools/lib/y.py"}),
        ("python3 -u -m tools.lib.y {input}", {"tools/x.py", "tools/lib/y.py"}),
        ("python -m gone.x; sort -m x.py", set()),
        ("x {workflow.basedir}/tools/lib", {"tools/lib/y.py"}),
        ("x . .. / ../ gone .snakemake/own large many linked", set()),
        # Products of other jobs have to be declared, and folders that hold them.
        ("cat made.txt parts/1 parts mixed", set()),
        ("cat in.csv; mkdir -p out", set()),
    ],
)
def test_small_files_that_nobody_makes_travel(
    deciding: Make, tmp_path: Path, command: str, names: set[str]
) -> None:
    products = {"made.txt", "parts", "mixed/new", "out/one.txt", "log.txt"}
    (tmp_path / "mixed" / "new").write_text("")
    decided = deciding(snakefile(command), products=products).decided("one")
    assert set(decided.undeclared) == names
    assert decided.files == {name: str(tmp_path / name) for name in names}


@pytest.mark.parametrize("folder", ["programs/", ""])
def test_code_beside_a_program_travels(deciding: Make, tmp_path: Path, folder: str) -> None:
    beside = {f"{folder}{name}" for name in ("helper.py", "inc.sh", "package/__init__.py")}
    others = {f"{folder}{name}" for name in ("made.py", "data.csv", "plain/z.py", "run.py")}
    for name in {*beside, *others}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    products = {f"{folder}made.py", "out/one.txt", "log.txt"}
    command = f"python {folder}run.py; cat {folder}data.csv"
    decided = deciding(snakefile(command), products=products).decided("one")
    named = {f"{folder}run.py", f"{folder}data.csv"}
    assert set(decided.undeclared) == named
    assert set(decided.files) == beside | named
    declared = snakefile("python {input}").replace('"in.csv"', f'"{folder}run.py"')
    decided = deciding(declared, products=products).decided("one")
    assert decided.undeclared == ()
    assert set(decided.files) == beside


def test_an_input_with_an_absolute_name_is_declared(deciding: Make, tmp_path: Path) -> None:
    text = snakefile("cat {input} in.csv").replace('"in.csv"', f'"{tmp_path}/in.csv"')
    assert deciding(text).decided("one").undeclared == ()


def test_files_that_are_too_large_are_told(deciding: Make, tmp_path: Path) -> None:
    (tmp_path / "large.made").write_bytes(b"x" * ((1 << 20) + 1))
    command = "x large large.made many tools/x.py"
    decided = deciding(snakefile(command), products={"large.made"}).decided("one")
    assert decided.large == ("large",)
    assert decided.undeclared == ("tools/x.py",)


def test_files_that_params_of_a_script_name_travel(deciding: Make, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir(exist_ok=True)
    (tmp_path / "scripts" / "one.py").touch()
    rule = """
from pathlib import Path
rule one:
    output: "one.txt"
    params: "tools/x.py", more=[{"a": Path("a b.txt")}, "large", "gone", 5, None]
    script: "scripts/one.py"
"""
    decided = deciding(rule).decided("one")
    assert decided.undeclared == ("a b.txt", "tools/x.py")
    assert decided.large == ("large",)
    assert decided.files["tools/x.py"] == str(tmp_path / "tools/x.py")
