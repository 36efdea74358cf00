"""Finds the paths of jobs that cannot mean the same on a worker, before anything is sent."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from ..model.errors import GridError
from ..model.job import title
from ..snakemake_api.workflow import WorkflowApi, names, products
from ..staging.paths import Layout, OutsideError, is_below

_MOST_READ = 16 << 20
# The worker starts Snakemake with its own --directory.
_WORKDIR = re.compile(r"^\s*workdir\s*:\s*f?['\"].*$", re.MULTILINE)
_COMMENT = re.compile(r"#.*$", re.MULTILINE)
_REMEDY = (
    "Write it relative to the working directory. In a configuration file it may be absolute, as a "
    "value of its own or in a list of texts: a worker gets it in its own form"
)


class PathCheck:
    """Checks the paths of a workflow's jobs."""

    def __init__(
        self, layout: Layout, workflow_api: WorkflowApi, files_read: Iterable[str] = ()
    ) -> None:
        """Set up the checks.

        Args:
            layout: Of the submit host.
            workflow_api: Snakemake's workflow.
            files_read: Absolute paths of the files that were read while the workflow was parsed.
        """
        self._layout = layout
        self._workflow_api = workflow_api
        self._files_read = files_read
        # A shell may know the working directory by a link; workers have this variable as well.
        shell = os.path.normpath(os.environ.get("PWD") or layout.workdir)
        bases = [str(layout.workdir)]
        if shell not in bases and os.path.realpath(shell) == os.path.realpath(layout.workdir):
            bases.append(shell)
        self._bases = tuple(bases)

    def check_all(self, jobs: Iterable[Any]) -> list[str]:
        """Return one message for each rule with a path that cannot work."""
        problems: dict[str, str] = {}
        for job in jobs:
            for member in self._workflow_api.members(job):
                try:
                    self.check([member])
                except GridError as error:
                    rule = title(member.name, self._workflow_api.wildcards(member).items())
                    problems.setdefault(member.name, f"rule {rule}: {error}")
        return list(problems.values())

    def check(self, members: Iterable[Any]) -> None:
        """Check all paths of some jobs.

        Raises:
            GridError: A path cannot work: names it and says what to do.
        """
        for member in members:
            for path in names(member.input):
                with contextlib.suppress(OutsideError):  # data of the site
                    self._check_climbs("input", path)
            for kind, path in products(member):
                try:
                    self._check_climbs(kind, path)
                except OutsideError as error:
                    raise GridError(
                        f"{kind} {path} is outside of the working directory; a job on the "
                        "grid can only write below it. Use a relative path"
                    ) from error
                if fault := self.fault(path):
                    raise GridError(f"{kind} {path} {fault}")

    def _check_climbs(self, kind: str, path: str) -> None:
        self._layout.member(path)
        if self._layout.follows_link(path):
            raise GridError(
                f"{kind} {path}: a folder before '..' is a link, so that this path leads elsewhere "
                "on a worker. Write it without '..'"
            )

    def uses_alias(self, path: str) -> bool:
        """Return whether an absolute path names the working directory by a link.

        A worker does not have the link, unless its site shares the file system.
        """
        return (
            path.startswith("/")
            and not any(is_below(os.path.normpath(path), base) for base in self._bases)
            and not self._workflow_api.config_paths.gives(path)
        )

    def fault(self, path: str) -> str:
        """Return why a path below the working directory means another file on a worker, or ""."""
        if not path.startswith("/") or self._workflow_api.config_paths.gives(path):
            return ""
        if self.uses_alias(path):
            return f"names the working directory by a link, which a worker does not have. {_REMEDY}"
        for literal, file in self._literals:
            if path.startswith(literal):
                shown = os.path.relpath(file, self._layout.workdir)
                return (
                    f"stands as an absolute path in {shown}, but a worker has another working "
                    f"directory. {_REMEDY}"
                )
        return ""

    @cached_property
    def _literals(self) -> list[tuple[str, str]]:
        """Absolute paths below the working directory that stand in files, and the files.

        A path that the workflow computes, as by ``os.path.abspath``, is right on a worker as well.
        """
        bases = "|".join(map(re.escape, self._bases))
        pattern = re.compile(rf"(?<![\w./-])(?:{bases})(?=$|[^\w.-])[^\s'\"`{{}}(),;|<>]*")
        found: dict[tuple[str, str], None] = {}
        for file in self._files_read:
            try:
                with Path(file).open(encoding="utf-8", errors="replace") as stream:
                    text = stream.read(_MOST_READ)
            except OSError:
                continue
            text = _COMMENT.sub("", _WORKDIR.sub("", text))
            found.update(dict.fromkeys((literal, file) for literal in pattern.findall(text)))
        return list(found)
