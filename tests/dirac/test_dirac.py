"""What is special to DIRAC, through the command line."""

from __future__ import annotations

import ast
import re
import secrets
import signal
import string
import time
from pathlib import Path

import pytest

from tests.conftest import MakeProject, Project, finish
from tests.servers.dirac.server import DiracServer
from tests.servers.dirac.settings import LOCAL_SITE, PARKED_SITE, SECOND_SITE

pytestmark = [pytest.mark.dirac, pytest.mark.workflow]

ELEMENT = ("--grid-dirac-storage-element", "SE-1")
NOT_PARKED = ("--grid-banned-sites", SECOND_SITE)
"""Takes the place of the option by which other tests keep from the site that runs nothing."""
LARGE = 11 << 20  # more than a sandbox may have
ONE = """
rule {tag}:
    output: "out.txt"
    shell: "touch {{output}}"
"""


@pytest.fixture
def tag() -> str:
    """Return a name for a rule, by which the database knows its jobs."""
    return f"t{secrets.token_hex(5)}"


class Jobs:
    """Jobs of a rule, as the server knows them."""

    def __init__(self, server: DiracServer, tag: str) -> None:
        self.server = server
        self.tag = tag

    def column(self, name: str) -> list[str]:
        sql = f"SELECT {name} FROM Jobs WHERE JobName LIKE '{self.tag}%' ORDER BY JobID"  # noqa: S608
        return [row[0] for row in self.server.query(sql)]

    def jdl(self, number: str) -> dict[str, object]:
        """Return the JDL that the server got."""
        text = self.server.command("dirac-wms-job-get-jdl", "-O", number)
        jdl: dict[str, object] = ast.literal_eval(text.strip())
        return jdl


@pytest.fixture
def jobs(dirac_server: DiracServer, tag: str) -> Jobs:
    return Jobs(dirac_server, tag)


def test_attributes_of_the_jdl_reach_the_server(project: Project, tag: str, jobs: Jobs) -> None:
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "a.txt", "b.txt"
    localrule: True
rule {tag}a:
    output: "a.txt"
    threads: 2
    resources: runtime=30, grid_priority=7, grid_jdl='LogLevel = "DEBUG";'
    shell: "touch {{output}}"
rule {tag}b:
    output: "b.txt"
    shell: "touch {{output}}"
""",
    )
    options = ("--grid-site", LOCAL_SITE, "--grid-priority", "3", "--grid-dirac-cpu-power", "10")
    output = project.run(*options).succeeded().output
    assert not re.search(r"\d\d:\d\d:\d\d UTC", output), "DIRAC's own log is on the terminal"
    found = dict(zip(jobs.column("JobName"), jobs.column("JobID"), strict=True))
    first, second = (jobs.jdl(found[name]) for name in sorted(found))
    assert set(jobs.column("JobGroup")) == {f"snakemake-{next(iter(found)).split('-')[1]}"}
    assert set(jobs.column("RescheduleCounter")) == {"0"}

    for name, in_first, in_second in (
        ("JobName", *sorted(found)),
        ("Priority", "7", "3"),
        ("NumberOfProcessors", "2", None),
        ("CPUTime", "18000", None),
        ("LogLevel", "DEBUG", None),
        ("Site", [LOCAL_SITE], [LOCAL_SITE]),
    ):
        assert (first.get(name), second.get(name)) == (in_first, in_second), name
    priorities = dict(zip(jobs.column("JobName"), jobs.column("UserPriority"), strict=True))
    assert [priorities[name] for name in sorted(found)] == ["7", "3"]


def test_a_wildcard_with_every_printable_character(project: Project, tag: str, jobs: Jobs) -> None:
    printable = string.ascii_letters + string.digits + string.punctuation + " \t\nüß€"
    value = ",'" + printable.replace("/", "") + '"'
    project.put("value.txt", value)
    project.put(
        "Snakefile",
        rf"""
value = open("value.txt").read()
rule all:
    input: f"out/{{value}}.txt"
    localrule: True
rule {tag}:
    output: "out/{{value}}.txt"
    wildcard_constraints: value=r"[\s\S]+"
    shell: "printf %s {{wildcards.value:q}} >{{output:q}}"
""",
    )
    project.run().succeeded()
    assert project.read(f"out/{value}.txt") == value
    (number,) = jobs.column("JobID")
    assert "abcdefghij" not in str(jobs.jdl(number))


def test_120_jobs_are_two_submissions_and_an_interrupt_kills_all(
    project: Project, tag: str, jobs: Jobs
) -> None:
    project.put(
        "Snakefile",
        f"""
rule all:
    input: expand("{{n}}.txt", n=range(120))
rule {tag}:
    output: "{{n}}.txt"
    shell: "touch {{output}}"
""",
    )
    process = project.start("--jobs", "200", *NOT_PARKED, "--grid-site", PARKED_SITE)
    try:
        deadline = time.monotonic() + 120
        while jobs.column("Status") != ["Waiting"] * 120:
            assert process.poll() is None, process.output
            assert time.monotonic() < deadline, jobs.column("Status")
            time.sleep(1)
        entities = ", ".join(f"'Job:{number}'" for number in jobs.column("JobID"))
        sql = (
            "SELECT COUNT(*) FROM sb_EntityMapping "  # noqa: S608
            f"WHERE EntityId IN ({entities}) GROUP BY SBId ORDER BY COUNT(*) DESC"
        )
        shares = jobs.server.query(sql, "SandboxMetadataDB")
        assert shares == [("100",), ("20",)]
    finally:
        process.send_signal(signal.SIGINT)
        finished = finish(process, 90).failed()
    assert "120 job(s) cancelled" in finished.output
    assert set(jobs.column("Status")) == {"Killed"}


# Storage elements


def test_a_chain_through_a_storage_element(
    project: Project, tag: str, jobs: Jobs, dirac_server: DiracServer
) -> None:
    (project.folder / "in.bin").write_bytes(secrets.token_bytes(LARGE))
    project.put(
        "Snakefile",
        f"""
