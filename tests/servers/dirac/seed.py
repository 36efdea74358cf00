"""Register all sites and resources as active in the Resource Status System.

Run by the server's Python.

Run as ``python seed.py CERTIFICATE KEY`` with a JSON object of names by kind ("Site",
"ComputingElement", "StorageElement") on standard input.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone

import DIRAC

DIRAC.initialize(host_credentials=(sys.argv[1], sys.argv[2]))

from DIRAC.ResourceStatusSystem.Client.ResourceStatusClient import (  # noqa: E402
    ResourceStatusClient,
)

STATUS_TYPES = {
    "StorageElement": ("ReadAccess", "WriteAccess", "CheckAccess", "RemoveAccess"),
}

client = ResourceStatusClient()
now = datetime.now(timezone.utc).replace(tzinfo=None)  # noqa: UP017
for kind, names in json.load(sys.stdin).items():
    for name in names:
        for status_type in STATUS_TYPES.get(kind, ("all",)):
            added = client.addOrModifyStatusElement(
                "Site" if kind == "Site" else "Resource",
                "Status",
                name=name,
                statusType=status_type,
                status="Active",
                elementType=kind,
                vO="all",
                reason="test",
                tokenOwner="rs_svc",
                tokenExpiration=datetime(2099, 1, 1),
                dateEffective=now,
                lastCheckTime=now,
            )
            if not added["OK"]:
                sys.exit(f"{name}: {added['Message']}")
