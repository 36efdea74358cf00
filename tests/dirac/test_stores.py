"""Stores that are not DIRAC's own: files of its jobs go through them."""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.servers.stores.s3 import S3Server
from tests.servers.stores.webdav import TOKEN, WebDavServer

pytestmark = [pytest.mark.dirac, pytest.mark.workflow]

LARGE = 11 << 20  # more than fits into a sandbox
WORKFLOW = """
rule all:
    input: "sum.txt"
    localrule: True
rule grow:
    input: "large.bin", "small.txt"
    output: "grown.bin"
    shell: "cat {input} > {output}; printf %2000000d 0"
rule sum:
    input: "grown.bin"
    output: "sum.txt"
    shell: "wc -c < {input} > {output}"
"""


def prepare(project: Project) -> None:
    project.put("Snakefile", WORKFLOW)
    project.put("small.txt", "small\n")
    (project.folder / "large.bin").write_bytes(bytes(range(256)) * (LARGE // 256))


def test_s3(project: Project, s3: S3Server) -> None:
    prepare(project)
    project.environment.update(s3.environment)
    done = project.run("--grid-store", "s3://bucket/me", timeout=280).succeeded()
    assert project.read("sum.txt").strip() == str(LARGE + len("small\n"))
    assert "X-Amz-Signature" not in done.output
    assert any(name.startswith("me/blobs/") for name in s3.keys("bucket"))


def test_webdav_with_a_token(project: Project, webdav: WebDavServer) -> None:
    prepare(project)
    token = project.put("../private/token", TOKEN)
    options = ("--grid-store", f"{webdav.url}/me", "--grid-store-token", str(token))
    done = project.run(*options, timeout=280).succeeded()
    assert project.read("sum.txt").strip() == str(LARGE + len("small\n"))
    assert TOKEN not in done.output
