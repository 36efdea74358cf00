"""What the user has got wrong, told before the first job is submitted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Finished, Project
from tests.servers.panda.server import PandaServer

from .seen import Seen

pytestmark = [pytest.mark.panda, pytest.mark.workflow]


@pytest.fixture
def one(project: Project, seen: Seen) -> Project:
    project.put("Snakefile", 'rule one:\n    output: "out.txt"\n    shell: "date > {output}"\n')
    return project


def refused(project: Project, seen: Seen, *args: str) -> str:
    """Run a workflow that fails without a traceback and a job; return what it says."""
    done: Finished = project.run(*args, timeout=60).failed()
    assert seen.tasks() == []
    return done.output


def test_no_store(one: Project, seen: Seen) -> None:
    options = list(one.site.options)
    at = options.index("--grid-store")
    bare = Project(one.folder, type(one.site)(**vars(one.site) | {"options": ()}))
    output = refused(bare, seen, *options[:at], *options[at + 2 :])
    assert "--grid-store: PanDA needs one" in output
    assert "s3://" in output


def test_a_store_that_cannot_be_written(one: Project, seen: Seen) -> None:
    output = refused(one, seen, "--grid-store", "file:///proc/nowhere")
    assert "file:///proc/nowhere" in output
    assert "--grid-store" in output


def test_a_python_without_the_client(one: Project, seen: Seen, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nexec /usr/bin/python3 -IS "$@"\n')
    python.chmod(0o755)
    output = refused(one, seen, "--grid-panda-python", str(python))
    assert "--grid-panda-python" in output
    assert "panda-client" in output
    assert "no program" in refused(one, seen, "--grid-panda-python", "/nowhere/python")


def test_tokens_that_will_not_do(
    one: Project, seen: Seen, panda_server: PandaServer, tmp_path: Path
) -> None:
    token = Path(one.site.environment["OIDC_AUTH_TOKEN_FILE"])
    panda_server.write_token(seconds=-60)
    output = refused(one, seen)
    assert f"the token in file {token} (OIDC_AUTH_TOKEN_FILE) has expired" in output
    assert "snakemake-grid auth" in output

    panda_server.write_token(seconds=600)
    output = refused(one, seen)
    assert "expires in 9 min" in output
    one.run("--grid-proxy-hours", "0.1").succeeded()
    (one.folder / "out.txt").unlink()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OIDC_AUTH_TOKEN_FILE": "/nowhere/token"}, "there is no PanDA token in file /nowhere"),
        ({"OIDC_AUTH_TOKEN_FILE": "", "PANDA_CONFIG_ROOT": "/nowhere"}, "snakemake-grid auth"),
        ({"PANDA_AUTH_ID_TOKEN": "no.token"}, "variable PANDA_AUTH_ID_TOKEN holds no ID token"),
        ({"PANDA_AUTH_VO": ""}, "set PANDA_AUTH_VO"),
        ({"PANDA_AUTH_VO": "othervo"}, "PANDA_AUTH_VO"),
        ({"PANDA_AUTH": "kerberos"}, "PANDA_AUTH=kerberos is unknown"),
        ({"PANDA_AUTH": "", "X509_USER_PROXY": "/nowhere/proxy"}, "/nowhere/proxy"),
    ],
)
def test_variables_that_will_not_do(
    one: Project, seen: Seen, variables: dict[str, str], words: str
) -> None:
    one.environment |= variables
    assert words in refused(one, seen)


def test_a_token_of_somebody_elses_server(
    one: Project, seen: Seen, panda_server: PandaServer
) -> None:
    head, claims, signature = panda_server.token().split(".")
    other = signature[:20] + ("A" if signature[20] != "A" else "B") + signature[21:]
    one.environment["PANDA_AUTH_ID_TOKEN"] = f"{head}.{claims}.{other}"
    output = refused(one, seen)
    assert "Signature verification failed" in output
    assert "snakemake-grid auth" in output
    assert other not in output


def test_a_server_that_is_not_there(one: Project, seen: Seen) -> None:
    one.environment |= dict.fromkeys(
        ("PANDA_URL", "PANDA_URL_SSL", "PANDACACHE_URL"), "http://127.0.0.1:9/server/panda"
    )
    output = refused(one, seen, "--grid-outage-limit", "0.0001")
    assert "hello" in output
    assert "127.0.0.1:9" in output or "refused" in output.casefold()


def test_a_proxy_reaches_the_client(one: Project, seen: Seen, tmp_path: Path) -> None:
    python, noted = tmp_path / "python", tmp_path / "noted"
    python.write_text(
        f'#!/bin/sh\necho "$PANDA_AUTH $X509_USER_PROXY" >> {noted}\nexec {one.command()[0]} "$@"\n'
    )
    python.chmod(0o755)
    proxy = one.folder / "proxy.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=Alice Test", "-keyout", str(proxy), "-out", str(tmp_path / "cert")),
        ],
        check=True,
        capture_output=True,
    )
    proxy.write_text((tmp_path / "cert").read_text() + proxy.read_text())
    one.environment |= {"PANDA_AUTH": "voms", "X509_USER_PROXY": "proxy.pem"}
    # This server speaks no HTTPS, so that it cannot know a certificate.
    output = refused(one, seen, "--grid-panda-python", str(python))
    assert f"voms {proxy}" in noted.read_text().splitlines()
    assert "proxy" in output
