"""Tasks and jobs that do not simply end well: who is told what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.servers.panda.client import Client
from tests.servers.panda.server import PandaServer

from .conftest import OTHER_SITE, SITE
from .seen import Run, Seen, running, until

pytestmark = [pytest.mark.panda, pytest.mark.workflow]

WAITING = """
rule all:
    input: expand("{{n}}.txt", n=range({count}))
    localrule: True
rule wait:
    output: "{{n}}.txt"
    shell: "while [ ! -e {go} ]; do sleep 0.1; done; touch {{output}}"
"""
LOG = re.compile(r"Its whole output: (\S+)")


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """Return the file for which jobs wait."""
    return tmp_path / "go"


def task_of(run: Run, seen: Seen) -> int:
    """Wait for the task of a run that has one; return its id."""
    (task,) = run.until(seen.tasks)
    number = int(task["number"])
    run.until(lambda: seen.tasks()[0]["status"] == "running" and seen.jobs())
    return number


def test_a_failed_job_is_told_while_its_task_goes_on(
    project: Project, seen: Seen, go: Path
) -> None:
    project.put(
        "Snakefile",
        f"""
rule all:
    input: expand("{{n}}.txt", n=["good", "bad", "slow"])
    localrule: True
rule one:
    output: "{{n}}.txt"
    shell:
        "case {{wildcards.n}} in "
        "bad) echo said before the end; exit 3;; "
        "slow) while [ ! -e {go} ]; do sleep 0.1; done;; "
        "esac; touch {{output}}"
""",
    )
    with running(project, "--keep-going") as run:
        run.until_it_says("Its whole output:")
        assert (project.folder / "good.txt").exists() or "running" in seen.states()
        assert [task["status"] for task in seen.tasks()] == ["running"]
        said = run.output
        go.touch()
        code, output = run.end()
    assert code != 0
    assert re.search(r"rule one \(n=bad\), panda job \d+:[\w.-]+: .*exit code 3 ", said)
    assert "    said before the end\n" in said
    log = LOG.search(said)
    assert log
    assert "said before the end" in Path(project.folder, log[1]).read_text()
    assert output.count("Its whole output:") == 1
    assert (project.folder / "good.txt").exists()
    assert (project.folder / "slow.txt").exists()
    assert not (project.folder / "bad.txt").exists()
    assert until(lambda: seen.tasks()[0]["status"]) == "finished"
    assert len(seen.jobs()) == 3


def test_a_broken_task_says_why(
    project: Project, panda_server: PandaServer, seen: Seen, go: Path
) -> None:
    project.put("Snakefile", WAITING.format(count=1, go=go))
    panda_server.spoil_site(SITE, "closed")
    with running(project) as run:
        panda_server.set_task(task_of(run, seen), "broken", "failed to <b>refine</b> it &amp; so")
        code, output = run.end()
    assert code != 0
    assert "rule wait (n=0), panda job " in output
    assert "is broken: failed to refine it & so" in output
    assert len(seen.tasks()) == 1, "another attempt would be broken as well"


def test_a_task_without_a_site_waits_and_says_so_once(project: Project, seen: Seen) -> None:
    project.put("Snakefile", WAITING.format(count=2, go="/nowhere"))
    with running(project, "--grid-site", "NOWHERE") as run:
        run.until_it_says("unknown site=NOWHERE")
        asked = seen.server.requests().of("get_datasets_and_files")
        run.until(lambda: seen.server.requests().of("get_datasets_and_files") > asked + 2)
        output = run.interrupt()
    assert output.count("unknown site=NOWHERE") == 1
    assert "waits for a site: unknown site=NOWHERE; see the sites" in output
    assert "2 job(s) cancelled" in output
    (task,) = seen.tasks()
    assert until(lambda: seen.tasks()[0]["status"] == "aborted")
    assert seen.jobs() == []
    assert task["parameters"]["site"] == "NOWHERE"


def test_an_exhausted_task_waits_until_it_is_finished(
    project: Project, seen: Seen, other_tool: Client, go: Path
) -> None:
    project.put("Snakefile", WAITING.format(count=2, go=go))
    with running(project, "--keep-going") as run:
        number = task_of(run, seen)
        seen.server.set_task(number, "exhausted", "low efficiency")
        run.until_it_says("is exhausted")
        assert f"PanDA task {number} is exhausted and does not go on by itself: low eff" in (
            run.output
        )
        assert f"pbook -c 'finish({number})'" in run.output
        assert other_tool("finishTask", number)[0] == 0
        code, output = run.end()
    assert code != 0
    # Once of the task; besides each of its jobs is said to be on hold.
    assert output.count(f"grid: PanDA task {number} is exhausted and does not go on") == 1
    assert "Its whole output:" in output


def test_a_paused_task_waits_and_goes_on(project: Project, seen: Seen, go: Path) -> None:
    project.put("Snakefile", WAITING.format(count=1, go=go))
    with running(project) as run:
        number = task_of(run, seen)
        seen.server.set_task(number, "paused")
        run.until_it_says(f"PanDA task {number} is paused")
        assert f"pbook -c 'resume({number})'" in run.output
        go.touch()
        seen.server.set_task(number, "running")
        code, output = run.end()
    assert code == 0, output
    assert len(seen.jobs()) == 1


def test_a_task_that_somebody_kills(
    project: Project, seen: Seen, other_tool: Client, go: Path
) -> None:
    project.put("Snakefile", WAITING.format(count=2, go=go))
    with running(project) as run:
        number = task_of(run, seen)
        assert other_tool("killTask", number) == (0, (True, 0))
        code, output = run.end()
    assert code != 0
    assert "killed" in output.partition("panda job")[2]
    assert len(seen.tasks()) == 1


def test_a_job_that_somebody_kills(
    project: Project, seen: Seen, other_tool: Client, go: Path
) -> None:
    project.put("Snakefile", WAITING.format(count=2, go=go))
    with running(project, "--keep-going") as run:
        task_of(run, seen)
        run.until(lambda: seen.states() == ["running"] * 2)
        (number,) = (job["number"] for job in seen.jobs() if job["inputs"][0].endswith("-1"))
        assert other_tool("killJobs", [number]) == (0, [True])
        run.until_it_says("Its whole output:")
        said = run.output
        assert [task["status"] for task in seen.tasks()] == ["running"]
        go.touch()
        code, _ = run.end()
    assert code != 0
    assert re.search(r"rule wait \(n=\d\), panda job \S+: .*killed", said)
    assert len([n for n in range(2) if (project.folder / f"{n}.txt").exists()]) == 1
    assert len(seen.jobs()) == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "pilot_error"}, "the pilot could not bring the job's input"),
        ({"kind": "lost_heartbeat"}, "lost heartbeat"),
        ({"kind": "pilot_error", "code": 1098}, "the disk of the worker node ran full"),
    ],
    ids=["input", "silent", "disk"],
)
def test_what_a_site_has_failed_is_sent_to_another(
    project: Project, seen: Seen, fault: dict[str, object], words: str
) -> None:
    project.put("Snakefile", 'rule one:\n    output: "out.txt"\n    shell: "date > {output}"\n')
    code, output = _run_with_one_good_site(project, seen, fault)
    assert code == 0, output
    assert words in output
    assert "Resubmitting it (1 of at most 3)." in output
    *_, first, second = (task["parameters"] for task in seen.tasks())
    limits = ("site", "excludedSite")
    assert [first.get(name) for name in limits] != [second.get(name) for name in limits]


def test_a_silent_job_that_ends_after_all_disturbs_nobody(
    project: Project, seen: Seen, go: Path, tmp_path: Path
) -> None:
    project.put(
        "Snakefile",
        f"""
