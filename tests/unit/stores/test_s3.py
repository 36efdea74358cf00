"""S3: buckets, keys, error codes and signed URLs."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    GridError,
    MissingError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.stores import open_transport
from snakemake_executor_plugin_grid.stores.s3 import S3Transport
from tests.servers.stores.fixtures import s3
from tests.servers.stores.s3 import S3Server

from .transport_servers import Make, aws, make, no_credentials

__all__ = ["aws", "make", "no_credentials", "s3"]


@pytest.mark.usefixtures("aws")
def test_missing_bucket(make: Make) -> None:
    with pytest.raises(PermanentError, match=r"s3://nobucket/x: NoSuchBucket.*make the bucket"):
        open_transport("s3://nobucket/x").upload(make(1), "one")


def test_missing_keys(aws: S3Server, monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    transport = open_transport("s3://bucket/x")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(CredentialsError, match="AWS_ACCESS_KEY_ID"):
        transport.upload(make(1), "one")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "renewed")
    transport.upload(make(1), "one")
    assert aws.keys("bucket") == {"x/one"}


@pytest.mark.parametrize(
    ("code", "status", "kind", "said"),
    [
        ("ExpiredToken", 400, CredentialsError, "AWS_PROFILE"),
        ("InvalidAccessKeyId", 403, CredentialsError, "AWS_PROFILE"),
        ("SignatureDoesNotMatch", 403, CredentialsError, "AWS_PROFILE"),
        ("AccessDenied", 403, PermanentError, "s3:PutObject"),
        ("SlowDown", 503, TransientError, "SlowDown"),
        ("InternalError", 500, TransientError, "InternalError"),
        ("404", 404, MissingError, "404"),
        ("EntityTooLarge", 400, PermanentError, "EntityTooLarge"),
    ],
)
def test_error_codes(
    monkeypatch: pytest.MonkeyPatch, code: str, status: int, kind: type[GridError], said: str
) -> None:
    from botocore.exceptions import ClientError

    class Client:
        def upload_file(self, *_: Any, **__: Any) -> None:
            answer = {
                "Error": {"Code": code, "Message": "so it is"},
                "ResponseMetadata": {"HTTPStatusCode": status},
            }
            raise ClientError(answer, "PutObject")  # type: ignore[arg-type]

    monkeypatch.setattr("snakemake_executor_plugin_grid.stores.s3._new_client", Client)
    with pytest.raises(kind, match=f"s3://bucket: {code}: so it is.*{said}|{said}") as caught:
        S3Transport("s3://bucket").upload(Path(), "x")
    assert type(caught.value) is kind


@pytest.mark.usefixtures("aws")
def test_signed_urls_are_valid_for_a_week_in_one_folder() -> None:
    transport = open_transport("s3://bucket/mine")
    assert "X-Amz-Expires=604800" in transport.source("blobs/aa")
    inbox = transport.inbox("delivered/job-1")
    form = json.loads(base64.urlsafe_b64decode(inbox.removeprefix("signed:")))
    policy = json.loads(base64.b64decode(form["fields"]["policy"]))
    assert ["starts-with", "$key", "mine/delivered/job-1/"] in policy["conditions"]
    assert {"bucket": "bucket"} in policy["conditions"]
    end = time.strptime(policy["expiration"], "%Y-%m-%dT%H:%M:%SZ")
    assert abs(time.mktime(end) - time.mktime(time.gmtime()) - 7 * 86400) < 100


def test_bucket_is_in_the_path_for_servers_other_than_amazon(
    aws: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.org")
    assert (
        open_transport("s3://bucket/p").source("x").startswith("https://s3.example.org/bucket/p/x?")
    )
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n    addressing_style = virtual\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert (
        open_transport("s3://bucket/p").source("x").startswith("https://bucket.s3.example.org/p/x?")
    )
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert (
        open_transport("s3://bucket/p")
        .source("x")
        .startswith("https://bucket.s3.amazonaws.com/p/x?")
    )


def test_missing_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snakemake_executor_plugin_grid.stores.find_spec", lambda _: None)
    with pytest.raises(PermanentError, match=r"pip install 'snakemake-executor-plugin-grid\[s3\]'"):
        open_transport("s3://bucket")
