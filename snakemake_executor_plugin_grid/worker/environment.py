"""The environment of the payload: variables of the site, and those that ``envvars:`` names."""

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
    # For DIRAC's commands: the job id, and a switch (not a secret) to use tokens.
    "JOBID",
    "DIRAC_USE_ACCESS_TOKEN",
    # Where bash gets the function `module` of environment modules from, when it runs a script.
    "BASH_ENV",
}
# Settings of the site: software areas, containers, certificates, proxies. DIRAC's commands need
# DIRAC* and the settings of the transfer libraries (diracosrc of DIRACOS 2). PYTHONPATH, PYTHONHOME
# and PYTHONWARNINGS of DIRACOS would break the Python of the payload, so they are not passed on.
_KEPT_PREFIXES = (
    "LC_",
    "X509_",
    "DIRAC",
    "DAVIX_",
    "XRD_",
    "SSL_CERT_",
    "CVMFS_",
    "VO_",
    "APPTAINER_",
    "SINGULARITY_",
    "MODULE",
    "LMOD_",
    "BASH_FUNC_",
)
_CONDA = ("CONDA_", "MAMBA_")
_SECRETS = ("PASSWORD", "TOKEN", "SECRET")
_PROXIES = {"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"}


STORE_TOKEN = "GRID_STORE_TOKEN"  # noqa: S105 - a name
"""Name, among the ``envvars:`` values, of the token by which the worker accesses the store."""


def payload_environment(
    site: Mapping[str, str], declared: Mapping[str, str], scratch: Path, name: str
) -> dict[str, str]:
    """Return the environment in which the payload runs.

    Args:
        site: The worker's own environment.
        declared: Variables that ``envvars:`` names, with their values on the submit host.
        scratch: Folder of the job, for temporary files and, without a usable home, for HOME.
        name: Unique name of the job.
    """
    # In a DIRAC pilot, Conda's variables point to DIRACOS, not to the user's packages.
    prefixes = _KEPT_PREFIXES if site.get("DIRACOS") else _KEPT_PREFIXES + _CONDA
    env = {
        key: value
        for key, value in site.items()
        if key in _KEPT
        or key.lower() in _PROXIES
        or (key.startswith(prefixes) and not key.endswith(_SECRETS))
    }
    env.setdefault("PATH", os.defpath)
    env.setdefault("LANG", "C.UTF-8")
    temporary = scratch / "tmp"
    temporary.mkdir(exist_ok=True)
    env["TMPDIR"] = env["TMP"] = env["TEMP"] = str(temporary)
    # Worker nodes often have no writable home, and Snakemake needs a cache.
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


def without_bash(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` without bash's functions and start file, which belong to the node."""
    return {
        name: value
        for name, value in env.items()
        if name != "BASH_ENV" and not name.startswith("BASH_FUNC_")
    }


def wheels_environment(env: Mapping[str, str], folder: str) -> dict[str, str]:
    """Return `env` changed so that Python and its child processes find the packages in `folder`.

    The node's own `PYTHONPATH` and `PYTHONHOME` and the user's site-packages are left out: they
    usually belong to another Python.
    """
    kept = {name: value for name, value in env.items() if name != "PYTHONHOME"}
    path = os.pathsep.join(part for part in (f"{folder}/bin", env.get("PATH", "")) if part)
    return {**kept, "PATH": path, "PYTHONPATH": folder, "PYTHONNOUSERSITE": "1"}
