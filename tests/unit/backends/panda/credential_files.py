"""Token files, certificates and proxies for the tests of credentials."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC
HOUR = 3600.0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("HOME", str(folder))
    (folder / ".pathena").mkdir(parents=True)
    return folder


def write_token(home: Path, token: str, refresh_token: str | None = None) -> Path:
    path = home / ".pathena" / ".token"
    fields = {"id_token": token, "refresh_token": refresh_token}
    path.write_text(json.dumps({key: value for key, value in fields.items() if value}))
    return path


def certificate(names: Sequence[str], expires: float) -> str:
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    oid = x509.oid.NameOID
    subject = x509.Name(
        [
            x509.NameAttribute(oid.ORGANIZATION_NAME, "Test"),
            *(x509.NameAttribute(oid.COMMON_NAME, name) for name in names),
        ]
    )
    end = datetime.datetime.fromtimestamp(expires, datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(end - datetime.timedelta(days=9))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return str(built.public_bytes(serialization.Encoding.PEM).decode())


# Only the label of the key is checked: panda-client leaves the key to OpenSSL.
KEY = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"
PERSON = ["alice", "12345", "Alice Ü"]


def write_proxy(path: Path, *expires: float) -> dict[str, str]:
    """Write a proxy with the certificates of its owner and of the CA."""
    names = [[*PERSON, "4711"], PERSON, ["The CA"]]
    chain = [certificate(*each) for each in zip(names, expires, strict=True)]
    path.write_text(chain[0] + KEY + "".join(chain[1:]))
    return {"X509_USER_PROXY": str(path)}
