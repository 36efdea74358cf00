"""``snakemake-grid check``: each fault that it can find."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from snakemake_executor_plugin_grid.backends.diagnostics import Told
from snakemake_executor_plugin_grid.cli.check import check
from snakemake_executor_plugin_grid.diagnostics import hello, host, trial
from snakemake_executor_plugin_grid.diagnostics.findings import Findings
from snakemake_executor_plugin_grid.diagnostics.options import choose
from snakemake_executor_plugin_grid.journal.database import DATABASE_FILE, FOLDER, Database
from snakemake_executor_plugin_grid.journal.lock import lock_folder
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.model.errors import EndingError, GridError, TransientError
from snakemake_executor_plugin_grid.resilience import calls
from snakemake_executor_plugin_grid.stores import webdav
from tests.unit.backends.panda.oidc_server import VO, make_token
from tests.unit.reporting.fabricated_runs import a_job

OK, WARNING, FAILED, UNTRIED = "✓", "!", "✗", "–"  # noqa: RUF001 - a dash


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables and profiles of the user who runs the tests."""
    for name in os.environ:
        if name.startswith(("SNAKEMAKE_", "PANDA", "OIDC_", "X509_", "XDG_", "DIRAC")):
            monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once what may pass."""
    monkeypatch.setattr(calls, "_PAUSES_AT_START", (0.01, 0.01))
    monkeypatch.setattr(webdav, "_PAUSES", (0.01,))


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def run(workdir: Path, *args: str, **variables: str) -> Result:
    local = () if "--backend" in args else ("--grid-local-dir", str(workdir.parent / "sites"))
    command = ["--directory", str(workdir), *local, *args]
    result = CliRunner().invoke(check, command, env=variables)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def found(result: Result) -> dict[str, tuple[str, str]]:
    """Return mark and text of each check, by name."""
    lines: dict[str, tuple[str, str]] = {}
    name = ""
    for line in result.stdout.splitlines():
        if line[:1] in (OK, WARNING, FAILED, UNTRIED) and line[1:2] == " ":
            name = line[2:18].strip()
            lines[name] = line[0], line[19:]
        elif line.startswith(" ") and name:
            lines[name] = lines[name][0], f"{lines[name][1]}\n{line.strip()}"
    return lines


def bare_python(folder: Path) -> Path:
    """Return a Python that has nothing installed."""
    python = folder / "python"
    python.write_text('#!/bin/sh\nexec /usr/bin/env -u PYTHONPATH python3 -IS "$@"\n')
    python.chmod(0o755)
    return python


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def note_run(workdir: Path, **options: Any) -> None:
    """Record a run with these options."""
    with contextlib.closing(Database(workdir / FOLDER / DATABASE_FILE)) as database:
        journal = Journal(database, "run1", options.get("backend", "local"))
        journal.begin_run("", options)


def test_all_is_well_and_nothing_is_left(workdir: Path) -> None:
    result = run(workdir)
    assert result.exit_code == 0, result.output
    checks = found(result)
    assert list(checks) == [
        *("options", "versions", "directory", "disk", "lock", "Snakemake's lock"),
        *("server", "store"),
    ]
    assert {mark for mark, _ in checks.values()} == {OK}
    assert list(workdir.iterdir()) == []
    assert list((workdir.parent / "sites").iterdir()) == []


def test_one_json_document(workdir: Path, tmp_path: Path) -> None:
    result = run(workdir, "--json", "--store", f"file://{tmp_path}/store")
    document = json.loads(result.stdout)
    assert document["ok"] is True
    assert document["options"]["store"] == f"file://{tmp_path}/store"
    assert document["sources"] == {"the command line": ["local-dir", "store"]}
    assert {one["result"] for one in document["checks"]} == {"ok"}
    assert not (tmp_path / "store").exists()
    failed = run(workdir, "--json", "--store", "gopher://host")
    assert failed.exit_code == 1
    document = json.loads(failed.stdout)
    assert document["ok"] is False
    assert document["checks"][0]["result"] == "failed"
    assert "no store of this kind" in document["checks"][0]["text"]


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


def test_a_directory_that_is_not_there(workdir: Path) -> None:
    checks = found(run(workdir / "nowhere"))
    assert checks["directory"][0] == FAILED
    assert "no such directory" in checks["directory"][1]
    assert checks["disk"][0] == checks["lock"][0] == UNTRIED


def test_a_directory_that_cannot_be_written(workdir: Path) -> None:
    (workdir / ".snakemake").write_text("a file in the place of a folder")
    result = run(workdir)
    assert result.exit_code == 1
    mark, text = found(result)["directory"]
    assert mark == FAILED
    assert f"{workdir}/.snakemake" in text
    assert "Not a directory" in text


def test_a_disk_with_little_space_and_with_none(workdir: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(workdir)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs to mount a small file system")
    try:
        mark, text = found(run(workdir))["disk"]
        assert mark == WARNING
        assert "free more" in text
        assert run(workdir).exit_code == 0
        with contextlib.suppress(OSError), (workdir / "full").open("wb") as stream:
            stream.write(bytes(2 << 20))
        mark, text = found(run(workdir))["directory"]
        assert mark == FAILED
        assert "No space left on device" in text
    finally:
        subprocess.run(["umount", str(workdir)], check=True)


def test_an_active_run_is_no_failure(workdir: Path) -> None:
    note_run(workdir)
    locks = workdir / ".snakemake" / "locks"
    locks.mkdir()
    (locks / "0.input.lock").touch()
    with lock_folder(workdir / FOLDER):
        result = run(workdir)
        assert result.exit_code == 0, result.output
        checks = found(result)
        assert f"(process {os.getpid()} on {socket.gethostname()})" in checks["lock"][1]
        assert checks["Snakemake's lock"] == (OK, "held by the active run")


def test_a_stale_lock_of_snakemake(workdir: Path) -> None:
    locks = workdir / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").touch()
    result = run(workdir)
    assert result.exit_code == 1
    mark, text = found(result)["Snakemake's lock"]
    assert mark == FAILED
    assert "snakemake --unlock" in text


def test_unsupported_versions(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["snakemake>=99", "no-such-package-at-all", "boto3>99; extra == 's3'"]
    monkeypatch.setattr(host, "requires", lambda _: needed)
    mark, text = found(run(workdir))["versions"]
    assert mark == FAILED
    assert "pip install 'snakemake>=99'" in text
    assert "no-such-package-at-all is missing" in text
    assert "boto3" not in text


@pytest.mark.parametrize("backend", ["dirac", "panda"])
def test_a_python_without_the_client(workdir: Path, tmp_path: Path, backend: str) -> None:
    python = bare_python(tmp_path)
    options = ("--backend", backend, f"--grid-{backend}-python", str(python))
    result = run(workdir, *options, "--store", f"file://{tmp_path}/store", "--submit")
    assert result.exit_code == 1
    checks = found(result)
    mark, text = checks["client"]
    assert mark == FAILED
    assert f"{python}: has no" in text
    assert "No module named" in text
    assert f"--grid-{backend}-python" in text
    for name in ("configuration", "credentials", "server", "job"):
        assert checks[name][0] == UNTRIED, name
    assert checks["store"][0] == OK, "which needs no server"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-60, "has expired"), (600, "expires in"), (None, "there is no PanDA token")],
)
def test_tokens_that_are_not_valid(
    workdir: Path, tmp_path: Path, seconds: float | None, words: str
) -> None:
    pytest.importorskip("pandaclient")
    variables = {"PANDA_AUTH": "oidc", "PANDA_AUTH_VO": VO}
    if seconds is not None:
        variables["PANDA_AUTH_ID_TOKEN"] = make_token(time.time() + seconds)
    options = ("--backend", "panda", "--store", f"file://{tmp_path}/store")
    checks = found(run(workdir, *options, **variables))
    assert checks["client"][0] == checks["configuration"][0] == OK
    assert "PANDA_URL_SSL is not set" in checks["configuration"][1]
    mark, text = checks["credentials"]
    assert mark == FAILED
    assert words in text
    assert "snakemake-grid auth" in text
    assert checks["server"] == (UNTRIED, "needs this first: credentials")


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_is_not_there(workdir: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandaclient")
    url = f"http://127.0.0.1:{closed_port()}/server/panda"
    variables = dict.fromkeys(("PANDA_URL", "PANDA_URL_SSL", "PANDACACHE_URL"), url)
    variables |= {"PANDA_AUTH": "oidc", "PANDA_AUTH_VO": VO}
    variables["PANDA_AUTH_ID_TOKEN"] = make_token(time.time() + 7200)
    options = ("--backend", "panda", "--store", f"file://{tmp_path}/store")
    checks = found(run(workdir, *options, **variables))
    assert checks["configuration"] == (OK, f"server {url}")
    assert "valid until" in checks["credentials"][1]
    mark, text = checks["server"]
    assert mark == FAILED
    assert url in text


@pytest.mark.usefixtures("no_pauses")
def test_stores_that_cannot_be_used(workdir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file in the place of a folder")
    mark, text = found(run(workdir, "--store", f"file://{tmp_path}/file/store"))["store"]
    assert mark == FAILED
    assert "cannot be written" in text
    assert "--grid-store" in text
    url = f"http://127.0.0.1:{closed_port()}/me"
    mark, text = found(run(workdir, "--store", url))["store"]
    assert mark == FAILED
    assert f"--grid-store {url}: it cannot be used" in text.replace("dav://", "http://")


def test_a_store_that_returns_other_contents(
    workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snakemake_executor_plugin_grid.stores.directory import DirectoryStore

    def fetch_output(self: DirectoryStore, job: str, digest: str) -> Path:
        (tmp_path / "other").write_text("something else")
        return tmp_path / "other"

    monkeypatch.setattr(DirectoryStore, "fetch_output", fetch_output)
    mark, text = found(run(workdir, "--store", f"file://{tmp_path}/store"))["store"]
    assert mark == FAILED
    assert "what is read there is not what was written" in text


def test_jobs_that_would_see_the_directory(workdir: Path) -> None:
    _, text = found(run(workdir, "--grid-local-isolation", "off"))["server"]
    assert f"its jobs see {workdir}, as --grid-local-isolation off says" in text


def test_an_unexpected_error_is_no_traceback(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(trial, "check_room", broken)
    mark, text = found(run(workdir))["disk"]
    assert mark == FAILED
    assert "unexpected ZeroDivisionError: by zero; please report this" in text


# Options


def test_the_options_of_a_command_line_can_be_pasted(workdir: Path) -> None:
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


def test_command_line_then_variables_then_profile(
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


def test_the_profile_of_the_workflow_counts_unasked(workdir: Path) -> None:
    (workdir / "Snakefile").touch()
    folder = workdir / "profiles" / "default"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("grid-backend: panda\n")
    note_run(workdir, backend="panda", site="A")
    chosen = choose([], [], workdir)
    assert chosen.settings.backend == "panda"
    assert chosen.settings.site is None, "which is an option of the last run"
    for text in ("- no\n- mapping\n", "grid-backend: [panda\n", "grid-nothing: 1\n"):
        (folder / "config.yaml").write_text(text)
        with pytest.raises(GridError, match=r"config file|unrecognized arguments: --grid-nothing"):
            choose([], [], workdir)


def test_the_path_of_a_profile_is_relative_to_the_caller(
    workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").write_text("grid-backend: panda\n")
    monkeypatch.chdir(tmp_path)
    assert choose([], ["profile"], workdir).settings.backend == "panda"
    assert Path.cwd() == tmp_path


def test_the_last_run_counts_if_nothing_else_does(
    workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_run(workdir, backend="dirac", site="A", include=["x"], detach=True)
    chosen = choose([], [], workdir)
    assert chosen.settings.backend == "dirac"
    assert chosen.settings.include == ["x"]
    assert chosen.settings.detach is True
    assert "from the last run (20" in chosen.line
    assert choose(["--site", "B"], [], workdir).settings.backend == "dirac"
    assert choose(["--backend", "dirac"], [], workdir).settings.site == "A"
    other = choose(["--backend", "panda"], [], workdir)
    assert other.settings.site is None, "which was meant for another backend"
    monkeypatch.setenv("SNAKEMAKE_GRID_BACKEND", "local")
    assert choose([], [], workdir).settings.site is None
    monkeypatch.delenv("SNAKEMAKE_GRID_BACKEND")
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").write_text("grid-backend: dirac\n")
    assert choose([], [str(tmp_path / "profile")], workdir).settings.site is None


def test_a_journal_without_runs_is_no_obstacle(workdir: Path) -> None:
    (workdir / FOLDER).mkdir(parents=True)
    (workdir / FOLDER / DATABASE_FILE).write_bytes(b"no database at all")
    assert choose([], [], workdir).settings.backend == "local"


def test_findings_can_be_told_without_unicode(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = ["--grid-local-dir", str(workdir.parent / "sites")]
    result = CliRunner(charset="ascii").invoke(check, ["-d", str(workdir), *local])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("ok options")


def test_the_result_is_the_reason_for_the_wait() -> None:
    async def check() -> Told:
        raise EndingError("the run is ending") from TransientError("connection refused")

    async def other() -> Told:
        raise AssertionError("it is not to be tried")

    async def both() -> None:
        await findings.attempt("one", check)
        await findings.attempt("two", other, "one")

    findings = Findings(lambda _: None, lambda _: None)
    asyncio.run(both())
    assert [(one.result.value, one.text) for one in findings.all] == [
        ("failed", "connection refused"),
        ("untried", "needs this first: one"),
    ]


@pytest.mark.parametrize(("shift", "skew"), [(0.0, 0.0), (100.0, 96.0), (-100.0, -98.0)])
def test_the_clock_of_the_worker(shift: float, skew: float) -> None:
    steps = {"received": 3.0, "running": 4.0, "staging out": 5.0, "ended": 6.0}
    report = {"times": {name: at + shift for name, at in steps.items()}}
    times = hello._times(a_job(began=0.0, sent=1.0, accepted=2.0, finished=10.0, report=report))
    assert hello._skew(times) == skew
    assert hello._seconds(times)["ran"] == 1.0
    assert min(hello._seconds(times).values()) >= 0
