"""The files of a server: configurations of Rucio, of its clients, of Apache and of XRootD."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
from pathlib import Path

from tests.servers.stores.webdav import make_certificates

from .settings import ACCOUNT, PASSWORD, ROOT, ROOT_PASSWORD, WEB, Settings

NOBODY = 65534
"""User and group of Apache if root runs the tests."""
XROOTD_USER = "daemon"
"""User of XRootD if root runs the tests: it refuses to run as root."""
# What the tests do not use; `traces` needs a message broker.
_ENDPOINTS = (
    "accountlimits accounts archives auth config credentials dids export heartbeats identities "
    "import lifetime_exceptions locks meta_conventions ping redirect replicas requests rses rules "
    "scopes subscriptions vos"
)
_SERVER = """\
[common]
logdir = {logs}
loglevel = INFO
[database]
default = sqlite:///{folder}/server/rucio.db?timeout=30
schema =
[bootstrap]
userpass_identity = root
userpass_pwd = {password}
userpass_email = root@example.org
x509_identity = CN=Nobody
x509_email = root@example.org
gss_identity = nobody@EXAMPLE.ORG
gss_email = root@example.org
[policy]
permission = generic
schema = generic
lfn2pfn_algorithm_default = hash
support = nobody
[trace]
tracedir = {logs}
[alembic]
cfg = {folder}/server/etc/alembic.ini
[api]
endpoints = {endpoints}
"""
_ALEMBIC = """\
[alembic]
script_location = {rucio}/db/sqla/migrate_repo/
sqlalchemy.url = sqlite:///{folder}/server/rucio.db
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARN
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %(message)s
"""
# With a section [database] rucio-clients takes itself for a part of the server.
_CLIENT = """\
[client]
rucio_host = {url}
auth_host = {url}
auth_type = userpass
username = {account}
password = {password}
account = {account}
auth_token_file_path = {folder}/token
request_retries = 1
"""
# The first request to a folder is a test whether the server is there, so it has to be listed.
_APACHE = """\
ServerName 127.0.0.1
ServerRoot {storage}
PidFile {storage}/apache.pid
ErrorLog {storage}/apache-error.log
LogFormat "%m %U %>s" short
CustomLog {storage}/access.log short
DavLockDB {storage}/lock
Mutex file:{storage}
{modules}
Listen 127.0.0.1:{port}
DocumentRoot {data}
<Directory {data}>
    Dav On
    Options +Indexes
    EnableSendfile Off
</Directory>
RewriteEngine on
RewriteMap parents "prg:{storage}/make-parents"
RewriteCond %{{REQUEST_METHOD}} ^(PUT|MOVE)$
RewriteCond ${{parents:%{{REQUEST_URI}}}} =made
RewriteRule ^ -
SSLEngine on
SSLCertificateFile {storage}/server.pem
SSLCACertificateFile {storage}/ca/ca.pem
SSLVerifyClient optional
<Location />
    Require expr "%{{SSL_CLIENT_VERIFY}} == 'SUCCESS'"
</Location>
"""
_MODULES = "mpm_event authz_core dav dav_fs autoindex rewrite ssl"
# Makes the folder for a file that is uploaded, as grid storage does; Apache alone refuses it.
_MAKE_PARENTS = """\
#!/bin/sh
while read -r path; do
    mkdir -p "{data}${{path%/*}}"
    echo made
done
"""
_XROOTD = """
all.role server
all.export /store
all.adminpath {storage}/admin
all.pidpath {storage}/run
oss.localroot {root}
xrootd.chksum max 2 adler32
xrd.port {port}
xrd.network norpipa
xrd.allow host localhost
xrd.allow host {host}
"""


def write(settings: Settings) -> None:
    """Write all files; those of the storage elements are given to the users of their servers."""
    for folder in (settings.config.parent, settings.folder / "logs", settings.storage):
        folder.mkdir(parents=True, exist_ok=True)
    settings.folder.chmod(0o755)
    _write_rucio(settings)
    for account, password in (("root", ROOT_PASSWORD), (ACCOUNT, PASSWORD)):
        write_client(settings, settings.client(account), account, password)
    _write_storage(settings)


def write_client(settings: Settings, home: Path, account: str, password: str) -> None:
    """Write the configuration of a client into ``RUCIO_HOME``."""
    (home / "etc").mkdir(parents=True, exist_ok=True)
    text = _CLIENT.format(url=settings.url, account=account, password=password, folder=home)
    (home / "etc" / "rucio.cfg").write_text(text)


def _write_rucio(settings: Settings) -> None:
    values = {
        "folder": settings.folder,
        "logs": settings.folder / "logs",
        "password": ROOT_PASSWORD,
        "endpoints": ", ".join(_ENDPOINTS.split()),
        "rucio": settings.rucio,
    }
    settings.config.write_text(_SERVER.format(**values))
    (settings.config.parent / "alembic.ini").write_text(_ALEMBIC.format(**values))


def _write_storage(settings: Settings) -> None:
    storage = settings.storage
    for folder in ("admin", "run", "ca"):
        (storage / folder).mkdir(exist_ok=True)
    for rse in (WEB, ROOT):
        settings.data(rse).mkdir(parents=True, exist_ok=True)
    make_certificates(storage, settings.proxy)
    modules = [
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in _MODULES.split()
    ]
    values = {
        "storage": storage,
        "data": settings.data(WEB),
        "root": settings.data(ROOT).parent,
        "modules": "\n".join(modules),
        "host": socket.gethostname(),
    }
    (storage / "apache.conf").write_text(_APACHE.format(port=settings.ports["web"], **values))
    program = storage / "make-parents"
    program.write_text(_MAKE_PARENTS.format(**values))
    program.chmod(0o755)
    (storage / "xrootd.cf").write_text(_XROOTD.format(port=settings.ports["xrootd"], **values))
    if os.geteuid() == 0:
        _give_away(settings)


def _give_away(settings: Settings) -> None:
    """Make the users of Apache and XRootD the owners of what these write."""
    storage, xrootd = settings.storage, pwd.getpwnam(XROOTD_USER).pw_uid
    for path in (storage, settings.data(WEB), storage / "server.pem"):
        os.chown(path, NOBODY, NOBODY)
    root = settings.data(ROOT)
    for path in (storage / "admin", storage / "run", root, root.parent):
        os.chown(path, xrootd, -1)


def missing_programs() -> list[str]:
    """Return the programs that are not installed, each with its Debian package."""
    wanted = {
        "/usr/sbin/apache2": "apache2-bin",
        "xrootd": "xrootd-server",
        "xrdcp": "xrootd-client",
        "openssl": "openssl",
    }
    return [f"{name} ({package})" for name, package in wanted.items() if not shutil.which(name)]
