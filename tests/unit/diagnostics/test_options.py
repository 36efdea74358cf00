"""``snakemake-grid check``: where the options come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.diagnostics.options import choose
from snakemake_executor_plugin_grid.journal.database import DATABASE_FILE, FOLDER
from snakemake_executor_plugin_grid.model.errors import GridError

from .check_command import FAILED, OK, UNTRIED, found, record_run, run


def test_invalid_options_leave_server_and_store_untried(workdir: Path) -> None:
    result = run(workdir, "--backend", "nowhere", "--dirac-python", "/no/python")
    assert result.exit_code == 1
    checks = found(result)
    assert checks["options"][0] == FAILED
    assert "--grid-backend: there is no 'nowhere'" in checks["options"][1]
    assert "--grid-dirac-python /no/python: is no program" in checks["options"][1]
    assert checks["directory"][0] == OK
    assert checks["server"] == (UNTRIED, "needs this first: options")
    assert checks["store"][0] == UNTRIED


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--grid-nothing", "x"], "unrecognized --grid-nothing"),
        (["--grid-back", "local"], "--grid-back whole name"),
        (["--grid-large-file", "many"], "--grid-large-file invalid 'many'"),
        (["--profile", "none-such"], "profile config.yaml .config/snakemake"),
        (["more"], "more no option"),
        (["--version"], "not run a workflow"),
    ],
)
def test_invalid_options_are_refused(workdir: Path, args: list[str], words: str) -> None:
    result = run(workdir, *args)
    assert result.exit_code == 2
    assert [word for word in words.split() if word not in result.output] == []
    assert len(result.output) < 1000, "no description of all options"


def test_options_may_be_pasted_from_a_command_line(workdir: Path) -> None:
    chosen = choose(
        ["--grid-include", "a", "b", "--grid-jdl=-x", "--describe", "--backend=dirac"], [], workdir
    )
    assert chosen.settings.include == ["a", "b"]
    assert chosen.settings.jdl == "-x"
    assert chosen.settings.describe is True
    assert chosen.settings.backend == "dirac"
    assert chosen.line == (
        "Options: include, jdl, describe, backend from the command line; all others are defaults."
    )
    assert choose([], [], workdir).line == "Options: all are defaults."


def test_command_line_precedes_variables_and_profile(
    workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "home" / ".config" / "snakemake" / "mine"
    profile.mkdir(parents=True)
    (profile / "token").touch()
    (profile / "config.yaml").write_text("grid-backend: panda")
    (profile / "config.v9+.yaml").write_text(
        "executor: grid\njobs: 10\ndefault-resources: {mem_mb: 5}\ngrid-backend: dirac\n"
        "grid-site: A,B\ngrid-store-token: token\ngrid-describe: true\ngrid-exclude: [x, y]\n"
        "grid-outage-limit: 2\ngrid-store: $STORE/me\n"
    )
    monkeypatch.setenv("STORE", "davs://host")
    monkeypatch.setenv("SNAKEMAKE_GRID_SITE", "C")
    chosen = choose(["--grid-outage-limit", "3"], ["mine"], workdir)
    settings = chosen.settings
    assert settings.backend == "dirac"
    assert settings.site == "C"
    assert settings.outage_limit == 3
    assert settings.store == "davs://host/me"
    assert settings.store_token == profile / "token"
    assert settings.describe is True
    assert settings.exclude == ["x", "y"]
    assert chosen.line == (
        "Options: outage-limit from the command line; site from variables; backend, store-token, "
        f"describe, exclude, store from profile {profile}/config.v9+.yaml; all others are defaults."
    )
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "mine")
    result = run(workdir, "--json", "--backend", "nowhere")
    assert json.loads(result.stdout)["options"]["site"] == "C"


def test_profile_of_the_workflow_is_used_by_default(workdir: Path) -> None:
    (workdir / "Snakefile").touch()
    folder = workdir / "profiles" / "default"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("grid-backend: panda\n")
    record_run(workdir, backend="panda", site="A")
    chosen = choose([], [], workdir)
    assert chosen.settings.backend == "panda"
    assert chosen.settings.site is None, "an option of the last run"
    for text in ("- no\n- mapping\n", "grid-backend: [panda\n", "grid-nothing: 1\n"):
        (folder / "config.yaml").write_text(text)
        with pytest.raises(GridError, match=r"config file|unrecognized arguments: --grid-nothing"):
            choose([], [], workdir)


def test_profile_path_is_relative_to_the_current_directory(
    workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").write_text("grid-backend: panda\n")
    monkeypatch.chdir(tmp_path)
    assert choose([], ["profile"], workdir).settings.backend == "panda"
    assert Path.cwd() == tmp_path


def test_options_of_the_last_run_are_the_default(
    workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_run(workdir, backend="dirac", site="A", include=["x"], detach=True)
    chosen = choose([], [], workdir)
    assert chosen.settings.backend == "dirac"
    assert chosen.settings.include == ["x"]
    assert chosen.settings.detach is True
    assert "from the last run (20" in chosen.line
    assert choose(["--site", "B"], [], workdir).settings.backend == "dirac"
    assert choose(["--backend", "dirac"], [], workdir).settings.site == "A"
    other = choose(["--backend", "panda"], [], workdir)
    assert other.settings.site is None, "an option for another backend"
    monkeypatch.setenv("SNAKEMAKE_GRID_BACKEND", "local")
    assert choose([], [], workdir).settings.site is None
    monkeypatch.delenv("SNAKEMAKE_GRID_BACKEND")
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").write_text("grid-backend: dirac\n")
    assert choose([], [str(tmp_path / "profile")], workdir).settings.site is None


def test_damaged_journal_is_ignored(workdir: Path) -> None:
    (workdir / FOLDER).mkdir(parents=True)
    (workdir / FOLDER / DATABASE_FILE).write_bytes(b"no database at all")
    assert choose([], [], workdir).settings.backend == "local"