rule {tag}z:
    input: "middle.bin", "in.bin"
    output: "out.txt"
    shell: "cmp {{input}} && touch {{output}}"
rule {tag}a:
    input: "in.bin"
    output: "middle.bin"
    shell: "cp {{input}} {{output}}"
""",
    )
    folder = f"testvo/user/c/ciuser/{tag}"
    options = (*ELEMENT, "--grid-store", f"lfn:/{folder}")
    project.run(*options).succeeded()
    blobs = [path for path in _files(dirac_server, "SE-1", folder) if "blobs" in path.parts]
    assert [path.stat().st_size for path in blobs] == [LARGE]
    changed = blobs[0].stat().st_mtime_ns

    # A later run finds it there, even at another storage element only.
    lfn = f"/{blobs[0].relative_to(dirac_server.settings.storage('SE-1'))}"
    dirac_server.command("dirac-dms-replicate-lfn", lfn, "SE-2")
    (project.folder / "out.txt").unlink()
    project.run(*options).succeeded()
    assert [path for path in _files(dirac_server, "SE-1", folder) if "blobs" in path.parts] == blobs
    assert blobs[0].stat().st_mtime_ns == changed
    dirac_server.command("dirac-dms-remove-replicas", lfn, "SE-1")
    assert not blobs[0].exists()
    (project.folder / "out.txt").unlink()
    project.run(*options, "--grid-dirac-inputs", "fetch").succeeded()
    assert not blobs[0].exists()
    assert set(jobs.column("Status")) == {"Done"}


def test_input_data_that_is_gone_is_told_by_the_servers_own_account(
    project: Project, tag: str, jobs: Jobs, dirac_server: DiracServer
) -> None:
    (project.folder / "in.bin").write_bytes(secrets.token_bytes(LARGE))
    project.put(
        "Snakefile",
        f"""
rule {tag}:
    input: "in.bin"
    output: "{{n}}.txt"
    shell: "touch {{output}}"
""",
    )
    folder = f"testvo/user/c/ciuser/{tag}"
    options = (*ELEMENT, "--grid-store", f"lfn:/{folder}", "--grid-infrastructure-retries", "0")
    project.run("1.txt", *options).succeeded()
    (blob,) = (path for path in _files(dirac_server, "SE-1", folder) if "blobs" in path.parts)
    blob.unlink()
    output = project.run("2.txt", *options).failed().output
    assert re.search(rf"rule {tag} \(n=2\), dirac job \d+: ", output)
    assert "Failed Input Data Resolution" in output
    assert jobs.column("Status") == ["Done", "Killed"]  # not put back into the queue
    (whole,) = re.findall(r"Its whole output: (\S+)", output)
    assert "--- DIRAC on job" in project.read(whole)


@pytest.mark.parametrize("kind", ["input", "output"])
def test_what_is_too_large_for_a_sandbox_names_the_option(
    project: Project, tag: str, jobs: Jobs, kind: str
) -> None:
    (project.folder / "in.bin").write_bytes(secrets.token_bytes(LARGE if kind == "input" else 9))
    project.put(
        "Snakefile",
        f"""
rule {tag}:
    input: "in.bin"
    output: "out.bin"
    shell: "head -c {LARGE} /dev/urandom > {{output}}"
""",
    )
    output = project.run().failed().output
    assert "--grid-dirac-storage-element" in output
    assert jobs.column("RescheduleCounter") == (["0"] if kind == "output" else [])


# What the user has got wrong


def test_options_that_the_installation_does_not_know(project: Project, tag: str) -> None:
    project.put("Snakefile", ONE.format(tag=tag))
    for options, words in (
        (("--grid-site", "DIRAC.Nowhere.test"), "DIRAC.Nowhere.test"),
        (("--grid-dirac-storage-element", "SE-9"), "SE-1, SE-2."),
        (("--grid-platform", "made-up"), "leave the platform out"),
    ):
        assert words in project.run(*options).failed().output, options


def test_credentials_that_will_not_do(
    project: Project, tag: str, jobs: Jobs, dirac_server: DiracServer, tmp_path: Path
) -> None:
    project.put("Snakefile", ONE.format(tag=tag))
    make = dirac_server.make_proxy
    for proxy, words in (
        (tmp_path / "absent.proxy", "dirac-proxy-init"),
        (make(hours=-1, path=tmp_path / "old.proxy"), "expired"),
        (make(limited=True, path=tmp_path / "limited.proxy"), "limited one"),
        (make("diracpilot", path=tmp_path / "pilot.proxy"), "may not submit jobs"),
        (make(hours=0.5, path=tmp_path / "short.proxy"), "--grid-proxy-hours"),
    ):
        project.environment["X509_USER_PROXY"] = str(proxy)
        output = project.run().failed().output
        assert words in output, proxy
        assert "dirac-proxy-init" in output, proxy
    assert jobs.column("JobID") == []


def test_the_same_jobs_in_the_local_mode(make_project: MakeProject, tag: str, jobs: Jobs) -> None:
    project = make_project("project")
    project.put("Snakefile", ONE.format(tag=tag))
    project.run("--grid-dirac-mode", "local").succeeded()
    assert (project.folder / "out.txt").exists()
    assert jobs.column("JobID") == []


def _files(server: DiracServer, element: str, folder: str) -> list[Path]:
    return [
        path for path in (server.settings.storage(element) / folder).rglob("*") if path.is_file()
    ]
