"""Records each submission and each result, before and after the action."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from ..model.job import JobSpec, title
from ..model.state import JobStatus
from ..model.tracked import TrackedJob
from .database import Database
from .durations import Durations
from .records import JOB_COLUMNS, OPEN_PHASES, JobRecord, Phase
from .write_queue import Write

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    name TEXT PRIMARY KEY,
    run TEXT NOT NULL,
    rule TEXT NOT NULL,
    wildcards TEXT NOT NULL,
    jobid TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    backend TEXT NOT NULL,
    grid_id TEXT,
    phase TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    changed REAL NOT NULL,
    report TEXT,
    origin TEXT NOT NULL DEFAULT '',
    endpoint TEXT NOT NULL DEFAULT '',
    needs_cleanup INTEGER NOT NULL DEFAULT 0,
    identity TEXT NOT NULL DEFAULT '',
    outputs TEXT NOT NULL DEFAULT '[]',
    requested TEXT NOT NULL DEFAULT '{}',
    state TEXT NOT NULL DEFAULT '',
    site TEXT NOT NULL DEFAULT '',
    began REAL,
    sent REAL,
    accepted REAL,
    running REAL,
    ended REAL,
    finished REAL,
    decision TEXT NOT NULL DEFAULT '',
    grid_outputs TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_phase ON jobs (phase);
CREATE INDEX IF NOT EXISTS jobs_origin ON jobs (origin);
CREATE INDEX IF NOT EXISTS jobs_rule ON jobs (rule, finished);
CREATE TABLE IF NOT EXISTS decisions (
    digest TEXT PRIMARY KEY,
    data BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    name TEXT PRIMARY KEY,
    backend TEXT NOT NULL,
    store TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    settings TEXT NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    end TEXT NOT NULL DEFAULT '',
    stored_bytes INTEGER NOT NULL DEFAULT 0,
    reused_bytes INTEGER NOT NULL DEFAULT 0,
    trouble TEXT NOT NULL DEFAULT '',
    trouble_since REAL
) WITHOUT ROWID;
"""
_LATELY = 7 * 86400.0  # seconds
_KEPT = 90 * 86400.0
"""Seconds after its last change at which the decision of a job is forgotten."""
_OPEN = tuple(phase.value for phase in OPEN_PHASES)
_COLUMNS = ", ".join(JOB_COLUMNS)


