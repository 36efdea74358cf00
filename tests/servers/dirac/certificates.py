"""A certificate authority, and the certificates of the host and the users."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

_SUBJECT = "/C=ch/O=DIRAC/CN="
_CA_NAME = "Test CA"
_DAYS = "3650"


def distinguished_name(name: str) -> str:
    return _SUBJECT + name


def make_authority(key: Path, ca_folder: Path) -> None:
    """Make a certificate authority: its key, and the folder for X509_CERT_DIR."""
    ca_folder.mkdir(parents=True, exist_ok=True)
    certificate = ca_folder / "ca.pem"
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", _DAYS),
        *("-subj", distinguished_name(_CA_NAME), "-keyout", str(key), "-out", str(certificate)),
        *("-addext", "basicConstraints=critical,CA:true"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    digest = _openssl("x509", "-in", str(certificate), "-noout", "-hash").strip()
    (ca_folder / f"{digest}.0").symlink_to(certificate.name)
    (ca_folder / f"{digest}.signing_policy").write_text(
        f"access_id_CA X509 '{distinguished_name(_CA_NAME)}'\n"
        "pos_rights globus CA:sign\n"
        "cond_subjects globus '\"/C=ch/O=DIRAC/*\"'\n"
    )


def make_host(host: str, certificate: Path, key: Path, ca_key: Path, ca_folder: Path) -> None:
    """Make a host's certificate, also valid for the address 127.0.0.1."""
    extensions = (
        "extendedKeyUsage=serverAuth,clientAuth",
        f"subjectAltName=DNS:{host},IP:127.0.0.1",
    )
    _make(host, certificate, key, ca_key, ca_folder, extensions)


def make_user(user: str, certificate: Path, key: Path, ca_key: Path, ca_folder: Path) -> None:
    """Make a user's certificate."""
    _make(user, certificate, key, ca_key, ca_folder, ("extendedKeyUsage=clientAuth",))


def _make(
    name: str,
    certificate: Path,
    key: Path,
    ca_key: Path,
    ca_folder: Path,
    extensions: Iterable[str],
) -> None:
    common = ("basicConstraints=CA:false", "keyUsage=critical,digitalSignature,keyEncipherment")
    with tempfile.TemporaryDirectory() as scratch:
        request, details = Path(scratch, "request"), Path(scratch, "extensions")
        details.write_text("\n".join([*common, *extensions]) + "\n")
        _openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-sha256"),
            *("-subj", distinguished_name(name), "-keyout", str(key), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-sha256", "-days", _DAYS, "-in", str(request)),
            *("-CA", str(ca_folder / "ca.pem"), "-CAkey", str(ca_key)),
            *("-CAserial", str(Path(scratch, "serial")), "-CAcreateserial"),
            *("-extfile", str(details), "-out", str(certificate)),
        )
    key.chmod(0o400)  # DIRAC refuses a key that others can read


def _openssl(*arguments: str) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr}")
    return done.stdout
