"""Records which jobs are in which bundle, before the submission, so that they are found again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ...journal.database import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bundle_jobs (
    job TEXT PRIMARY KEY,
    bundle TEXT NOT NULL,
    position INTEGER NOT NULL,
    released INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""


class BundleRegistry:
    """The ``bundle_jobs`` table; jobs for which something is kept are in memory as well."""

    def __init__(self, database: Database) -> None:
        """Keep it in a database."""
        database.create(_SCHEMA)
        self._database = database
        self._bundle_of: dict[str, str] = {}
        self._jobs: dict[str, list[str]] = {}
        self._load()

    def _load(self) -> None:
        rows = self._database.query(
            "SELECT job, bundle FROM bundle_jobs WHERE NOT released ORDER BY position"
        )
        self._bundle_of = {str(job): str(bundle) for job, bundle in rows}
        self._jobs = {}
        for job, bundle in rows:
            self._jobs.setdefault(str(bundle), []).append(str(job))

    async def submitting(self, bundle: str, jobs: Sequence[str]) -> None:
        """Note the jobs of a bundle that is about to be submitted; returns when it is on disk."""
        await self._database.write(
            "INSERT OR REPLACE INTO bundle_jobs (job, bundle, position) VALUES (?, ?, ?)",
            [(job, bundle, position) for position, job in enumerate(jobs)],
        )
        self._bundle_of.update(dict.fromkeys(jobs, bundle))
        self._jobs[bundle] = list(jobs)

    def ended(self, jobs: Iterable[str]) -> list[str]:
        """Note jobs for which nothing is kept; return the bundles that have no other left."""
        jobs = [job for job in jobs if job in self._bundle_of]
        if not jobs:
            return []
        _ = self._database.write(
            "UPDATE bundle_jobs SET released=1 WHERE job=?", [(job,) for job in jobs]
        )
        over = []
        for job in jobs:
            bundle = self._bundle_of.pop(job)
            self._jobs[bundle].remove(job)
            if not self._jobs[bundle]:
                del self._jobs[bundle]
                over.append(bundle)
        return over

    def bundle_of(self, job: str) -> str | None:
        """Return the name of the bundle of a job; None if it was sent alone."""
        if job not in self._bundle_of and self._database.guest:
            self._load()  # a run goes on beside this command
        return self._bundle_of.get(job)

    def bundles_of(self, jobs: Collection[str]) -> dict[str, list[str]]:
        """Return jobs by the names of their bundles; those that were sent alone are left out."""
        found: dict[str, list[str]] = {}
        for job in jobs:
            bundle = self.bundle_of(job)
            if bundle is not None:
                found.setdefault(bundle, []).append(job)
        return found

    def jobs_of(self, bundle: str) -> list[str]:
        """Return the jobs of a bundle for which something is kept, in their order."""
        return list(self._jobs.get(bundle, ()))
