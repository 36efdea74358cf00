"""How Snakemake reads options, variables and profiles: breaks when that changes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.snakemake_api.options import OptionError, parse_options


@pytest.fixture(autouse=True)
def _no_profiles_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("SNAKEMAKE_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def profile(folder: Path, text: str, name: str = "config.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_options_of_a_command_line(tmp_path: Path) -> None:
    args = ["--grid-include", "a", "b", "--grid-jdl=-x", "--jobs", "3", "--grid-describe"]
    settings, sources = parse_options(args, tmp_path)
    assert settings == ExecutorSettings(include=["a", "b"], jdl="-x", describe=True)
    assert sources == {"the command line": ["include", "jdl", "describe"]}
    assert parse_options([], tmp_path) == (ExecutorSettings(), {})


def test_the_nearer_source_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "executor: grid\njobs: 10\ndefault-resources: {mem_mb: 5}\ngrid-backend: dirac\n"
        "grid-site: A,B\ngrid-store-token: token\ngrid-describe: true\ngrid-exclude: [x, y]\n"
        "grid-outage-limit: 2\ngrid-store: $STORE/me\n"
    )
    folder = tmp_path / "home" / ".config" / "snakemake" / "mine"
    profile(folder, "grid-backend: panda\n")
    profile(folder, "grid-backend: panda\n", "config.v99+.yaml")
    file = profile(folder, text, "config.v9+.yaml")
    (folder / "token").touch()
    monkeypatch.setenv("STORE", "davs://host")
    monkeypatch.setenv("SNAKEMAKE_GRID_SITE", "C")
    expected = ExecutorSettings(
        backend="dirac",
        site="C",
        store_token=folder / "token",
        describe=True,
        exclude=["x", "y"],
        outage_limit=3,
        store="davs://host/me",
    )
    args = ["--grid-outage-limit", "3"]
    settings, sources = parse_options([*args, "--profile", "mine"], tmp_path)
    assert settings == expected
    assert {source: sorted(names) for source, names in sources.items()} == {
        "the command line": ["outage-limit"],
        "variables": ["site"],
        f"profile {file}": ["backend", "describe", "exclude", "store", "store-token"],
    }
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "mine")
    assert parse_options(args, tmp_path) == (settings, sources)


def test_the_later_profile_counts(tmp_path: Path) -> None:
    first = profile(tmp_path / "first", "grid-backend: dirac\n")
    second = profile(tmp_path / "second", "grid-backend: panda\n")
    args = ["--profile", str(first.parent), "--profile", str(second.parent)]
    settings, sources = parse_options(args, tmp_path)
    assert settings.backend == "panda"
    assert sources == {f"profile {second}": ["backend"]}


@pytest.mark.parametrize("folder", ["profiles/default", "workflow/profiles/default"])
def test_the_profile_of_the_workflow_is_found_where_it_would_run(
    tmp_path: Path, folder: str
) -> None:
    profile(tmp_path / folder, "grid-backend: panda\n")
    assert parse_options([], tmp_path)[0].backend == "local", "there is no workflow"
    (tmp_path / "workflow").mkdir(exist_ok=True)
    (tmp_path / "workflow" / "Snakefile").touch()
    settings, sources = parse_options([], tmp_path)
    assert settings.backend == "panda"
    assert sources == {f"profile {folder}/config.yaml": ["backend"]}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--grid-nothing", "x"], "unrecognized arguments: --grid-nothing"),
        (["--grid-large-file", "many"], "argument --grid-large-file: invalid int value: 'many'"),
        (["--profile", "none-such"], "config.yaml"),
        (["--profile", "list"], "contain 'key: value'"),
        (["--profile", "broken"], "Couldn't parse config file"),
        (["--profile", "rules"], "Invalid set-resources format"),
        (["target"], "target: there is no such option"),
        (["--version"], "not run a workflow"),
    ],
)
def test_an_error_is_one_message(
    tmp_path: Path, args: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    profile(tmp_path / "list", "- a list\n")
    profile(tmp_path / "broken", "grid-backend: [panda\n")
    profile(tmp_path / "rules", "set-resources: {rule: 1}\n")
    with pytest.raises(OptionError) as caught:
        parse_options(args, tmp_path)
    assert words in str(caught.value)
    assert "usage" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_snakemake_that_cannot_be_imported_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "snakemake.cli", None)
    with pytest.raises(OptionError, match=r"snakemake\.cli"):
        parse_options([], tmp_path)
