"""Let DISET clients try again when a TLS handshake fails; run by the server's Python.

About one handshake in a thousand fails with "Connection reset by peer" or "peer did not return
certificate" (M2Crypto 0.51). DIRAC does not try again. In a job wrapper that is a job rescheduled,
which waits for a minute. The tests' own clients are as DIRAC has them.
"""

from __future__ import annotations

import time

from DIRAC.Core.DISET.private.Transports.M2SSLTransport import SSLTransport
from M2Crypto.SSL import SSLError
from M2Crypto.SSL.Checker import SSLVerificationError

_ATTEMPTS = 4
_original = SSLTransport.initAsClient


def init_as_client(self):
    for attempt in range(1, _ATTEMPTS):
        try:
            return _original(self)
        except (SSLError, SSLVerificationError):
            time.sleep(0.1 * attempt)
    return _original(self)


SSLTransport.initAsClient = init_as_client
