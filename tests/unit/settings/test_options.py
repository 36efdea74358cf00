from __future__ import annotations

import json
import os
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_grid.backends.registry import check_options
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings


def problems(workdir: Path, **values: Any) -> str:
    with pytest.raises(WorkflowError) as caught:
        check_options(ExecutorSettings(**values), workdir)
    return str(caught.value)


def parse(*args: str) -> ExecutorSettings:
    """Read options as Snakemake does."""
    from snakemake.cli import get_argument_parser
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

    parsed = get_argument_parser().parse_args([*args, "--executor", "grid"])
    settings = ExecutorPluginRegistry().get_plugin("grid").get_settings(parsed)
    assert isinstance(settings, ExecutorSettings)
    return settings


def flag(name: str) -> str:
    return f"--grid-{name.replace('_', '-')}"


def test_defaults_are_valid(tmp_path: Path) -> None:
    check_options(ExecutorSettings(), tmp_path)


@pytest.mark.parametrize(("name", "value"), [("backend", "slurm"), ("runtime_engine", "docker")])
def test_unknown_choice_is_named_with_what_there_is(tmp_path: Path, name: str, value: str) -> None:
    text = problems(tmp_path, **{name: value})
    assert text.startswith(f"{flag(name)}: ")
    assert repr(value) in text
    assert str(getattr(ExecutorSettings(), name)) in text.partition("choose from")[2]
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(("name", "least"), [("large_file", 1), ("outage_limit", 0)])
def test_a_number_has_a_least_value(tmp_path: Path, name: str, least: int) -> None:
    check_options(ExecutorSettings(**{name: least}), tmp_path)
    text = problems(tmp_path, **{name: least - 1})
    assert text.startswith(f"{flag(name)}: ")
    assert f"{least} or more" in text
    assert f"not {least - 1}" in text


@pytest.mark.parametrize(
    ("runtime", "needed"),
    [("setup", "--grid-runtime-setup"), ("container", "--grid-runtime-image")],
)
def test_a_runtime_needs_its_option(tmp_path: Path, runtime: str, needed: str) -> None:
    text = problems(tmp_path, runtime=runtime)
    assert text.startswith(f"--grid-runtime {runtime}: ")
    assert needed in text


def test_runtimes_with_their_options_are_valid(tmp_path: Path) -> None:
    check_options(ExecutorSettings(runtime="setup", runtime_setup=". x"), tmp_path)
    check_options(
        ExecutorSettings(runtime="container", runtime_image="/i", runtime_options="-c"), tmp_path
    )
    check_options(
        ExecutorSettings(runtime="wheels", runtime_python="3.9", runtime_packages=["a"]), tmp_path
    )


