"""Make a proxy without asking a server; run by the server's Python.

Run as ``python proxy.py CERTIFICATE KEY GROUP SECONDS full|limited FILE``; negative seconds make a
proxy that has expired.
"""

from __future__ import annotations

import sys

from DIRAC.Core.Security.X509Chain import X509Chain

certificate, key, group, seconds, kind, file = sys.argv[1:]
chain = X509Chain()
for done in (
    chain.loadChainFromFile(certificate),
    chain.loadKeyFromFile(key),
    chain.generateProxyToFile(file, int(seconds), diracGroup=group, limited=kind == "limited"),
):
    if not done["OK"]:
        sys.exit(done["Message"])
