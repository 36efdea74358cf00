"""``snakemake-grid auth``: gets a PanDA token, or says how to get a proxy."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from ..backends.dirac.replies import RENEW
from ..backends.panda.credentials import (
    Credentials,
    client_environment,
    judge,
    preferred_variable,
    read_credentials,
    read_token_file,
    uses_tokens,
)
from ..backends.registry import kind_of
from ..model.errors import CredentialsError, GridError
from .server import python_option

_PROGRAM = Path(__file__).parents[1] / "backends" / "panda" / "login.py"
_LONG_ENOUGH = 3600.0  # seconds that a token without refresh has to be valid, as for a new run
_SOON = 300.0
_END = 20.0  # seconds in which panda-client may remove its files after Ctrl-C


@click.command(
    help="Get a token for PanDA: you log in on a web page of your VO. If you have a valid token, "
    "do nothing. Where PanDA or DIRAC uses proxies, print the command that makes one."
)
@click.option(
    "--backend",
    type=click.Choice(["dirac", "panda"]),
    help="System that the credentials are for (default: panda if a PANDA_… variable is set).",
)
@click.option("--force", is_flag=True, help="Get a new token even if the old one is valid.")
@python_option(kind_of("panda"), "this one")
def auth(backend: str | None, force: bool, panda_python: Path | None) -> None:
    """Read the credentials, and get a token if there is no valid one."""
    environment = os.environ
    if backend == "dirac":
        click.echo(f"For DIRAC, {RENEW}.")
    elif backend is None and not any(name.startswith("PANDA_") for name in environment):
        raise GridError(
            "for PanDA, source the setup script of your installation first, or set PANDA_AUTH, "
            f"PANDA_AUTH_VO and PANDA_URL_SSL; for DIRAC, {RENEW}."
        )
    elif uses_tokens(environment):
        _get_token(environment, panda_python or Path(sys.executable), force=force)
    else:
        proxy = read_credentials(environment, time.time())
        click.echo(f"The {proxy.in_words(time.time())}. For a new one, {proxy.renewal}.")


def _get_token(environment: Mapping[str, str], python: Path, *, force: bool) -> None:
    now = time.time()
    known: Credentials | None = None
    try:
        known = read_credentials(environment, now)
    except CredentialsError:
        if preferred_variable(environment, now):
            raise  # the variable overrides a new token
    if known and not force and _is_good(known, now):
        click.echo(f"The {known.in_words(now)}. Nothing to do (--force gets a new one).")
        return
    refresh = known is not None and known.refreshable and not force
    _log_in(environment, python, refresh=refresh)
    token = read_token_file(environment, time.time())
    click.echo(f"Done. The {token.in_words(time.time())}.")
    variable = preferred_variable(environment, time.time())
    if variable:
        click.echo(
            f"But {variable} is set, and its token is used until it expires: "
            f"'unset {variable}' to use the new one."
        )


def _is_good(token: Credentials, now: float) -> bool:
    if token.expires is not None and token.expires < now + _SOON:
        return False
    return not judge(token, _LONG_ENOUGH, now)


def _log_in(environment: Mapping[str, str], python: Path, *, refresh: bool) -> None:
    """Run panda-client, which asks the user to log in.

    Raises:
        GridError: It got no token.
    """
    command = [str(python), str(_PROGRAM), *(["refresh"] if refresh else [])]
    variables = client_environment(environment, time.time())
    variables["PYTHONUNBUFFERED"] = "1"  # shows its question at once
    try:
        process = subprocess.Popen(
            command, env=variables, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise GridError(f"{python} cannot be run: {error.strerror}.") from error
    with process:
        try:
            _, errors = process.communicate()
        except KeyboardInterrupt as error:  # both processes get it
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END)
            process.kill()
            raise GridError("interrupted: there is no new token.") from error
    if process.returncode != 0:
        lines = errors.strip().splitlines()
        reason = lines[-1] if lines else f"exit code {process.returncode}"
        advice = ""
        if "panda-client cannot be imported" in reason:
            advice = f"; name a Python that has it by --grid-panda-python (now {python})"
        raise GridError(f"there is no new token: {reason.rstrip('.')}{advice}.")