@pytest.mark.parametrize(
    "values",
    [{"runtime_image": "/i.sif"}, {"runtime_python": "3.11"}, {"runtime_packages": ["pandas"]}],
)
def test_options_of_another_runtime_are_for_rules_that_choose_it(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    check_options(ExecutorSettings(**values), tmp_path)


def test_what_is_included_cannot_be_excluded(tmp_path: Path) -> None:
    text = problems(tmp_path, include=["data/*", "a"], exclude=["a"])
    assert text.startswith("--grid-include a: ")
    assert "--grid-exclude" in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("version", ["3", "2.7", "3.11.4", "python3", "3.x"])
def test_python_version_has_to_be_a_minor_version(tmp_path: Path, version: str) -> None:
    text = problems(tmp_path, runtime="wheels", runtime_python=version)
    assert text.startswith("--grid-runtime-python: ")
    assert "3.11" in text
    assert repr(version) in text


def test_a_limit_of_outputs_is_a_size(tmp_path: Path) -> None:
    check_options(ExecutorSettings(output_limit="20 GiB"), tmp_path)
    text = problems(tmp_path, output_limit="much")
    assert text.startswith("--grid-output-limit: ")
    assert "'much'" in text


def test_local_folder_below_the_working_directory_is_refused(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "link").symlink_to(work)
    check_options(ExecutorSettings(local_dir=tmp_path / "work2"), work)
    for folder in (work, work / "site", tmp_path / "link" / "site"):
        assert "is below the working directory" in problems(work, local_dir=folder)


def test_python_of_the_workers_has_to_be_a_program(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("")
    check_options(ExecutorSettings(local_python=Path(sys.executable)), tmp_path)
    for path in (text, tmp_path / "missing", tmp_path):
        assert f"--grid-local-python {path}: " in problems(tmp_path, local_python=path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"store": "lfn:/vo/x"}, ("--grid-store lfn:", "--grid-backend dirac")),
        (
            {"backend": "dirac", "store": "lfn:/vo/x"},
            ("--grid-store lfn:", "--grid-dirac-storage-element"),
        ),
        (
            {"backend": "dirac", "store": "file:///s", "dirac_storage_element": "SE"},
            ("--grid-dirac-storage-element: ", "--grid-store file:///s"),
        ),
        (
            {"backend": "dirac", "dirac_mode": "local", "dirac_storage_element": "SE"},
            ("--grid-dirac-mode local: ", "storage element"),
        ),
        ({"backend": "dirac", "dirac_cpu_power": 0.0}, ("--grid-dirac-cpu-power: ", "not 0")),
        ({"backend": "dirac", "priority": -1}, ("--grid-priority: ", "not -1")),
        (
            {"backend": "panda", "site": "A,B", "banned_sites": "B C A", "store": "file:///x"},
            ("--grid-site A,B: ", "--grid-banned-sites"),
        ),
        ({"store": "LFN:/vo/x"}, ("--grid-store LFN:/vo/x", "kind")),
        ({"store": "s3://[bad"}, ("--grid-store s3://[bad", "URL")),
        ({"backend": "dirac", "store": "ftp://x"}, ("--grid-store ftp://x: ", "kind")),
        ({"backend": "dirac", "local_cores": 2}, ("--grid-local-cores: ", "--grid-backend local")),
        (
            {"backend": "dirac", "dirac_mode": "local", "detach": True},
            ("--grid-detach: ", "--grid-dirac-mode local"),
        ),
        (
            {"backend": "dirac", "dirac_mode": "local", "on_interrupt": "keep"},
            ("--grid-on-interrupt keep: ", "--grid-dirac-mode local"),
        ),
    ],
)
def test_options_that_contradict_each_other(
    tmp_path: Path, values: dict[str, Any], words: tuple[str, str]
) -> None:
    text = problems(tmp_path, **values)
    assert text.startswith(words[0])
    assert words[1] in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"dirac_storage_element": "SE"},
        {"dirac_storage_element": "SE", "store": "lfn:/vo/user/m/me/x"},
        {"store": "file:///shared/me"},
        {"dirac_mode": "local"},
        {"priority": 0, "tags": "a,b", "platform": "x", "job_type": "User", "jdl": "A = 1"},
        {"site": "A,B", "banned_sites": "C", "dirac_inputs": "fetch", "outage_limit": 0.0},
    ],
)
def test_valid_options_of_dirac(tmp_path: Path, values: dict[str, Any]) -> None:
    check_options(ExecutorSettings(backend="dirac", **values), tmp_path)


@pytest.mark.parametrize(
    ("option", "value", "backends"),
    [
        ("tags", "a", "--grid-backend dirac,"),
        ("dirac_python", Path(sys.executable), "--grid-backend dirac,"),
        ("priority", 1, "--grid-backend dirac or panda,"),
    ],
)
def test_an_option_of_another_backend_is_refused(
    tmp_path: Path, option: str, value: object, backends: str
) -> None:
    text = problems(tmp_path, **{option: value})
    assert text.startswith(f"{flag(option)}: ")
    assert backends in text
    assert "'local'" in text


@pytest.mark.parametrize("backend", ["dirac", "panda"])
@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "is no program"),
        ('#!/bin/sh\nexec ls "$@"\n', "is no Python"),
        ('#!/bin/sh\necho "$@"\n', "is no Python."),
        ("#!/bin/sh\necho set it up. >&2; exit 1\n", "is no Python; it says: set it up."),
        ("#!/nowhere/sh\n", "is no program"),
        (f'#!/bin/sh\necho welcome\nexec {sys.executable} "$@"\n', ""),
    ],
)
def test_python_of_a_client_has_to_be_a_python(
    tmp_path: Path, backend: str, script: str | None, words: str
) -> None:
    path = tmp_path / "python"
    if script is not None:
        path.write_text(script)
        path.chmod(0o755)
    values = {"backend": backend, f"{backend}_python": path, "store": "file:///shared/me"}
    if words:
        text = problems(tmp_path, **values)
        assert text.startswith(f"--grid-{backend}-python {path}: ")
        assert words in text
        assert len(text.splitlines()) == 1
    else:
        check_options(ExecutorSettings(**values), tmp_path)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = problems(tmp_path, compression="xz", large_file=0, local_dir=tmp_path, runtime="setup")
    assert len(text.splitlines()) == 4


def test_an_unknown_choice_is_reported_once(tmp_path: Path) -> None:
    text = problems(tmp_path, backend="x", runtime="y", runtime_image="/i", local_cores=2)
    assert len(text.splitlines()) == 2


