"""The user's credential files, which are never sent with the sources."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_VARIABLES = (
    *("OIDC_AUTH_TOKEN_FILE", "BEARER_TOKEN_FILE"),
    *("X509_USER_PROXY", "X509_USER_KEY", "X509_USER_CERT"),
    *("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"),
)


def secret_files(environment: Mapping[str, str], *others: Path | None) -> frozenset[str]:
    """Return the real paths of the credential files.

    Args:
        environment: Environment variables, some of which name such files.
        others: Further credential files.
    """
    named = [Path(path) for name in _VARIABLES if (path := environment.get(name))]
    root = environment.get("PANDA_CONFIG_ROOT")
    if root:
        named.append(Path(root) / ".token")  # written by panda-client
    named += [path for path in others if path is not None]
    return frozenset(os.path.realpath(path.expanduser()) for path in named)
