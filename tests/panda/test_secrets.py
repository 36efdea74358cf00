"""Values of ``envvars:`` reach the jobs and nobody else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.servers.panda.client import Client
from tests.servers.panda.server import PandaServer

from .seen import Seen, command_lines, holders, running, until

pytestmark = [pytest.mark.panda, pytest.mark.workflow]

MARK = "x-Qv-4711-and-more"
SECRET = f"it's-a $ecret \"{MARK}"
SNAKEFILE = """
envvars: "GRID_TEST_SECRET"
rule all:
    input: "1.txt", "2.txt"
    localrule: True
rule see:
    output: "{{n}}.txt"
    shell:
        "printf %s \\"$GRID_TEST_SECRET\\" | sha256sum >{{output}}; "
        "while ! test -e {go}; do sleep 0.1; done"
"""


@pytest.mark.parametrize("keeper", ["store", "server"])
def test_secrets_reach_the_jobs_only(
    project: Project,
    panda_server: PandaServer,
    seen: Seen,
    other_tool: Client,
    tmp_path: Path,
    keeper: str,
) -> None:
    project.environment["GRID_TEST_SECRET"] = SECRET
    project.put("Snakefile", SNAKEFILE.format(go=tmp_path / "go"))
    store, cache = tmp_path / "store", panda_server.settings.cache
    with running(project, "--verbose", "--grid-panda-secrets", keeper) as run:
        run.until(lambda: seen.states() == ["running"] * 2)
        run.until(lambda: len(holders(MARK, [panda_server.folder / "pilots"])) >= 2)
        (task,) = seen.tasks()
        kept = holders(MARK, [store])
        assert MARK not in json.dumps(task)
        assert MARK not in json.dumps(seen.jobs())
        assert MARK.encode() not in command_lines()
        assert holders(MARK, [cache]) == []
        at_server = secrets_of(other_tool)
        if keeper == "server":
            assert kept == []
            assert len(at_server) == 1
            assert task["parameters"]["useSecrets"] is True
        else:
            (private,) = kept
            assert private.stat().st_mode & 0o077 == 0
            assert at_server == {}
            assert "useSecrets" not in task["parameters"]
        (tmp_path / "go").touch()
        code, output = run.end()
    assert code == 0, output
    assert MARK not in output
    for name in ("1.txt", "2.txt"):
        assert project.read(name).split()[0] == hashlib.sha256(SECRET.encode()).hexdigest()

    # Nothing of it is left: of the server's own database only what it has deleted.
    assert holders(MARK, [store, cache]) == []
    until(lambda: panda_server.status()["payloads"] == 0)
    left = holders(MARK, [panda_server.folder / "pilots"])
    assert {path.name for path in left} <= {"panda_secrets.json"}  # the pilot's own copy
    own = holders(MARK, [project.folder / ".snakemake"])
    assert own == []
    assert (project.folder / ".snakemake/grid/panda.log").exists()
    assert secrets_of(other_tool) == {}


def test_secrets_are_removed_when_jobs_fail_or_are_interrupted(
    project: Project, panda_server: PandaServer, seen: Seen, other_tool: Client, tmp_path: Path
) -> None:
    project.environment["GRID_TEST_SECRET"] = SECRET
    project.put(
        "Snakefile",
        """
envvars: "GRID_TEST_SECRET"
rule fail:
    output: "fail.txt"
    shell: "exit 3"
rule wait:
    output: "wait.txt"
    shell: "sleep 100"
""",
    )
    for keeper in ("store", "server"):
        project.run("fail.txt", "--grid-panda-secrets", keeper).failed()
        assert holders(MARK, [tmp_path / "store"]) == []
        assert secrets_of(other_tool) == {}
        before = len(seen.jobs())
        with running(project, "wait.txt", "--grid-panda-secrets", keeper) as run:
            run.until(lambda known=before: len(seen.jobs()) > known)
            run.until(lambda: "running" in seen.states())
            run.interrupt()
        assert holders(MARK, [tmp_path / "store"]) == []
        assert secrets_of(other_tool) == {}


def secrets_of(client: Client) -> dict[str, str]:
    """Return those of the user that are of this package."""
    code, (done, found) = client("get_user_secrets")
    assert (code, done) == (0, True)
    known = json.loads(found) if isinstance(found, str) else found
    return {key: value for key, value in (known or {}).items() if "snakemake" in key}
