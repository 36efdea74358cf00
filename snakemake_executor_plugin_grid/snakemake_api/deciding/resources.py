"""The resources of a job as its command sees them: a mark in the place of ``tmpdir``.

Snakemake leaves ``tmpdir`` undecided on the submit host, as ``<TBD>`` (``Job.resources``, 9.27):
the worker decides. A workflow may demand a folder; only constants are taken from it.
"""

from __future__ import annotations

import ast
import os
import re
import secrets
from collections.abc import Iterable
from typing import Any

from snakemake.common.tbdstring import TBDString

from ...worker.decided.decision import TMPDIR
from .decided import Unsupported

_PARENT = f"grid-tmpdir-parent-{secrets.token_hex(8)}"
_NAME = f"grid-tmpdir-name-{secrets.token_hex(8)}"
TOKEN = f"/<{_PARENT}>/<{_NAME}>"
"""Stands for the folder of temporary files while a command is made; no workflow contains it.

It is an absolute path with a parent, so that a part of it (``os.path.basename``) is recognised.
"""
COMPUTES = "it computes with resources.tmpdir, which only the worker knows"
"""Why a job with a function of the folder of temporary files is not decided."""


def tmpdir_of(rule: Any) -> str | None:
    """Return the folder of temporary files that a rule demands.

    Args:
        rule: ``snakemake.rules.Rule``.

    Returns:
        Its path; empty for the job's own; None if the rule has no resource ``tmpdir``.

    Raises:
        Unsupported: Only the worker can evaluate it.
    """
    if "tmpdir" not in rule.resources:
        return None
    resource = rule.resources["tmpdir"]
    value, raw = resource._value, resource.raw
    if raw == "system_tmpdir":
        return ""
    if not resource.is_evaluable():
        if isinstance(value, str | os.PathLike) and not isinstance(value, TBDString):
            return os.fspath(value)
    elif isinstance(raw, str) and not set("$~") & set(raw):
        if raw.startswith("/"):
            return raw  # no expression, so Snakemake takes it as it is
        try:
            constant = ast.literal_eval(raw)
        except (ValueError, SyntaxError):
            constant = None
        if isinstance(constant, str):
            return constant
    raise Unsupported("its resource tmpdir is evaluated on the worker")


def with_tmpdir(resources: Any, folder: str | None, mark: str) -> Any:
    """Return a copy of the resources with a folder or mark as ``tmpdir``.

    Args:
        resources: ``snakemake.iocontainers.ResourceList``.
        folder: As `tmpdir_of` returns it.
        mark: For the job's own folder.
    """
    # Snakemake has them in the order of a set, another one in each process.
    values = dict(sorted(resources.items()))
    if folder is not None and "tmpdir" in values:
        values["tmpdir"] = folder or mark
    return type(resources)(fromdict=values)


def without(resources: Any, names: Iterable[str]) -> Any:
    """Return a copy of the resources without some."""
    left = {name: value for name, value in resources.items() if name not in set(names)}
    return type(resources)(fromdict=left)


def marked(text: str) -> str:
    """Put the worker's mark in the place of `TOKEN`.

    Raises:
        Unsupported: A function of the workflow has changed it, or has made it a part of a path.
    """
    whole, lower = text.count(TOKEN), text.lower()
    # A relative path to it begins with "..".
    if {lower.count(_PARENT), lower.count(_NAME)} != {whole} or re.search(f"[./]{TOKEN}", text):
        raise Unsupported(COMPUTES)
    return text.replace(TOKEN, TMPDIR)


def has_undecided(values: Any) -> bool:
    """Return whether values, however deep, contain one that Snakemake could not decide yet."""
    return str(TBDString()) in repr(values)
