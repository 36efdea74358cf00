"""Options for PanDA: what is refused, and what becomes of the others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_grid.backends.panda.backend import PandaBackend
from snakemake_executor_plugin_grid.backends.panda.routes import Idds, Jedi
from snakemake_executor_plugin_grid.backends.panda.task import Options
from snakemake_executor_plugin_grid.backends.registry import check_options
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.stores.spool import SpooledInputs
from tests.unit.backends.test_registry import Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for variable in ("PANDA_AUTH", "PANDA_AUTH_VO", "OIDC_AUTH_VO", "X509_USER_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    bench = Bench(tmp_path)
    yield bench
    bench.database.close()


def problems(workdir: Path, **values: Any) -> str:
    with pytest.raises(WorkflowError) as caught:
        check_options(ExecutorSettings(**values), workdir)
    return str(caught.value)


def options(bench: Bench, **values: Any) -> Options:
    backend = bench.make(backend="panda", store=bench.shared.as_uri(), **values).backend
    assert isinstance(backend, PandaBackend)
    return backend._options


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("panda_python", Path(sys.executable)),
        ("panda_vo", "x"),
        ("panda_working_group", "x"),
        ("panda_cloud", "x"),
        ("panda_transformation", "x"),
        ("panda_container", "x"),
        ("panda_task", "{}"),
        ("panda_monitor", "https://x"),
    ],
)
@pytest.mark.parametrize("backend", ["local", "dirac"])
def test_options_of_panda_are_refused_elsewhere(
    tmp_path: Path, backend: str, option: str, value: object
) -> None:
    flag = f"--grid-{option.replace('_', '-')}"
    (told,) = problems(tmp_path, backend=backend, **{option: value}).splitlines()
    assert told.startswith(f"{flag}: is for --grid-backend panda,")
    assert repr(backend) in told


def test_the_queues_of_storage_elements_are_an_option_of_panda(tmp_path: Path) -> None:
    path = tmp_path / "rses"
    path.write_text("DISK-A A\n")
    told = problems(tmp_path, backend="dirac", panda_rse_sites=path)
    assert told.startswith("--grid-panda-rse-sites: is for --grid-backend panda,")


def test_a_store_is_needed_but_not_to_describe(tmp_path: Path) -> None:
    told = problems(tmp_path, backend="panda")
    assert told.startswith("--grid-store: PanDA needs one")
    check_options(ExecutorSettings(backend="panda", describe=True), tmp_path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"panda_task": "{"}, "--grid-panda-task, resource grid_panda_task: is no JSON"),
        ({"panda_task": "[]"}, "has to be a JSON object"),
        ({"panda_task": '{"taskName": "x"}'}, "taskName cannot be set"),
        ({"panda_route": "x"}, "--grid-panda-route: there is no 'x'; choose from jedi, idds."),
        ({"panda_secrets": "x"}, "--grid-panda-secrets: there is no 'x'; choose from "),
        ({"panda_python": Path("/no/python")}, "--grid-panda-python /no/python: is no program"),
        ({"panda_rse_sites": Path("/no/file")}, "--grid-panda-rse-sites /no/file: cannot be read"),
        ({"tags": "x"}, "--grid-tags: is for --grid-backend dirac, but that is 'panda'."),
        ({"store": "lfn:/vo/x"}, "--grid-store lfn:…: needs --grid-backend dirac."),
        ({"store_token": Path("/no/token")}, "--grid-store-token /no/token: there is no such file"),
    ],
)
def test_what_cannot_be_used_is_told_at_the_start(
    tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    assert words in problems(
        tmp_path, **({"backend": "panda", "store": (tmp_path / "store").as_uri()} | values)
    )


def test_small_inputs_are_carried_and_all_else_is_stored(bench: Bench) -> None:
    (bench.folder / "spool").mkdir()
    (bench.folder / "spool" / "left").touch()
    setup = bench.make(backend="panda", store=bench.shared.as_uri())
    backend, store = setup.backend, setup.stores.results
    assert not (bench.folder / "spool" / "left").exists()
    assert isinstance(backend, PandaBackend)
    assert not backend.brings_files
    assert isinstance(backend._route, Jedi)
    assert isinstance(setup.stores.inputs, SpooledInputs)
    assert setup.stores.inputs.workspace == bench.folder / "spool"
    assert isinstance(store, DirectoryStore)
    assert store.folder == bench.shared
    assert backend._store is store
    assert setup.stores.inputs.url == setup.stores.url == bench.shared.as_uri()


def test_jobs_are_described_without_a_store(bench: Bench) -> None:
    assert isinstance(bench.make(backend="panda", describe=True).backend, PandaBackend)


def test_tasks_may_go_through_idds(bench: Bench) -> None:
    backend = bench.make(
        backend="panda", store=bench.shared.as_uri(), panda_route="idds", panda_monitor="https://m"
    ).backend
    assert isinstance(backend, PandaBackend)
    assert isinstance(backend._route, Idds)
    assert backend.monitor_url("7:a") == "https://m/task/7/"


@pytest.mark.parametrize(
    ("variables", "values", "vo", "group"),
    [
        ({}, {}, "atlas", ""),
        ({"PANDA_AUTH_VO": "epic"}, {}, "epic", "epic"),
        ({"OIDC_AUTH_VO": "EIC.production"}, {}, "EIC", "EIC"),
        ({"PANDA_AUTH_VO": "testvo:production"}, {}, "testvo", "testvo"),
        ({"PANDA_AUTH_VO": "a"}, {"panda_vo": "b"}, "b", "a"),
        ({"PANDA_AUTH_VO": "a"}, {"panda_working_group": "c"}, "a", "c"),
    ],
)
def test_the_vo_is_that_of_the_token_unless_the_user_says_otherwise(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    values: dict[str, str],
    vo: str,
    group: str,
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    found = options(bench, **values)
    assert (found.vo, found.working_group) == (vo, group)


def test_options_of_the_task_arrive(bench: Bench) -> None:
    rses = bench.folder / "rses"
    rses.parent.mkdir(exist_ok=True)
    rses.write_text("DISK-A A\n")
    found = options(
        bench,
        site="A, B",
        banned_sites="C D",
        platform="x86_64",
        priority=7,
        panda_vo="testvo",
        panda_cloud="EIC",
        panda_container="/image.sif",
        panda_transformation="https://x/runGen",
        panda_task='{"campaign": "x"}',
        panda_label="test",
        panda_processing_type="sim",
        panda_rse_sites=rses,
    )
    assert found == Options(
        vo="testvo",
        label="test",
        cloud="EIC",
        processing_type="sim",
        sites=("A", "B"),
        banned_sites=("C", "D"),
        platform="x86_64",
        priority=7,
        container="/image.sif",
        transformation="https://x/runGen",
        user=found.user,
        extra='{"campaign": "x"}',
        rse_sites={"DISK-A": ("A",)},
    )
