"""Reads the owner and the end of validity of X.509 certificates."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_OPENSSL = ("openssl", "x509", "-noout", "-enddate", "-subject", "-nameopt")
_NAMES = "sep_multiline,sname,utf8"
_PROXY_NAMES = ("proxy", "limited proxy")  # of old proxies; later ones have a number
_TIMEOUT = 10.0


@dataclass(frozen=True)
class Certificate:
    """A certificate.

    Attributes:
        expires: Seconds since the epoch.
        common_names: Those of its subject, from the root on.
    """

    expires: float
    common_names: tuple[str, ...]


def read_certificates(text: str) -> list[Certificate] | None:
    """Read all certificates of a PEM file, in its order.

    Returns:
        None if neither ``cryptography`` nor the program ``openssl`` is there.

    Raises:
        ValueError: One of them is damaged.
    """
    blocks = _CERTIFICATE.findall(text)
    try:
        return [_by_library(block) for block in blocks]
    except (ImportError, AttributeError):
        pass  # there is none, or one older than 42
    try:
        return [_by_program(block) for block in blocks]
    except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired):
        return None


def owner(common_names: Sequence[str]) -> str:
    """Return the name of a person: proxies append more names to the subject."""
    names = list(common_names)
    while len(names) > 1 and (names[-1].isdigit() or names[-1] in _PROXY_NAMES):
        names.pop()
    return names[-1] if names else ""


def _by_library(block: str) -> Certificate:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    found = x509.load_pem_x509_certificate(block.encode())
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(
        found.not_valid_after_utc.timestamp(), tuple(str(name.value) for name in names)
    )


def _by_program(block: str) -> Certificate:
    done = subprocess.run(
        [*_OPENSSL, _NAMES],
        input=block,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    lines = [line.strip() for line in done.stdout.splitlines()]
    ends = [line.removeprefix("notAfter=") for line in lines if line.startswith("notAfter=")]
    if done.returncode != 0 or not ends:
        raise ValueError("damaged certificate")
    names = tuple(line.removeprefix("CN=") for line in lines if line.startswith("CN="))
    return Certificate(float(ssl.cert_time_to_seconds(ends[0])), names)
