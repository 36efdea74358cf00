"""Point 18: an object store as storage, by its plugin, with credentials of the user.

moto stands in for it. It takes every signature: that the right key was used is seen by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from tests.conftest import Project

pytestmark = pytest.mark.workflow

pytest.importorskip("snakemake_storage_plugin_s3")
boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto.server")

_KEY, _SECRET = "KEYOFTHEUSER", "VERY-SECRET/+="


@pytest.fixture
def bucket(project: Project, caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """Yield a bucket whose place and keys Snakemake has from its environment."""
    caplog.set_level("ERROR", logger="werkzeug")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        project.environment.update(
            SNAKEMAKE_STORAGE_S3_ENDPOINT_URL=url,
            SNAKEMAKE_STORAGE_S3_ACCESS_KEY=_KEY,
            SNAKEMAKE_STORAGE_S3_SECRET_KEY=_SECRET,
            HOME=str(project.folder.parent),  # where no other credentials are
        )
        resource = boto3.resource(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="of-the-test",
            aws_secret_access_key="of-the-test",
        )
        bucket = resource.create_bucket(Bucket="depot")
        bucket.put_object(Key="in.txt", Body=b"MARK-OF-THE-BUCKET\n")
        yield bucket
    finally:
        server.stop()


def test_18_s3_as_default_provider(project: Project, bucket: Any, tmp_path: Path) -> None:
    project.put(
        "Snakefile",
        """
rule all:
    input: "out/last.txt"
rule first:
    input: "in.txt"
    output: "first.txt", temp("unneeded.txt"), local("names.txt")
    log: "first.log"
    benchmark: "first.tsv"
    shell:
        "cp {input} {output[0]}; touch {output[1]}; echo logged > {log};"
        " env | sed -n '/^SNAKEMAKE_STORAGE\\|^AWS/s/=.*//p' | sort > {output[2]}"
rule last:
    input: "first.txt", local("plain.txt")
    output: "out/last.txt"
    shell: "cat {input} > {output}"
""",
    )
    project.put("plain.txt", "plain\n")
    options = ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://depot"]
    run = project.run(*options, "--storage-s3-retries", "3", "--verbose").succeeded()
    contents = {one.key: one.get()["Body"].read() for one in bucket.objects.all()}
    assert contents.pop("first.tsv")
    contents.pop("unneeded.txt", None)  # Snakemake 9.17 leaves it there
    assert contents == {
        "in.txt": b"MARK-OF-THE-BUCKET\n",
        "first.txt": b"MARK-OF-THE-BUCKET\n",
        "first.log": b"logged\n",
        "out/last.txt": b"MARK-OF-THE-BUCKET\nplain\n",
    }
    assert project.read("names.txt").split() == [
        # Those of the plugin's own, as in a process that has not been forked, and the three.
        *("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"),
        *(f"SNAKEMAKE_STORAGE_S3_{name}" for name in ("ACCESS_KEY", "ENDPOINT_URL", "SECRET_KEY")),
    ]
    logs = [path.read_text() for path in (project.folder / ".snakemake/grid/logs").rglob("*.log")]
    assert len(logs) == 2
    if Version(version("snakemake")) >= Version("9.27"):  # 9.17 does not show the command
        assert all("--storage-s3-retries=3" in log for log in logs)
    assert _SECRET not in run.output
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if _SECRET.encode() in path.read_bytes()] == []