class Journal:
    """Writes the ``jobs`` and ``runs`` tables; times in them are seconds since the epoch.

    What notes something returns at once, and is written in order. What must be on disk before an
    effect outside has to be awaited before it.

    Attributes:
        endpoint: Server that the backend submits to; has to be set before the first job.
        durations: How long jobs of rules usually take.
    """

    def __init__(
        self, database: Database, run: str, backend: str, troubles: dict[str, str] | None = None
    ) -> None:
        """Write for one run.

        Args:
            database: Where to write.
            run: Id of the run.
            backend: Name of the backend; for the run itself, those of all.
            troubles: Shared by the journals of a run with several backends.
        """
        database.create(_SCHEMA)
        self._database = database
        self._run = run
        self._backend = backend
        self._troubles = {} if troubles is None else troubles
        self.durations = Durations(database, backend)
        self.endpoint = ""

    def begin_run(self, store: str, settings: Mapping[str, object]) -> Write:
        """Note that the run begins.

        Args:
            store: URL of its store.
            settings: Options that differ from their defaults, as values that JSON can hold.
        """
        return self._database.write(
            "INSERT OR REPLACE INTO runs (name, backend, store, host, pid, settings, started) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    self._run,
                    self._backend,
                    store,
                    socket.gethostname(),
                    os.getpid(),
                    json.dumps(dict(settings)),
                    time.time(),
                )
            ],
        )

    def end_run(self, end: str, stored_bytes: int, reused_bytes: int) -> Write:
        """Note how the run ended.

        Args:
            end: ``finished``, ``failed``, ``cancelled``, or ``left`` (its jobs stay on the grid).
            stored_bytes: Bytes that it put into the store.
            reused_bytes: Bytes that were in the store already.
        """
        return self._database.write(
            "UPDATE runs SET ended=?, end=?, stored_bytes=?, reused_bytes=?, trouble='', "
            "trouble_since=NULL WHERE name=?",
            [(time.time(), end, stored_bytes, reused_bytes, self._run)],
        )

    def trouble(self, words: str) -> Write:
        """Note what the run waits for, such as a server; empty when it no longer waits."""
        self._troubles[self._backend] = words
        words = "; ".join(filter(None, self._troubles.values()))
        return self._database.write(
            "UPDATE runs SET trouble=?, "
            "trouble_since=CASE ? WHEN '' THEN NULL ELSE coalesce(trouble_since, ?) END "
            "WHERE name=?",
            [(words, words, time.time(), self._run)],
        )

    def submitting(self, jobs: Sequence[TrackedJob]) -> Write:
        """Note that these jobs are about to be submitted."""
        now = time.time()
        texts = {job.spec.name: decision.dumps() for job in jobs if (decision := job.spec.decision)}
        digests = {name: text_digest(text) for name, text in texts.items()}
        _ = self._database.write(
            "INSERT OR IGNORE INTO decisions (digest, data) VALUES (?, ?)",
            [(digests[name], zlib.compress(text.encode())) for name, text in texts.items()],
        )
        return self._database.write(
            "INSERT INTO jobs (name, run, rule, wildcards, jobid, attempt, backend, phase, changed,"
            " origin, endpoint, identity, outputs, requested, began, sent, decision, grid_outputs)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    job.spec.name,
                    self._run,
                    job.spec.rule,
                    json.dumps(dict(job.spec.wildcards)),
                    job.spec.jobid,
                    job.spec.attempt,
                    self._backend,
                    Phase.SUBMITTING.value,
                    now,
                    job.origin,
                    self.endpoint,
                    job.plan.identity,
                    json.dumps(output_names(job.spec)),
                    json.dumps(asdict(job.spec.resources)),
                    job.began,
                    now,
                    digests.get(job.spec.name, ""),
                    json.dumps([one.query for one in job.spec.grid_outputs]),
                )
                for job in jobs
            ],
        )

    def submitted(self, ids: Mapping[str, str]) -> Write:
        """Note the ids that the backend gave, by name of the job."""
        now = time.time()
        return self._database.write(
            "UPDATE jobs SET phase=CASE phase WHEN ? THEN phase ELSE ? END, needs_cleanup=1, "
            "grid_id=?, accepted=?, changed=? WHERE name=?",
            [
                (Phase.CANCELLING.value, Phase.SUBMITTED.value, grid_id, now, now, name)
                for name, grid_id in ids.items()
            ],
        )

    def adopted(self, jobs: Mapping[str, tuple[str, str]]) -> Write:
        """Note that jobs of earlier runs belong to this run now.

        Args:
            jobs: By name, the id that the backend gave, and Snakemake's own id.
        """
        return self._database.write(
            "UPDATE jobs SET run=?, needs_cleanup=1, grid_id=?, jobid=?, "
            "accepted=coalesce(accepted, ?), phase=CASE phase WHEN ? THEN ? ELSE phase END "
            "WHERE name=?",
            [
                (
                    self._run,
                    grid_id,
                    jobid,
                    time.time(),
                    Phase.SUBMITTING.value,
                    Phase.SUBMITTED.value,
                    name,
                )
                for name, (grid_id, jobid) in jobs.items()
            ],
        )

    def seen(self, statuses: Mapping[str, JobStatus]) -> Write:
        """Note what the backend says of jobs, by name, and when it first said so."""
        now = time.time()
        return self._database.write(
            "UPDATE jobs SET state=?, site=CASE ? WHEN '' THEN site ELSE ? END, "
            "running=CASE ? WHEN 'running' THEN coalesce(running, ?) ELSE running END, "
            "ended=CASE ? WHEN 1 THEN coalesce(ended, ?) ELSE ended END, changed=? WHERE name=?",
            [
                (
                    *(status.state.value, status.site, status.site, status.state.value, now),
                    *(int(status.state.ended), now, now, name),
                )
                for name, status in statuses.items()
            ],
        )

    def ended(self, name: str, phase: Phase, detail: str = "", report: str | None = None) -> Write:
        """Note how a job ended, with its report as JSON text if there is one."""
        now = time.time()
        return self._database.write(
            "UPDATE jobs SET phase=?, detail=?, report=coalesce(?, report), finished=?, changed=? "
            "WHERE name=?",
            [(phase.value, detail, report, now, now, name)],
        )

    def noted(self, names: Iterable[str]) -> Write:
        """Note that Snakemake has recorded the success of these jobs."""
        return self._database.write(
            "UPDATE jobs SET phase=? WHERE name=? AND phase=?",
            [(Phase.SUCCEEDED.value, name, Phase.OUTPUTS_INSTALLED.value) for name in names],
        )

    def discarded(self, names: Iterable[str]) -> Write:
        """Note that the backend keeps nothing for these jobs any more."""
        return self._database.write(
            "UPDATE jobs SET needs_cleanup=0 WHERE name=?", [(name,) for name in names]
        )

    def needs_cleanup(self) -> list[str]:
        """Return the names of jobs that are over, but for which the backend keeps something.

        The run that followed them died before it could tell the backend.
        """
        rows = self._database.query(
            "SELECT name FROM jobs WHERE needs_cleanup=1 AND phase NOT IN (?, ?, ?, ?) "
            "AND backend=? AND endpoint IN (?, '') AND run<>?",
            (*_OPEN, self._backend, self.endpoint, self._run),
        )
        return [str(name) for (name,) in rows]

    def undeclared(self) -> list[tuple[str, list[str]]]:
        """Return the files that jobs left undeclared: title and names of each job, the last first.

        Only the last thousand jobs that left any are returned.
        """
        rows = self._database.query(
            "SELECT rule, wildcards, report FROM jobs WHERE phase IN (?, ?) "
            """AND report LIKE '%"undeclared": ["%' ORDER BY finished DESC LIMIT 1000""",
            (Phase.OUTPUTS_INSTALLED.value, Phase.SUCCEEDED.value),
        )
        return [
            (f"rule {title(rule, json.loads(wildcards).items())}", json.loads(report)["undeclared"])
            for rule, wildcards, report in rows
        ]

    def cancelling(self, names: Iterable[str]) -> Write:
        """Note that these jobs have to be cancelled, by this run or a later one."""
        return self._database.write(
            "UPDATE jobs SET phase=?, changed=? WHERE name=?",
            [(Phase.CANCELLING.value, time.time(), name) for name in names],
        )

    def open_jobs(self) -> list[JobRecord]:
        """Return the jobs that earlier runs left open on this backend and server."""
        rows = self._database.query(
            f"SELECT {_COLUMNS} FROM jobs WHERE phase IN (?, ?, ?, ?) "  # noqa: S608 - our own names
            "AND backend=? AND endpoint IN (?, '') AND run<>? ORDER BY changed",
            (*_OPEN, self._backend, self.endpoint, self._run),
        )
        return list(map(JobRecord.from_row, rows))

    def open_elsewhere(self) -> dict[str, int]:
        """Return how many jobs are open on each other backend or server."""
        rows = self._database.query(
            "SELECT backend, endpoint, count(*) FROM jobs WHERE phase IN (?, ?, ?, ?) "
            "AND NOT (backend=? AND endpoint IN (?, '')) GROUP BY backend, endpoint",
            (*_OPEN, self._backend, self.endpoint),
        )
        return {f"{backend} ({endpoint})": count for backend, endpoint, count in rows}

    def submissions_of(self, origin: str) -> dict[str, tuple[Phase, str]]:
        """Return phase and site of each submission of a job, by name."""
        rows = self._database.query("SELECT name, phase, site FROM jobs WHERE origin=?", (origin,))
        return {name: (Phase(phase), site) for name, phase, site in rows}

    def grid_attempts(self) -> dict[str, list[str]]:
        """Return the submissions that did not succeed, by their outputs on the grid, in order."""
        found: dict[str, list[str]] = {}
        for name, outputs in self._database.query(
            "SELECT name, grid_outputs FROM jobs WHERE grid_outputs<>'[]' AND phase NOT IN (?, ?) "
            "ORDER BY sent, length(name), name",
            (Phase.SUCCEEDED.value, Phase.OUTPUTS_INSTALLED.value),
        ):
            for output in json.loads(outputs):
                found.setdefault(output, []).append(str(name))
        return found

    def good_sites(self) -> list[str]:
        """Return the sites at which jobs succeeded lately, in any run."""
        rows = self._database.query(
            "SELECT DISTINCT site FROM jobs WHERE phase IN (?, ?) AND site<>'' AND changed>? "
            "AND backend=? AND endpoint IN (?, '')",
            (
                *(Phase.SUCCEEDED.value, Phase.OUTPUTS_INSTALLED.value),
                *(time.time() - _LATELY, self._backend, self.endpoint),
            ),
        )
        return [str(site) for (site,) in rows]

    def prune(self) -> None:
        """Forget the decisions of jobs that have not changed for 90 days."""
        self._database.change(
            "DELETE FROM decisions WHERE digest NOT IN "
            "(SELECT decision FROM jobs WHERE changed>=?)",
            [(time.time() - _KEPT,)],
        )

    def on_the_grid(self) -> int:
        """Return how many jobs the backend has or may have."""
        rows = self._database.query(
            "SELECT count(*) FROM jobs WHERE phase IN (?, ?) AND backend=? AND endpoint IN (?, '')",
            (Phase.SUBMITTING.value, Phase.SUBMITTED.value, self._backend, self.endpoint),
        )
        return int(rows[0][0])

    def last_endpoint(self) -> str:
        """Return the server of the open job of this backend that changed last, or nothing."""
        rows = self._database.query(
            "SELECT endpoint FROM jobs WHERE phase IN (?, ?, ?, ?) AND backend=? "
            "ORDER BY changed DESC LIMIT 1",
            (*_OPEN, self._backend),
        )
        return str(rows[0][0]) if rows else ""


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def output_names(spec: JobSpec) -> list[str]:
    """Return the sorted names of a job's outputs, which no other job of a workflow has."""
    return sorted(output.name for output in spec.outputs if output.kind == "output")
