"""A circuit breaker: when the grid fails job after job for one reason, no more are submitted.

`SiteBans` and resubmission handle a few failed jobs. If nearly all jobs fail for the same reason,
submitting them again is of no use: submission pauses, then one job is submitted as a probe, and the
rest follow once a probe has succeeded.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..console.format import duration, listed
from ..console.job_log import first_line

_LAST = 10
_FAULTS = 9
_JOBS = 5
"""How many different jobs must have failed: one job that fails repeatedly proves nothing."""

_STILL_GOOD = 600.0
"""Seconds for which a site counts as good after a job has succeeded there."""

_FIRST_PAUSE = 300.0
_LONGEST_PAUSE = 3600.0
_LONGEST_PROBE = 3600.0
"""Seconds until the next probe: the first may wait in a queue for days, or be lost."""

_LONGEST_REASON = 1000
_QUOTED = re.compile(r"""(?<!\w)[bru]?(['"`]).+?\1(?!\w)|[“„«].+?[”“»]""")
# As `failures.reason_of` writes it; other host names are recognised by their dots and digits.
_PLACE = re.compile(r"\b(host|site) [^\s,)]+(?=[,)])")
# Numbers, ids, host names, paths, addresses and assignments; a full stop or colon only ends a word.
_VARIABLE = re.compile(r"[\d/\\@=_]|[.:](?=\w)|\b[0-9a-f]{8,}\b")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class _Fault:
    job: str
    reason: str
    site: str


class CircuitBreaker:
    """Decides how many jobs may be submitted now.

    It opens when the grid has failed at least nine of the last ten jobs for the same reason. Faults
    at a single site do not open it while jobs succeed at another one: `SiteBans` bans that site.
    While it is open, only probes count: the other jobs were submitted before, and their ends
    neither close it nor lengthen the pause, nor do they count after it has closed. One exception:
    if all faults were at one site, a job that succeeds at another one closes it.

    All methods must be called in one thread; none waits.
    """

    def __init__(
        self, say: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        """Start closed.

        Args:
            say: Shows a line to the user.
            now: Returns the time in seconds, on a clock that only increases.
        """
        self._say = say
        self._now = now
        self._ends: deque[_Fault | None] = deque(maxlen=_LAST)
        self._good: dict[str, float] = {}  # when the last job succeeded, by site
        self._closings = 0
        self._sent: dict[str, int] = {}  # by job on the grid: closings before it was submitted
        self._open = False
        self._reason = ""
        self._trouble = ""
        self._blamed = ""  # the site, if all faults were at one
        self._pause = _FIRST_PAUSE
        self._paused_until = 0.0
        self._probes_until = 0.0
        self._probes: set[str] = set()

    @property
    def open(self) -> bool:
        """Whether submission pauses, except for probes."""
        return self._open

    @property
    def trouble(self) -> str:
        """Why it is open, in words; empty when it is not."""
        return self._trouble if self._open else ""

    def allowance(self) -> int | None:
        """Return how many jobs may be submitted now: None for any number, else 0 or 1.

        The caller must call ``submitting`` with these jobs before it asks again.
        """
        if not self._open:
            return None
        return 1 if self.next_change() is None else 0

    def next_change(self) -> float | None:
        """Return the seconds until a job may be submitted, None if there is nothing to wait for.

        ``fine`` and ``gone`` may shorten the wait.
        """
        until = max(self._paused_until, self._probes_until if self._probes else 0.0)
        left = until - self._now()
        return left if self._open and left > 0 else None

    def submitting(self, jobs: Iterable[str]) -> None:
        """Note jobs that are submitted now.

        Args:
            jobs: Their names; a job that is submitted again keeps its name here.
        """
        jobs = list(jobs)
        self._sent.update(dict.fromkeys(jobs, self._closings))
        # Otherwise they were being submitted when it opened.
        if jobs and self.allowance() == 1:
            if self._probes:
                silent = duration(_LONGEST_PROBE)
                self._say(f"The job sent to try has not ended in {silent}: sending another one.")
            else:
                self._say("Sending one job to try whether the grid runs jobs again.")
            self._probes.update(jobs)
            self._probes_until = self._now() + _LONGEST_PROBE

    def fine(self, job: str, site: str = "") -> None:
        """Note a job that has succeeded, or that has failed by itself.

        Args:
            job: Its name.
            site: Where it ran, empty if unknown.
        """
        counts = self._counts(job)
        if site:
            self._good[site] = self._now()
        if not self._open:
            if counts:
                self._ends.append(None)
        elif job in self._probes:
            self._close("The grid has not failed the job sent to try")
        elif self._blamed and site not in ("", self._blamed):
            self._close(f"Site {site} runs jobs: the fault is that of site {self._blamed} alone")

    def fault(self, job: str, reason: str, site: str = "") -> bool:
        """Note a job that the grid has failed.

        Args:
            job: Its name.
            reason: Why, without the title or id of the job. Numbers, ids, hosts, paths and quoted
                words are ignored when reasons are compared.
            site: Where it ran, empty if unknown.

        Returns:
            Whether the fault counts against the job's own budget of resubmissions. It does not if
            it is the reason why the breaker is open.
        """
        counts = self._counts(job)
        self._good.pop(site, None)
        kind = normalised(reason, site)
        if self._open:
            if site != self._blamed:
                self._blamed = ""
            if job in self._probes:
                self._try_later(job, reason, same=kind == self._reason)
        elif counts:
            self._ends.append(_Fault(job, kind, site))
            self._judge(kind, reason)
        return kind != self._reason or (counts and not self._open)

    def gone(self, job: str) -> None:
        """Note a job that will not end any more: it was refused, cancelled or lost."""
        self._sent.pop(job, None)
        self._probes.discard(job)

    def _counts(self, job: str) -> bool:
        """Forget a job that has ended; return whether it was submitted after the last closing."""
        return self._sent.pop(job, 0) == self._closings

    def _judge(self, kind: str, reason: str) -> None:
        """Open if nearly all of the last jobs have failed for this reason."""
        faults = [end for end in self._ends if end is not None and end.reason == kind]
        if (
            len(self._ends) < _LAST
            or len(faults) < _FAULTS
            or len({fault.job for fault in faults}) < _JOBS
        ):
            return
        places = {fault.site for fault in faults}
        blamed = next(iter(places)) if len(places) == 1 else ""
        recently = self._now() - _STILL_GOOD
        if blamed and any(when > recently for when in self._good.values()):
            return
        self._open, self._reason, self._blamed = True, kind, blamed
        self._pause = _FIRST_PAUSE
        self._paused_until = self._now() + self._pause
        sites = sorted(places - {""})
        where = f"; at site{'s' * (len(sites) > 1)} {listed(sites)}" if sites else ""
        self._trouble = (
            f"{len(faults)} of the last {_LAST} jobs were failed by the grid for the same reason: "
            f"'{_shown(reason)}'{where}"
        )
        self._say(
            f"{self._trouble}. No more jobs are submitted for {duration(self._pause)}, "
            "then one to try; those that are on the grid go on. `snakemake-grid status` shows how "
            "they stand; Ctrl-C ends the run."
        )

    def _try_later(self, job: str, reason: str, *, same: bool) -> None:
        self._probes.remove(job)
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause)
        self._paused_until = self._now() + self._pause
        why = "for the same reason" if same else f"for another reason: '{_shown(reason)}'"
        self._say(
            f"The grid has failed the job sent to try, {why}. The next one is sent in "
            f"{duration(self._pause)}."
        )

    def _close(self, why: str) -> None:
        self._open = False
        self._closings += 1
        self._ends.clear()
        self._probes.clear()
        self._say(f"{why}. Jobs are submitted again.")


def normalised(reason: str, site: str = "") -> str:
    """Return the words of a reason that are the same for all jobs.

    Args:
        reason: Its first line counts.
        site: Name of the site, left out as well.
    """
    first = next(iter(reason.strip().splitlines()), "")[:_LONGEST_REASON]
    text = _PLACE.sub(" ", _QUOTED.sub(" ", first))
    if site:
        text = re.sub(rf"(?<!\w){re.escape(site)}(?!\w)", " ", text)
    kept = " ".join(word for word in text.casefold().split() if not _VARIABLE.search(word))
    return " ".join(_WORD.findall(kept))


def _shown(reason: str) -> str:
    return first_line(reason) or "no reason given"