def test_every_option_has_help_metavar_and_a_default() -> None:
    for option in fields(ExecutorSettings):
        assert option.metadata["help"].endswith("."), option.name
        assert option.default is not MISSING or option.default_factory is not MISSING, option.name
        # Without its own metavar Snakemake writes VALUE, which tells nothing.
        assert option.type is bool or option.metadata["metavar"], option.name


def test_help_tells_the_choices() -> None:
    info = {option.name: option.metadata["help"] for option in fields(ExecutorSettings)}
    for name in ("backend", "runtime_engine", "compression"):
        assert str(getattr(ExecutorSettings(), name)) in info[name]


def test_catalog_can_describe_the_options() -> None:
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

    info = ExecutorPluginRegistry().get_plugin("grid").get_settings_info()
    assert [item["name"] for item in info] == [option.name for option in fields(ExecutorSettings)]
    for item in info:
        assert item["cliarg"] == f"--grid-{item['name'].replace('_', '-')}"
        json.dumps(item["default"])
        assert (
            item["default"] == getattr(ExecutorSettings(), item["name"]) or item["default"] is None
        )


def test_no_options_give_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SNAKEMAKE_GRID_")]:
        monkeypatch.delenv(name)
    assert parse() == ExecutorSettings()


def test_options_arrive_with_their_types() -> None:
    settings = parse(
        *("--grid-include", "data/*.csv", "schema.json"),
        *("--grid-exclude", "*.root"),
        *("--grid-runtime-packages", "pandas>=2", "pyyaml"),
        *("--grid-store", "file:///s"),
        *("--grid-runtime-setup", ". /cvmfs/setup.sh; export A='b c'"),
        *("--grid-runtime-options=--nv --cleanenv",),
        *("--grid-large-file", "12"),
        *("--grid-local-dir", "/scratch/x"),
        *("--grid-local-cores", "3"),
        *("--grid-local-mem-mb", "512"),
        "--grid-local-cold",
    )
    assert settings == ExecutorSettings(
        include=["data/*.csv", "schema.json"],
        exclude=["*.root"],
        runtime_packages=["pandas>=2", "pyyaml"],
        store="file:///s",
        runtime_setup=". /cvmfs/setup.sh; export A='b c'",
        runtime_options="--nv --cleanenv",
        large_file=12,
        local_dir=Path("/scratch/x"),
        local_cores=3,
        local_mem_mb=512,
        local_cold=True,
    )


def test_jobs_can_be_left_on_every_grid(tmp_path: Path) -> None:
    for backend in ("local", "dirac", "panda"):
        store = "file:///shared/me" if backend == "panda" else None
        settings = ExecutorSettings(backend=backend, store=store, detach=True, on_interrupt="keep")
        check_options(settings, tmp_path)
    given = parse("--grid-detach", "--grid-on-interrupt", "keep")
    assert (given.detach, given.on_interrupt) == (True, "keep")
    assert (parse().detach, parse().on_interrupt) == (False, "cancel")


def test_a_text_for_a_number_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--grid-large-file", "8MB")
    assert "--grid-large-file" in capsys.readouterr().err


def test_home_and_variables_in_a_folder_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("AREA", "big")
    assert parse("--grid-local-dir", "~/$AREA").local_dir == Path("/home/me/big")


@pytest.mark.parametrize(("name", "value"), [("store", "file:///s"), ("local_dir", "/scratch")])
def test_variable_of_the_environment_sets_an_option(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SNAKEMAKE_GRID_{name.upper()}", value)
    assert str(getattr(parse(), name)) == value
    assert str(getattr(parse(flag(name), "/other"), name)) == "/other"  # the command line wins


def test_the_packages_of_wheels_do_not_fit_into_a_sandbox(tmp_path: Path) -> None:
    text = problems(tmp_path, backend="dirac", runtime="wheels")
    assert text.startswith("--grid-runtime wheels: ")
    assert "--grid-dirac-storage-element" in text
    check_options(
        ExecutorSettings(backend="dirac", runtime="wheels", dirac_storage_element="SE"), tmp_path
    )
    check_options(ExecutorSettings(backend="dirac", runtime="wheels", dirac_mode="local"), tmp_path)
    check_options(ExecutorSettings(runtime="wheels"), tmp_path)


@pytest.mark.parametrize("name", ["outage_limit", "proxy_hours", "dirac_cpu_power"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused(tmp_path: Path, name: str, value: float) -> None:
    assert problems(tmp_path, **{name: value}).startswith(f"{flag(name)}: ")
