"""What is special to PanDA, through the command line."""

from __future__ import annotations

import json
import re
import string
import subprocess

import pytest

from tests.conftest import Project
from tests.servers.panda.server import PandaServer

from .conftest import SITE
from .seen import Seen, running

pytestmark = [pytest.mark.panda, pytest.mark.workflow]

MANY = 300
WAITING = """
rule all:
    input: expand("{{n}}.txt", n=range({count}))
    localrule: True
rule wait:
    output: "{{n}}.txt"
    resources: mem_mb=100
    shell: "sleep 100; touch {{output}}"
"""


def test_jobs_of_a_shape_are_one_task(
    project: Project, panda_server: PandaServer, seen: Seen
) -> None:
    project.put(
        "Snakefile",
        """
rule all:
    input: expand("a{n}.txt", n=range(4)), expand("b{n}.txt", n=range(2)), "c.txt"
    localrule: True
rule a:
    output: "a{n}.txt"
    shell: "touch {output}"
rule as_a:
    output: "c.txt"
    shell: "touch {output}"
rule b:
    output: "b{n}.txt"
    threads: 2
    resources:
        mem_mb=900, disk_mb=500, runtime=30, grid_priority=7, grid_site="SITE_B",
        grid_panda_task='{"campaign": "spring"}'
    shell: "touch {output}"
""",
    )
    panda_server.forget_requests()
    options = ("--grid-panda-working-group", "group", "--grid-platform", "x86_64")
    output = project.run("--jobs", "20", *options).succeeded().output
    requests = panda_server.requests()
    assert requests.of("/task/submit") == 2
    assert requests.of("/upload_cache_file") <= 2 + 1  # sources that are large go by themselves
    rounds = requests.of("/task/get_status")
    assert requests.of("/get_datasets_and_files") <= rounds
    assert requests.of("/job/") <= 1 + rounds // 2  # a look a minute, at most

    first, second = (
        task["parameters"] for task in sorted(seen.tasks(), key=lambda task: -len(task["files"]))
    )
    assert (len(first["pfnList"]), len(second["pfnList"])) == (5, 2)
    assert {job["site"] for job in seen.jobs() if len(job["inputs"]) == 1} == {SITE, "SITE_B"}
    assert first["site"] == SITE
    for name, expected in (
        ("site", "SITE_B"),
        ("coreCount", 2),
        ("ramCount", 1000),
        ("workDiskCount", 500),
        ("taskPriority", 1000),  # the server's own, without the production role
        ("campaign", "spring"),
        ("workingGroup", "group"),
        ("architecture", "x86_64"),
        ("maxAttempt", 1),
    ):
        assert second[name] == expected, name
    assert "Client.py" not in output, "panda-client's own words are on the terminal"


def test_names_of_rules_and_wildcards_do_not_matter(project: Project, seen: Seen) -> None:
    name = "r" * 300
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
rule {name}:
    output: "out/{{value}}.txt"
    wildcard_constraints: value=r"[\s\S]+"
    shell: "printf %s {{wildcards.value:q}} >{{output:q}}"
""",
    )
    project.run().succeeded()
    assert project.read(f"out/{value}.txt") == value
    (task,) = seen.tasks()
    (job,) = seen.jobs()
    assert "abcdefghij" not in json.dumps(task["parameters"])
    assert len(job["parameters"]) < 4000
    assert len(task["parameters"]["taskName"]) < 200


def test_300_jobs_are_one_task_and_an_interrupt_kills_it(
    project: Project, panda_server: PandaServer, seen: Seen
) -> None:
    project.put("Snakefile", WAITING.format(count=MANY))
    panda_server.spoil_site(SITE, "closed")
    panda_server.forget_requests()
    # Snakemake itself hands over 100 jobs a second, if it is not told to be quicker.
    options = ("--jobs", str(MANY), "--max-jobs-per-timespan", f"{MANY}/1s")
    with running(project, *options) as run:
        run.until(lambda: seen.states() == ["activated"] * MANY, 90)
        polls = panda_server.requests().of("get_datasets_and_files")
        run.until(lambda: panda_server.requests().of("get_datasets_and_files") > polls + 2)
        output = run.interrupt()
    assert f"{MANY} job(s) cancelled" in output
    assert "Not confirmed" not in output
    (task,) = seen.tasks()
    assert len(task["parameters"]["pfnList"]) == MANY
    assert task["status"] in ("aborting", "toabort", "aborted")
    requests = panda_server.requests()
    assert (requests.of("task/submit"), requests.of("task/kill")) == (1, 1)
    assert requests.of("job/kill") == requests.of("get_job_descriptions") == 0
    assert requests.received["/api/v1/task/submit"] < 100 * MANY


def test_descriptions_are_the_parameters_and_ask_no_server(
    project: Project, panda_server: PandaServer
) -> None:
    project.put("Snakefile", WAITING.format(count=2))
    panda_server.forget_requests()
    command = project.command("--quiet", "all", "--grid-describe", "--grid-panda-task", '{"x": 1}')
    left_out = command.index("--grid-store")
    done = subprocess.run(
        [*command[:left_out], *command[left_out + 2 :]],  # it needs none
        cwd=project.folder,
        env=project.env(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stderr
    text, found = done.stdout, []
    decoder = json.JSONDecoder()
    for start in re.finditer(r"^\{$", text, re.MULTILINE):
        parameters, _ = decoder.raw_decode(text[start.start() :])
        found.append(parameters)
    assert len(found) == 2
    for parameters in found:
        assert (parameters["vo"], parameters["site"], parameters["x"]) == ("testvo", SITE, 1)
        assert len(parameters["pfnList"]) == 1
    assert panda_server.requests().total == 0
