"""The options of a run with several backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_grid.backends.registry import check_options, for_backend
from snakemake_executor_plugin_grid.model.backend_names import allowed_backends, backend_names
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings

STORE = "file:///shared/me"


def problems(tmp_path: Path, **values: Any) -> str:
    try:
        check_options(ExecutorSettings(**values), tmp_path)
    except WorkflowError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "values",
    [
        {"backend": "local,dirac", "tags": "big", "local_cores": 2},
        {"backend": "dirac, panda", "platform": "x86", "panda_cloud": "X"},
        {"backend": "local dirac panda", "site": "A"},
    ],
)
def test_options_of_each_are_accepted(tmp_path: Path, values: dict[str, Any]) -> None:
    assert problems(tmp_path, store=STORE, **values) == ""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"backend": "local,dirac"}, "--grid-store: is needed with several backends: local and"),
        ({"backend": "local,dirac,panda"}, "local, dirac and panda hand files to each other"),
        ({"backend": "local,dirak", "store": STORE}, "there is no 'dirak'"),
        (
            {"backend": "local,panda", "store": STORE, "tags": "big"},
            "--grid-tags: is for --grid-backend dirac, but that is 'local,panda'",
        ),
        (
            {
                "backend": "local,dirac",
                "store": "lfn:/vo/user/m/me/x",
                "dirac_storage_element": "SE",
            },
            "--grid-store lfn:/vo/user/m/me/x: jobs on local cannot reach it",
        ),
        (
            {"backend": "local,dirac", "store": STORE, "dirac_storage_element": "SE"},
            "--grid-dirac-storage-element: files would go through --grid-store",
        ),
        (
            {"backend": "local,dirac", "dirac_mode": "local"},
            "--grid-dirac-mode local: cannot be one of several backends",
        ),
    ],
)
def test_what_cannot_go_together_is_named(
    tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    assert words in problems(tmp_path, **values)


def test_an_option_without_effect_on_any_is_told(tmp_path: Path) -> None:
    def notes(backend: str) -> list[str]:
        settings = ExecutorSettings(backend=backend, store=STORE, site="A")
        return check_options(settings, tmp_path)

    assert notes("local") == ["--grid-site A: has no effect with --grid-backend local."]
    assert notes("local,dirac") == []


def test_the_options_of_one_are_those_of_the_run() -> None:
    settings = ExecutorSettings(backend="local,dirac", store=STORE)
    assert for_backend(settings, "dirac").backend == "dirac"
    assert for_backend(settings, "dirac").store == STORE
    assert settings.backend == "local,dirac"
    single = ExecutorSettings(backend="dirac")
    assert for_backend(single, "dirac") is single


def test_names() -> None:
    assert backend_names("local, dirac,local") == ("local", "dirac")
    assert allowed_backends(None, ("a", "b")) == ("a", "b")
    assert allowed_backends("b,a", ("a", "b")) == ("b", "a")
    assert allowed_backends("c b", ("a", "b")) == ("b",)
    assert allowed_backends("c", ("a", "b")) == ()
