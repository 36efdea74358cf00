"""What is in the server: accounts, scopes, storage elements with their protocols."""

from __future__ import annotations

from typing import Any

from .settings import (
    ACCOUNT,
    OTHER_SCOPE,
    PASSWORD,
    ROOT,
    ROOT_PASSWORD,
    SCOPE,
    SITES,
    WEB,
    Settings,
)

_NO_LIMIT = -1
_OPERATIONS = ("read", "write", "delete")


def wanted(settings: Settings) -> dict[str, Any]:
    """Return what `create` has to make."""
    web, xrootd = settings.ports["web"], settings.ports["xrootd"]
    https = _protocol("https", web, "/", "rucio.rse.protocols.webdav.Default", 1)
    # As at most sites: for clients that have gfal2. The server and clients without it pass it over.
    davs = _protocol("davs", web, "/", "rucio.rse.protocols.gfal.Default", 2)
    root = _protocol("root", xrootd, "//store/", "rucio.rse.protocols.xrootd.Default", 1)
    limits = dict.fromkeys((WEB, ROOT), _NO_LIMIT)
    return {
        "rses": {
            WEB: {"protocols": [https, davs], "attributes": _attributes(WEB)},
            ROOT: {"protocols": [root], "attributes": _attributes(ROOT)},
        },
        "accounts": {
            "root": {"password": ROOT_PASSWORD, "scopes": [OTHER_SCOPE], "limits": limits},
            ACCOUNT: {"password": PASSWORD, "scopes": [SCOPE], "limits": limits},
        },
    }


def _protocol(scheme: str, port: int, prefix: str, impl: str, priority: int) -> dict[str, Any]:
    domain = dict.fromkeys(_OPERATIONS, priority)
    return {
        "scheme": scheme,
        "hostname": "127.0.0.1",
        "port": port,
        "prefix": prefix,
        "impl": impl,
        "domains": {"lan": domain, "wan": dict(domain)},
    }


def _attributes(rse: str) -> dict[str, str | bool]:
    # The reaper does not wait until the storage is full.
    return {"site": SITES[rse], "greedyDeletion": True}
