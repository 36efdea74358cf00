"""Run DIRAC's HTTPS services on loopback only; run by the server's Python.

Run as ``python launch_tornado.py PORT SERVICE... [DIRAC's options]``. DIRAC needs a Tornado of its
own, whose streams can be replaced by those of M2Crypto. Here the usual one serves: Python's ssl
module also checks proxy certificates when told to.
"""

from __future__ import annotations

import collections
import collections.abc
import os
import ssl
import sys
from pathlib import Path

# Tornado 5 looks for them there.
for name in ("Callable", "Iterable", "Mapping", "MutableMapping"):
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))
os.environ["DIRAC_USE_TORNADO_IOLOOP"] = "True"

import _ssl  # noqa: E402

import tornado.httpserver  # noqa: E402
import tornado.httputil  # noqa: E402
import tornado.iostream  # noqa: E402


def _ignore(*_args, **_options):
    """Replace the ``configure`` of DIRAC's own Tornado."""


tornado.iostream.SSLIOStream.configure = _ignore
tornado.httputil.HTTPServerRequest.configure = _ignore


class PeerCertificate:
    """A certificate with the methods of M2Crypto that DIRAC calls."""

    def __init__(self, der: bytes) -> None:
        self._der = der

    def as_pem(self) -> bytes:
        return ssl.DER_cert_to_PEM_cert(self._der).encode()


def _chain(request):
    certificates = request.connection.stream.socket._sslobj.get_unverified_chain()
    return [PeerCertificate(c.public_bytes(_ssl.ENCODING_DER)) for c in certificates]


tornado.httputil.HTTPServerRequest.get_ssl_certificate = lambda self, binary_form=False: _chain(
    self
)[0]
tornado.httputil.HTTPServerRequest.get_ssl_certificate_chain = lambda self: _chain(self)[1:]


class LoopbackServer(tornado.httpserver.HTTPServer):
    """The HTTPS server, with proxy certificates allowed."""

    def initialize(self, app, ssl_options, **options):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(ssl_options["certfile"], ssl_options["keyfile"])
        for certificate in Path(ssl_options["ca_certs"]).glob("*.0"):
            context.load_verify_locations(certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_ALLOW_PROXY_CERTS
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        super().initialize(app, ssl_options=context, **options)

    def listen(self, port, address=""):
        super().listen(port, "127.0.0.1")


from DIRAC import gLogger  # noqa: E402
from DIRAC.ConfigurationSystem.Client.ConfigurationData import gConfigurationData  # noqa: E402
from DIRAC.ConfigurationSystem.private.Refresher import gRefresher  # noqa: E402
from DIRAC.Core.Base.Script import Script  # noqa: E402
from DIRAC.Core.Tornado.Server import TornadoServer  # noqa: E402
from DIRAC.Core.Utilities.DErrno import includeExtensionErrors  # noqa: E402

TornadoServer.HTTPServer = LoopbackServer


def main(port: int, services: list[str]) -> None:
    """Do what DIRAC's tornado_start_all and tornado_start_CS do."""
    is_configuration = services == ["Configuration/Server"]
    if is_configuration and gConfigurationData.isMaster():
        gRefresher.disable()
    if not is_configuration:
        Script.localCfg.setConfigurationForTornado()
    Script.localCfg.addDefaultEntry("/DIRAC/Security/UseServerCertificate", "yes")
    loaded = Script.localCfg.loadUserData()
    if not loaded["OK"]:
        sys.exit(f"Cannot read the configuration: {loaded['Message']}")
    includeExtensionErrors()
    gLogger.initialize("Tornado-CS" if is_configuration else "Tornado", "/")
    TornadoServer.TornadoServer(services=services, port=port).startTornado()


if __name__ == "__main__":
    asked_port = int(sys.argv.pop(1))
    asked = [argument for argument in sys.argv[1:] if "/" in argument]
    sys.argv[:] = ["tornado-start", *(a for a in sys.argv[1:] if "/" not in a)]
    main(asked_port, asked)
