"""The environment of the payload: what a program needs to run, and what ``envvars:`` names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .processes import MARK

_KEPT = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "OMP_NUM_THREADS",
}
# Software areas, containers, certificates, proxies of either kind: the site's own settings.
_KEPT_PREFIXES = (
    "LC_",
    "X509_",
    "SSL_CERT_",
    "CVMFS_",
    "VO_",
    "APPTAINER_",
    "SINGULARITY_",
    "CONDA_",
    "MAMBA_",
    "MODULE",
    "LMOD_",
)
_SECRETS = ("PASSWORD", "TOKEN", "SECRET")
_PROXIES = {"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"}


def payload_environment(
    site: Mapping[str, str], declared: Mapping[str, str], scratch: Path, name: str
) -> dict[str, str]:
    """Return the environment in which the payload runs.

    Args:
        site: The worker's own environment.
        declared: Values of the variables that ``envvars:`` names, as on the submit host.
        scratch: Folder of the job, for temporary files and, where there is no usable home, HOME.
        name: Unique name of the job.
    """
    env = {
        key: value
        for key, value in site.items()
        if (key in _KEPT or key.startswith(_KEPT_PREFIXES) or key.lower() in _PROXIES)
        and not key.endswith(_SECRETS)
    }
    env.setdefault("PATH", os.defpath)
    env.setdefault("LANG", "C.UTF-8")
    temporary = scratch / "tmp"
    temporary.mkdir(exist_ok=True)
    env["TMPDIR"] = env["TMP"] = env["TEMP"] = str(temporary)
    # Worker nodes often have no home, or one that cannot be written; Snakemake needs a cache.
    home = env.get("HOME", "")
    if not home or not os.access(home, os.W_OK):
        (scratch / "home").mkdir(exist_ok=True)
        env["HOME"] = str(scratch / "home")
    (scratch / "cache").mkdir(exist_ok=True)
    env["XDG_CACHE_HOME"] = str(scratch / "cache")
    env["PYTHONUNBUFFERED"] = "1"
    env.update(declared)
    env[MARK] = name
    return env
