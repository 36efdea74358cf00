"""No decision holds the value of a variable that ``envvars:`` names."""

from __future__ import annotations

from pathlib import Path

import pytest
from snakemake.shell import shell

from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Unsupported
from snakemake_executor_plugin_grid.snakemake_api.deciding.variables import Variables
from snakemake_executor_plugin_grid.worker.decided.decision import variable_mark
from snakemake_executor_plugin_grid.worker.description import WORKDIR

from .conftest import Make, single

SECRET = "it s3cret"
WORKFLOW = 'import os\nenvvars: "TOKEN"\n'
MARK = variable_mark("TOKEN")


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)


def test_a_command_has_a_mark(deciding: Make) -> None:
    text = single('"login {params.token:q} {params.token}"', 'params: token=os.environ["TOKEN"]')
    decided = deciding(WORKFLOW + text).decided("one")
    assert decided.decision.steps[0].commands[0].text == f"login '{MARK}' {MARK}"
    assert SECRET not in decided.decision.dumps()


def test_so_has_what_stands_before_each_command(
    deciding: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_process_prefix", f"export T='{SECRET}';")
    decided = deciding(WORKFLOW + single('"true"')).decided("one")
    assert MARK in decided.decision.steps[0].shell.prefix
    assert SECRET not in decided.decision.dumps()


@pytest.mark.parametrize("name", ["x.py", "x.sh"])
@pytest.mark.parametrize("value", [SECRET, "it's\\secret", 'say "secret"', "geheimnisvoll für"])
def test_what_cannot_have_a_mark_needs_snakemake(
    deciding: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("TOKEN", value)
    (tmp_path / name).touch()
    text = 'rule one:\n    output: "o"\n    params: os.environ["TOKEN"]\n'
    text += f'    script: "{name}"\n'
    why = "its script, or what the script gets, holds the value of TOKEN"
    with pytest.raises(Unsupported, match=why):
        deciding(WORKFLOW + text).decided("one")


def test_marks_stay_whole_and_short_values_do_not_count() -> None:
    variables = Variables({"A": "workdir", "B": "1", "C": "a workdir"})
    assert variables.hide(f"{WORKDIR}/workdir/1/a workdir") == (
        f"{WORKDIR}/{variable_mark('A')}/1/{variable_mark('C')}"
    )


def test_a_value_whose_quotes_were_changed() -> None:
    variables = Variables({"A": "it's one"})
    assert variables.hide("it's one") == variable_mark("A")
    with pytest.raises(Unsupported, match="its command holds the value of A"):
        variables.hide("""echo 'it'"'"'s one'""")
