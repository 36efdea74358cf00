"""Fingerprints of jobs: a run compares them to see whether an earlier run's job is still valid."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..model.job import JobSpec
from ..snakemake_api.deciding.decided import Decided
from ..snakemake_api.deciding.identity import identity
from ..snakemake_api.deciding.paths import SOURCES
from ..snakemake_api.rerun import rerun_facts
from ..snakemake_api.workflow import WorkflowApi, names, source_paths
from ..worker.decided.decision import variable_mark


class Fingerprints:
    """Computes the fingerprint of a job: a digest of what it does, and of its inputs.

    It covers what Snakemake's own rerun triggers cover: code, parameters, software, and the name,
    size and time of each input. For a decided job that is the decision itself. For others it also
    covers the expanded shell command, the contents of the script and, for rules that can read it,
    the configuration; resources and the attempt are not part of it.
    """

    def __init__(self, workflow: Any, workdir: Path, context: Iterable[str]) -> None:
        """Set up the fingerprints of a run.

        Args:
            workflow: Snakemake's workflow.
            workdir: Its working directory.
            context: Texts that are part of every fingerprint, such as the URL of the store.
        """
        self._workflow = workflow
        self._workdir = workdir
        self._context = list(context)
        self._states: dict[str, list[tuple[str, int, int]]] = {}

    def of(self, job: Any, spec: JobSpec, decided: Decided | None) -> str:
        """Return the fingerprint of a job.

        Args:
            job: Snakemake's job or group.
            spec: The specification made from it.
            decided: What was decided about it.
        """
        # Files that the job updates in place are left out: it may have changed them already.
        read = {*names(job.input), *source_paths(job.input)}
        facts = [
            self._context,
            self._does(job, decided),
            [self._state(path) for path in sorted(read)],
            [self._file(name, path) for name, path in sorted(spec.files)],
            sorted([output.name, output.kind, output.required] for output in spec.outputs),
            sorted(spec.placeholders),
            [[one.query, one.size, one.adler32, one.mtime_ns] for one in spec.grid_inputs],
            [[one.query, one.url, one.element] for one in spec.grid_outputs],
        ]
        return hashlib.sha256(_text(facts).encode("utf-8", "surrogateescape")).hexdigest()

    def _does(self, job: Any, decided: Decided | None) -> list[str]:
        if decided is not None:
            text = identity(decided.decision)
            # Not the values of all envvars:, which may be tokens that are renewed.
            variables = WorkflowApi(self._workflow).variables().items()
            shown = {name: value for name, value in variables if variable_mark(name) in text}
            return ["decided", text, _text(shown), _text(dict(decided.environment))]
        # Snakemake lists the jobs of a group in no fixed order.
        return sorted(_text(rerun_facts(self._workflow, one)) for one in WorkflowApi.members(job))

    def begin(self) -> None:
        """Forget the cached state of all files; until the next call each file is read once."""
        self._states.clear()

    def _state(self, path: str) -> list[tuple[str, int, int]]:
        if path not in self._states:
            self._states[path] = list(self._stat(path))
        return self._states[path]

    def _file(self, name: str, path: str) -> list[tuple[str, int, int]] | list[str]:
        """Return the state of a file that is no input, by its name on the worker.

        Snakemake makes its copies of sources anew in each run, some with the current time.
        """
        if f"/{SOURCES}/" not in name:
            return [(name, *state[1:]) for state in self._state(path)]
        return [name, hashlib.sha256(Path(path).read_bytes()).hexdigest()]

    def _stat(self, path: str) -> Iterator[tuple[str, int, int]]:
        """Yield name, size and time in ns of a file, or of every file in a folder."""
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
        return -1, 0  # the upload reports the error
    return status.st_size, status.st_mtime_ns
