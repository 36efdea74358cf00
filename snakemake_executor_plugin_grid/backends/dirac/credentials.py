"""The check of the user's proxy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...console.format import duration
from ...model.errors import CredentialsError

_MAY_SUBMIT = frozenset({"NormalUser", "JobAdministrator"})
"""Properties of a group, one of which DIRAC asks for (``JobPolicy`` of DIRAC 9.1.22)."""


@dataclass(frozen=True)
class Proxy:
    """A proxy certificate.

    Attributes:
        path: Its file.
        seconds_left: How long it is valid.
        limited: Whether it is a limited one, which may not submit.
        group: DIRAC group.
        properties: Of the group.
    """

    path: str
    seconds_left: float
    limited: bool
    group: str
    properties: frozenset[str]


def read_proxy(fields: Mapping[str, Any]) -> Proxy:
    """Read what the client reports about the proxy."""
    return Proxy(
        path=str(fields["path"]),
        seconds_left=float(fields["seconds_left"]),
        limited=bool(fields["limited"]),
        group=str(fields["group"]),
        properties=frozenset(fields["properties"]),
    )


def renewal(group: str) -> str:
    """Return the command that makes a new proxy."""
    return f"dirac-proxy-init -g {group or 'GROUP'}"


def judge(proxy: Proxy, margin: float) -> str:
    """Return a warning if the proxy is valid for less than some seconds, otherwise nothing.

    Raises:
        CredentialsError: It cannot be used to submit jobs: says what to run.
    """
    command = renewal(proxy.group)
    if proxy.seconds_left <= 0:
        raise CredentialsError(f"the proxy in {proxy.path} has expired; run '{command}'.")
    if proxy.limited:
        raise CredentialsError(
            f"the proxy in {proxy.path} is a limited one, which may not submit jobs; run "
            f"'{command}'."
        )
    if not proxy.group:
        raise CredentialsError(
            f"the proxy in {proxy.path} names no DIRAC group; run '{command}' with yours."
        )
    if not proxy.properties & _MAY_SUBMIT:
        raise CredentialsError(
            f"DIRAC group {proxy.group} may not submit jobs; run '{renewal('')}' with another."
        )
    if proxy.seconds_left < margin:
        return (
            f"the proxy in {proxy.path} expires in {duration(proxy.seconds_left)}; run '{command}' "
            "before that (--grid-proxy-hours says how long it should be valid)."
        )
    return ""
