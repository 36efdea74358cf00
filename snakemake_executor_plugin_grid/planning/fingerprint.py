"""Tells whether a job that an earlier run has left is still the same job."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..model.job import JobSpec
from ..snakemake_api.rerun import doing
from ..snakemake_api.workflow import Internals, names


class Identities:
    """Digests of what jobs do, and with what.

    By the measures of Snakemake's own rerun triggers: code, parameters, software, and inputs by
    name, size and time; also what the shell command became, the contents of scripts, and for rules
    that can read it the configuration. Resources and attempts make no difference.
    """

    def __init__(self, workflow: Any, workdir: Path, context: Iterable[str]) -> None:
        """Look at a workflow.

        Args:
            workflow: Snakemake's.
            workdir: Its working directory.
            context: What else has to be the same for all jobs, such as the URL of the store.
        """
        self._workflow = workflow
        self._workdir = workdir
        self._context = list(context)
        self._states: dict[str, list[tuple[str, int, int]]] = {}

    def of(self, job: Any, spec: JobSpec) -> str:
        """Return the identity of a job.

        Args:
            job: Snakemake's.
            spec: What was made of it.
        """
        facts = [
            self._context,
            # The jobs of a group come in no order.
            sorted(_text(doing(self._workflow, one)) for one in Internals.members(job)),
            # Not what it updates in place, which it may have done.
            [self._state(path) for path in sorted(set(names(job.input)))],
            sorted([output.name, output.kind, output.required] for output in spec.outputs),
            sorted(spec.placeholders),
        ]
        return hashlib.sha256(_text(facts).encode("utf-8", "surrogateescape")).hexdigest()

    def begin(self) -> None:
        """Look at all files anew; between two such calls they are looked at once."""
        self._states.clear()

    def _state(self, path: str) -> list[tuple[str, int, int]]:
        if path not in self._states:
            self._states[path] = list(self._look(path))
        return self._states[path]

    def _look(self, path: str) -> Iterator[tuple[str, int, int]]:
        """Yield size and time in ns of a file, or of all that is in a folder."""
        top = self._workdir / path
        if not top.is_dir():
            yield path, *_size_and_time(top)
            return
        for folder, folders, files in os.walk(top):
            folders.sort()
            for name in sorted(files):
                file = Path(folder, name)
                yield os.path.relpath(file, self._workdir), *_size_and_time(file)


def _text(facts: object) -> str:
    return json.dumps(facts, sort_keys=True, default=repr)


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, 0  # planning says what is wrong with it
    return status.st_size, status.st_mtime_ns