rule one:
    output: "out.txt"
    shell:
        "if mkdir {tmp_path}/begun; then while [ ! -e {go} ]; do sleep 0.1; done; echo old; "
        "else touch {go}; sleep 3; echo new; fi > {{output}}"
""",
    )
    fault: dict[str, object] = {"kind": "lost_heartbeat", "payload": True}
    code, output = _run_with_one_good_site(project, seen, fault)
    assert code == 0, output
    assert "Resubmitting it (1 of at most 3)." in output
    assert project.read("out.txt") == "new\n"


def _run_with_one_good_site(
    project: Project, seen: Seen, fault: dict[str, object]
) -> tuple[int, str]:
    """Let whichever site is chosen first fail all jobs; return what a run says."""
    sites = {SITE, OTHER_SITE}
    snakefile = project.read("Snakefile")
    project.put(
        "Snakefile", 'rule known:\n    output: "{site}.txt"\n    shell: "date > {output}"\n'
    )
    for site in sites:  # one is avoided only if another one is known to run jobs
        project.run("--grid-site", site, f"{site}.txt").succeeded()
    project.put("Snakefile", snakefile)
    known = len(seen.jobs())
    for site in sites:
        seen.server.spoil_site(site, **fault)  # type: ignore[arg-type]
    with running(project, "--grid-site", f"{SITE},{OTHER_SITE}") as run:
        (first,) = run.until(lambda: seen.jobs()[known:])
        (other,) = sites - {first["site"]}
        seen.server.mend_site(other)
        code, output = run.end()
    assert [job["site"] for job in seen.jobs()[known:]] == [first["site"], other]
    return code, output


def test_a_fault_of_one_job_leaves_the_others_alone(project: Project, seen: Seen) -> None:
    project.put(
        "Snakefile",
        """
rule all:
    input: expand("{n}.txt", n=range(3))
    localrule: True
rule one:
    output: "{n}.txt"
    shell: "date > {output}"
""",
    )
    seen.server.spoil_site(SITE, "pilot_error", times=1)
    output = project.run().succeeded().output
    assert output.count("Resubmitting it") == 1
    assert [len(task["files"]) for task in seen.tasks()] == [3, 1]
    assert len(seen.jobs()) == 4


def test_the_servers_own_account_is_there_when_no_log_came(project: Project, seen: Seen) -> None:
    project.put("Snakefile", 'rule one:\n    output: "out.txt"\n    shell: "date > {output}"\n')
    seen.server.spoil_site(SITE, "pilot_error")
    monitor = "https://monitor.example/"
    output = (
        project.run("--grid-infrastructure-retries", "0", "--grid-panda-monitor", monitor)
        .failed()
        .output
    )
    (job,) = seen.jobs()
    assert re.search(r"rule one, panda job \d+:\S+: .*the pilot could not bring the job's", output)
    assert f"https://monitor.example/task/{job['task']}/" in output
    log = LOG.search(output)
    assert log
    text = (project.folder / log[1]).read_text()
    assert f"PandaID {job['number']} at {SITE}: failed" in text
    assert "1099" in text
