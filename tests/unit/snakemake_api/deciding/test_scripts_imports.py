"""Modules of a workflow that Python scripts import from elsewhere than their own folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.unit.snakemake_api.conftest import Build
from tests.unit.snakemake_api.deciding.node import Node, render

FILES = {
    "modules.py": "VALUE = 'module'\n",
    "package/__init__.py": "",
    "package/inner/__init__.py": "",
    "package/inner/one.py": "VALUE = 'package'\n",
    "plain/two.py": "VALUE = 'folder without __init__'\n",
    "code/three.py": "VALUE = 'above the script'\n",
    "other/four.py": "VALUE = 'not imported'\n",
    "package/table.csv": "",
}
SNAKEFILE = 'rule one:\n    output: "one"\n    script: "code/steps/script.py"\n'


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # Snakemake adds the folder of the Snakefile
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("import modules as m", "module"),
        ("from package.inner import one as m", "package"),
        ("import plain.two as m", "folder without __init__"),
        (
            "import sys; sys.path.append(__file__.rsplit('/', 2)[0]); import three as m",
            "above the script",
        ),
    ],
)
def test_modules_of_the_workflow_travel(
    build: Build, tmp_path: Path, code: str, value: str
) -> None:
    script = tmp_path / "code" / "steps" / "script.py"
    script.parent.mkdir(parents=True)
    script.write_text(f"{code}\nprint(m.VALUE)\n")
    rendered = render(build(SNAKEFILE).job("one"))
    done = Node(tmp_path).run(rendered)
    assert done.stdout == f"{value}\n", done.stderr
    assert not {"other/four.py", "package/table.csv"} & set(rendered.files)
