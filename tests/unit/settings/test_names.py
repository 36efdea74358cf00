"""Options by variables, which are set for all runs of a shell."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_grid.backends.registry import check_options
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from tests.unit.settings.test_options import parse


@pytest.fixture(autouse=True)
def _no_other_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SNAKEMAKE_GRID_"):
            monkeypatch.delenv(name)


def set_variables(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"SNAKEMAKE_GRID_{name.upper()}", value)


@pytest.mark.parametrize(
    "variables",
    [
        {"dirac_python": sys.executable},
        {"dirac_python": "/nowhere/python", "panda_python": "~/nowhere"},
        {"panda_route": "by train"},
        {"dirac_storage_element": "SE"},
        {"site": "LCG.CERN.cern", "banned_sites": "LCG.Lyon.fr"},
    ],
)
def test_variables_for_other_backends_disturb_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    set_variables(monkeypatch, **variables)
    assert check_options(parse(), tmp_path) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--grid-dirac-storage-element", "SE"), "is for --grid-backend dirac"),
        (("--grid-panda-route", "by train"), "'by train'"),
    ],
)
def test_what_the_command_line_says_for_another_backend_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, str], words: str
) -> None:
    set_variables(monkeypatch, dirac_storage_element="other", panda_route="idds")
    with pytest.raises(WorkflowError, match=words) as caught:
        check_options(parse(*args), tmp_path)
    assert args[0] in str(caught.value)


def test_a_bad_variable_for_the_chosen_backend_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, backend="dirac", dirac_python="/nowhere/python")
    with pytest.raises(WorkflowError, match="--grid-dirac-python /nowhere/python"):
        check_options(parse(), tmp_path)


def test_an_empty_variable_sets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [field.name for field in fields(ExecutorSettings) if field.metadata.get("env_var")]
    assert len(names) > 15
    set_variables(monkeypatch, **dict.fromkeys(names, ""), nothing="")
    assert parse() == ExecutorSettings()
    assert check_options(parse(), tmp_path) == []


def test_an_empty_option_overrides_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, site="A", backend="dirac")
    settings = parse("--grid-site=", "--grid-backend=")
    assert (settings.site, settings.backend) == (None, "local")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SNAKEMAKE_GRID_BACKENDS", "SNAKEMAKE_GRID_BACKEND?"),
        ("SNAKEMAKE_GRID_DIRAC_PYHTON", "SNAKEMAKE_GRID_DIRAC_PYTHON?"),
        ("SNAKEMAKE_GRID_EXCLUDE", "--grid-exclude on the command line"),
        ("SNAKEMAKE_GRID_QZX", "no such option"),
    ],
)
def test_a_variable_that_is_not_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setenv(name, "x")
    (note,) = check_options(parse(), tmp_path)
    assert name in note
    assert words in note


def test_a_run_within_a_job_has_the_variable_of_that_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNAKEMAKE_GRID_JOB", "sort-0000beef-1")
    assert check_options(parse(), tmp_path) == []


@pytest.mark.parametrize("values", [{"site": "A,B"}, {"banned_sites": "A"}])
def test_sites_are_said_to_have_no_effect_on_this_machine(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    (note,) = check_options(ExecutorSettings(**values), tmp_path)
    ((name, value),) = values.items()
    assert f"--grid-{name.replace('_', '-')} {value}: has no effect" in note
    assert "local" in note
    assert check_options(ExecutorSettings(backend="dirac", **values), tmp_path) == []


def test_the_python_of_rucio_is_that_of_the_storage_plugin_unless_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SNAKEMAKE_STORAGE_GRID_RUCIO_PYTHON", "/conda/bin/python")
    assert ExecutorSettings().rucio_python == Path("/conda/bin/python")
    given = Path("/other/python")
    assert ExecutorSettings(rucio_python=given).rucio_python == given
