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
from ..snakemake_api.grid_files import impossible
from ..snakemake_api.workflow import WorkflowApi, names, products
from ..staging.paths import Layout, OutsideError, is_below
from ..worker.description import WORKDIR
from ..worker.tree import ancestry

_MOST_READ = 16 << 20
# The worker starts Snakemake with its own --directory.
_WORKDIR = re.compile(r"^\s*workdir\s*:\s*f?['\"].*$", re.MULTILINE)
_COMMENT = re.compile(r"#.*$", re.MULTILINE)
_REMEDY = (
    "Write it relative to the working directory. In a configuration file it may be absolute, as a "
    "text of its own that stands in the file as it is"
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
        # PWD may lead through a link to the working directory. Workers set PWD as well.
        shell = os.path.normpath(os.environ.get("PWD") or layout.workdir)
        bases = [str(layout.workdir)]
        if shell not in bases and os.path.realpath(shell) == os.path.realpath(layout.workdir):
            bases.append(shell)
        self._bases = tuple(bases)

    def check_all(self, jobs: Iterable[tuple[Any, bool]]) -> list[str]:
        """Return one message for each rule with a path that cannot work.

        Args:
            jobs: Jobs and groups, each with whether its commands are decided here.
        """
        problems: dict[str, str] = {}
        for job, decided in jobs:
            for member in self._workflow_api.members(job):
                try:
                    self.check([member], decided=decided)
                except GridError as error:
                    rule = title(member.name, self._workflow_api.wildcards(member).items())
                    problems.setdefault(member.name, f"rule {rule}: {error}")
        return list(problems.values())

    def check(self, members: Iterable[Any], *, decided: bool = False) -> None:
        """Check all paths of some jobs.

        Args:
            members: Single jobs.
            decided: Whether their commands are decided here: then the worker puts its working
                directory into absolute paths.

        Raises:
            GridError: A path cannot work: names it and says what to do.
        """
        for member in members:
            for problem in impossible(member):
                raise GridError(problem)
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
                if not decided and (fault := self.fault(path)):
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
        if not path.startswith("/"):
            return False
        given, origin = self._workflow_api.config_paths.origin(path)
        translated = given and not origin
        return not translated and not any(
            is_below(os.path.normpath(path), base) for base in self._bases
        )

    def fault(self, path: str) -> str:
        """Return why a path below the working directory means another file on a worker, or ""."""
        if not path.startswith("/"):
            return ""
        given, origin = self._workflow_api.config_paths.origin(path)
        if origin:
            return f"comes from {origin}, where it cannot be translated for a worker. {_REMEDY}"
        if self.uses_alias(path):
            return f"names the working directory by a link, which a worker does not have. {_REMEDY}"
        marked = self._layout.on_worker(path)
        found = [folder for folder in ancestry(marked) if folder in self._literals]
        found += [
            text for text in self._literals if text[-1] == "{" and marked.startswith(text[:-1])
        ]
        for literal in found:
            # A shorter one may be the default of what the configuration gives.
            if len(literal.rstrip("{")) > len(given):
                shown = os.path.relpath(self._literals[literal], self._layout.workdir)
                return (
                    f"stands as an absolute path in {shown}, but a worker has another working "
                    f"directory. {_REMEDY}"
                )
        return ""

    @cached_property
    def _literals(self) -> dict[str, str]:
        """Paths below the working directory, as on a worker, that stand in files, and the files.

        A path that the workflow computes, as by ``os.path.abspath``, is right on a worker as well.
        The working directory itself does not count: ``sys.path`` and the like name it. What ends
        with ``{`` goes on with a wildcard.
        """
        bases = "|".join(map(re.escape, self._bases))
        pattern = re.compile(
            rf"(?<![\w./-])((?:{bases})(?=$|[^\w.-])[^\s'\"`{{}}()\[\],;|<>]*)({{?)"
        )
        found: dict[str, str] = {}
        for file in self._files_read:
            try:
                with Path(file).open(encoding="utf-8", errors="replace") as stream:
                    text = stream.read(_MOST_READ)
            except OSError:
                continue
            text = _COMMENT.sub("", _WORKDIR.sub("", text))
            for literal, brace in pattern.findall(text):
                marked = self._layout.on_worker(literal.rstrip(":"))
                if marked.rstrip("/") != WORKDIR:
                    found.setdefault(marked + brace if brace else marked.rstrip("/"), file)
        return found
