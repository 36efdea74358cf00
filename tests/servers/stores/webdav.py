"""WebDAV by Debian's Apache (package ``apache2-bin``): mod_dav behind a bearer token.

Four ports: a plain server; the same with TLS, where a client certificate serves as well as the
token; a door that sends PUT and GET on to a pool, as dCache's does; and the pool, which refuses
whoever shows a token.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.servers.ports import free_port
from tests.servers.stores import wait_for

PROGRAM = "/usr/sbin/apache2"
TOKEN = "a.good.token"
_MODULES = "mpm_event authz_core dav dav_fs rewrite ssl"
_NOBODY = 65534

_CONFIG = """\
ServerName 127.0.0.1
ServerRoot {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
LogFormat "%{{msec}}t %p %m %U %>s" short
CustomLog {folder}/access.log short
DavLockDB {folder}/lock
KeepAlive On
Mutex file:{folder}
{modules}
DocumentRoot {folder}/data
<Directory {folder}/data>
    Dav On
    EnableSendfile Off
</Directory>
Define BEARER "%{{HTTP:Authorization}} == 'Bearer ' . file('{folder}/token')"
<VirtualHost 127.0.0.1:{port}>
    <Location />
        Require expr ${{BEARER}}
    </Location>
</VirtualHost>
<VirtualHost 127.0.0.1:{tls_port}>
    SSLEngine on
    SSLCertificateFile {folder}/server.pem
    SSLCACertificateFile {folder}/ca/ca.pem
    SSLVerifyClient optional
    <Location />
        <RequireAny>
            Require expr ${{BEARER}}
            Require expr "%{{SSL_CLIENT_VERIFY}} == 'SUCCESS'"
        </RequireAny>
    </Location>
</VirtualHost>
<VirtualHost 127.0.0.1:{door_port}>
    <Location />
        Require expr ${{BEARER}}
    </Location>
    RewriteEngine on
    RewriteCond %{{REQUEST_METHOD}} ^(PUT|GET)$
    RewriteCond %{{HTTP:Authorization}} "=Bearer {token}"
    RewriteRule ^(.*)$ http://127.0.0.1:{pool_port}$1?once=secret [R=307,L]
</VirtualHost>
<VirtualHost 127.0.0.1:{pool_port}>
    <Location />
        Require expr "-z %{{HTTP:Authorization}} && %{{QUERY_STRING}} == 'once=secret'"
    </Location>
</VirtualHost>
"""


class WebDavServer:
    """Can be stopped and started again without losing its files."""

    def __init__(self) -> None:
        # Not in pytest's folder: if root runs the tests, Apache runs as another user.
        self.folder = Path(tempfile.mkdtemp(prefix="webdav-"))
        self.data = self.folder / "data"
        self.data.mkdir()
        self.port, self.tls_port = free_port(), free_port()
        self.door_port, self.pool_port = free_port(), free_port()
        self.url = f"dav://127.0.0.1:{self.port}"
        self.tls_url = f"davs://127.0.0.1:{self.tls_port}"
        self.door_url = f"dav://127.0.0.1:{self.door_port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._cleared = 0  # ms since the epoch
        self.set_token(TOKEN)
        (self.folder / "ca").mkdir()
        self.proxy = self.folder / "proxy.pem"
        make_certificates(self.folder, self.proxy)
        config = _CONFIG.format(
            folder=self.folder,
            token=TOKEN,
            modules=self._modules(),
            port=self.port,
            tls_port=self.tls_port,
            door_port=self.door_port,
            pool_port=self.pool_port,
        )
        (self.folder / "apache.conf").write_text(config)
        self._give_away()

    @property
    def ca_folder(self) -> Path:
        """Value for ``X509_CERT_DIR``."""
        return self.folder / "ca"

    def start(self) -> None:
        """Start to listen, if stopped."""
        if self._process is not None and self._process.poll() is None:
            return
        root = os.geteuid() == 0
        self._process = subprocess.Popen(
            [PROGRAM, "-f", str(self.folder / "apache.conf"), "-DFOREGROUND"],
            user=_NOBODY if root else None,
            group=_NOBODY if root else None,
            extra_groups=[] if root else None,
        )
        wait_for(self.port)

    def stop(self) -> None:
        """Stop listening."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def close(self) -> None:
        """Stop, and remove all files."""
        self.stop()
        shutil.rmtree(self.folder)

    def clear(self) -> None:
        """Remove the files of clients, forget their requests, and accept the first token again."""
        for path in self.data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._cleared = int(time.time() * 1000)
        self.set_token(TOKEN)

    def set_token(self, token: str) -> None:
        """Set the token that is accepted from now on."""
        (self.folder / "token").write_text(token)

    def requests(self) -> list[str]:
        """Return the requests so far: port, method, path, status."""
        log = self.folder / "access.log"
        before, text = "", None
        while text != before:  # Apache writes a line after it has answered
            before = log.read_text() if log.exists() else ""
            time.sleep(0.1)
            text = log.read_text() if log.exists() else ""
        found = (line.partition(" ") for line in text.splitlines())
        # Lines about earlier requests may have come late.
        return [line for at, _, line in found if int(at) >= self._cleared]

    def files(self) -> dict[str, int]:
        """Return all files with their sizes."""
        return {
            str(path.relative_to(self.data)): path.stat().st_size
            for path in self.data.rglob("*")
            if path.is_file() and ".DAV" not in path.parts
        }

    def _modules(self) -> str:
        folder = "/usr/lib/apache2/modules"
        lines = [f"LoadModule {name}_module {folder}/mod_{name}.so" for name in _MODULES.split()]
        ports = (self.port, self.tls_port, self.door_port, self.pool_port)
        return "\n".join([*lines, *(f"Listen 127.0.0.1:{port}" for port in ports)])

    def _give_away(self) -> None:
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, _NOBODY, _NOBODY)


def make_certificates(folder: Path, proxy: Path) -> None:
    """Write a CA for X509_CERT_DIR, the server's certificate, and a user's certificate and key."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, now = _name("Test CA"), datetime.datetime.now(datetime.UTC)

    def issue(name: x509.Name, public: object, *extensions: x509.ExtensionType) -> str:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(public)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        signed = builder.sign(ca_key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    ca = folder / "ca" / "ca.pem"
    ca.write_text(issue(ca_name, ca_key.public_key(), x509.BasicConstraints(True, None)))
    (folder / "server.pem").write_text(
        issue(_name("127.0.0.1"), key.public_key(), address) + private
    )
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    proxy.write_text(issue(_name("A User"), key.public_key(), usage) + private)
    proxy.chmod(0o600)
    hashed = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(ca)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (folder / "ca" / f"{hashed}.0").symlink_to("ca.pem")


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
