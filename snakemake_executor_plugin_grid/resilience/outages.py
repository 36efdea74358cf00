"""Repeats calls to a server while it does not answer, and while credentials have expired."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..console.format import clause, duration, sentence
from ..model.errors import (
    CredentialsError,
    EndingError,
    GridError,
    PermanentError,
    UnreachableError,
)
from .backoff import Backoff, is_over, spread
from .calls import CALL_TIMEOUT, PASSING, in_words, is_of_disk, with_timeout
from .clock import SYSTEM_CLOCK, Clock
from .credentials import CheckCredentials, Credentials
from .disk_full import DiskFullWait

T = TypeVar("T")

_AFTERMATH = (300.0, 3600.0)
"""Seconds after an outage in which jobs that ended by it are seen: as many as it lasted, but at
least and at most these. Job wrappers and heartbeats try again for a while."""

REFUSALS = 3
"""How often in a row a server may refuse credentials that look valid from here."""


class _Shared:
    """What all servers of a run have in common: one limit, one disk, one end."""

    def __init__(self, limit: float, say: Callable[[str], None], clock: Clock) -> None:
        self.limit = limit
        self.say = say
        self.clock = clock
        self.stopped = asyncio.Event()
        self.exhausted = ""
        self.answered_at = self.aftermath_until = -math.inf  # after the last outage
        self.disk_full = DiskFullWait(limit, say, clock, self.pause)
        self.loop: asyncio.AbstractEventLoop | None = None

    async def pause(self, seconds: float) -> None:
        """Sleep for about that long.

        Raises:
            EndingError: The run is ending.
        """
        sleeping = asyncio.ensure_future(self.clock.sleep(spread(seconds)))
        stopping = asyncio.ensure_future(self.stopped.wait())
        try:
            await asyncio.wait([sleeping, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()
        if self.stopped.is_set():
            raise EndingError("the run is ending")


class Outages:
    """Repeats calls to a server, with growing pauses, until they succeed or a limit is exceeded.

    Reports once that the server does not answer, and once that it answers again.
    """

    def __init__(
        self,
        name: str,
        limit: float,
        check_credentials: CheckCredentials,
        say: Callable[[str], None],
        clock: Clock = SYSTEM_CLOCK,
        *,
        shared: _Shared | None = None,
    ) -> None:
        """Start without outages.

        Args:
            name: Of the server, for messages.
            limit: Seconds for which the run waits for a server.
            check_credentials: Checks the credentials for this server.
            say: Shows a line to the user.
            clock: Measures the outages.
            shared: What the servers of a run have in common, if this is not the first.
        """
        self._name = name
        self._say = say
        self._clock = clock
        self._shared = shared or _Shared(limit, say, clock)
        self._outages: dict[str, tuple[Backoff, str]] = {}  # by call, with the error in words
        self._others: list[Outages] = []
        self._credentials = Credentials(check_credentials, say, clock, self.pause)

    def beside(self, name: str, check_credentials: CheckCredentials) -> Outages:
        """Return the outages of another server, which have the same limit and end together.

        Args:
            name: Of the other server, for messages.
            check_credentials: Checks the credentials for it.
        """
        other = Outages(
            name, self.limit, check_credentials, self._say, self._clock, shared=self._shared
        )
        self._others.append(other)
        return other

    @property
    def limit(self) -> float:
        """Seconds for which the run waits for a server."""
        return self._shared.limit

    def stop(self) -> None:
        """End all waiting, as the run is ending. Must be called in the event loop."""
        self._shared.stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether the run is ending."""
        return self._shared.stopped.is_set()

    @property
    def exhausted(self) -> str:
        """Why the run has to end, if a limit is exceeded; else empty."""
        return self._shared.exhausted or self._shared.disk_full.exhausted

    def affects(self, since: float) -> bool:
        """Return whether a job that ends now may have ended because of an outage.

        Args:
            since: When the grid accepted the job, on the monotonic clock.
        """
        if any(server._outages for server in (self, *self._others)):
            return True
        shared = self._shared
        return since < shared.answered_at and self._clock.monotonic() < shared.aftermath_until

    @property
    def trouble(self) -> str:
        """What the run waits for: servers, credentials, free space; empty if nothing."""
        servers = [self, *self._others]
        found = [text for server in servers for text in server._own_trouble()]
        return "; ".join(filter(None, [*found, self._shared.disk_full.trouble]))

    def _own_trouble(self) -> tuple[str, str]:
        first = self._first()
        return (first[1] if first else ""), self._credentials.trouble

    def _first(self) -> tuple[Backoff, str] | None:
        """Return the outage that began first."""
        return min(self._outages.values(), key=lambda one: one[0].since, default=None)

    async def call(
        self,
        what: str,
        make: Callable[[], Coroutine[Any, Any, T]],
        limit: float | None = CALL_TIMEOUT,
    ) -> T:
        """Repeat a call until it succeeds.

        Args:
            what: The call in words, such as "the states of jobs".
            make: Begins the call; called once for each try.
            limit: Seconds that one try may take, None for no limit.

        Raises:
            EndingError: A limit is exceeded, or the run is ending.
            Exception: Any error that is no outage, at once.
        """
        disk_full, clock = self._shared.disk_full, self._clock
        with disk_full.call() as token:
            refusals = 0
            since = clock.monotonic()
            while True:
                try:
                    result = await with_timeout(make(), limit)
                except CredentialsError as error:
                    refusals += 1
                    if refusals > REFUSALS:
                        raise PermanentError(
                            f"{sentence(error)} The credentials look valid from here."
                        ) from error
                    await self.renewed(error)
                    since = clock.monotonic()  # this wait was no outage
                except EndingError:
                    raise  # of a call within this one
                except PASSING as error:
                    refusals = 0
                    await self._pause(what, error, since)
                except (GridError, OSError) as error:
                    self.over(what)  # the server has answered
                    if not is_of_disk(error):
                        raise
                    await disk_full.wait(token, error)
                    since = clock.monotonic()
                except Exception:
                    self.over(what)  # a bug is no outage
                    raise
                else:
                    self.over(what)
                    # Only now: a server may refuse credentials that look valid from here.
                    self._credentials.renewed()
                    return result

    async def retry_when_disk_full(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Repeat something on this host that asks no server, while the disk is full.

        Args:
            make: Begins it; called once for each try.

        Raises:
            EndingError: The disk was full for too long, or the run is ending.
            Exception: Any other error, at once.
        """
        disk_full = self._shared.disk_full
        with disk_full.call() as token:
            while True:
                try:
                    return await with_timeout(make(), None)
                except EndingError:
                    raise
                except (GridError, OSError) as error:
                    if not is_of_disk(error):
                        raise
                    await disk_full.wait(token, error)

    async def _pause(self, what: str, error: BaseException, since: float) -> None:
        """Sleep until the next try of a call that began at some time."""
        self.note(what, error)
        pause = self._outages[what][0].pause
        if is_over(since, self.limit, self._clock.monotonic() + pause):
            self._exhaust(what, error)
        if self.exhausted:
            raise EndingError(self.exhausted) from error
        await self.pause(pause)

    async def pause(self, seconds: float) -> None:
        """Sleep for about that long.

        Raises:
            EndingError: The run is ending.
        """
        await self._shared.pause(seconds)

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop in which ``call_now`` makes its calls."""
        self._shared.loop = loop

    def call_now(
        self,
        what: str,
        make: Callable[[], Coroutine[Any, Any, T]],
        limit: float | None = CALL_TIMEOUT,
    ) -> T:
        """Do the same as ``call`` in a thread other than that of the event loop."""
        loop = self._shared.loop
        if loop is None:
            raise RuntimeError("nothing can be called before the controller has started")
        return asyncio.run_coroutine_threadsafe(self.call(what, make, limit), loop).result()

    def note(self, what: str, error: BaseException) -> None:
        """Note that a call has failed; reported once for each outage."""
        if isinstance(error, CredentialsError):
            self._credentials.refused(what, error)
            return
        now = self._clock.monotonic()
        silence = f"{self._name} does not answer{_why(what, error)}"
        # When the run is ending, it ends the connection itself.
        if not self._outages and not self.stopped:
            self._say(f"{silence}; no job is affected, the run keeps asking.")
        backoff, _ = self._outages.setdefault(what, (Backoff(now), silence))
        backoff.failed(now)

    def due(self, what: str) -> bool:
        """Return whether a call that is made regularly should be made now.

        During an outage the pauses between such calls grow; it ends the run when the limit is
        exceeded.
        """
        if what not in self._outages:
            return True
        backoff, now = self._outages[what][0], self._clock.monotonic()
        if is_over(backoff.since, self.limit, now):
            self._exhaust(what, None)
        return now >= backoff.retry_at

    def _exhaust(self, what: str, error: BaseException | None) -> None:
        self._shared.exhausted = self._shared.exhausted or (
            f"{self._name} has not answered for {duration(self.limit)}{_why(what, error)}: that is "
            "the limit (--grid-outage-limit)"
        )

    def over(self, what: str) -> None:
        """Note that the server has answered a call; reported when it ends an outage."""
        self._credentials.accepted(what)
        first = self._first()
        if self._outages.pop(what, None) is not None and first is not None and not self._outages:
            now = self._clock.monotonic()
            seconds = now - first[0].since
            least, most = _AFTERMATH
            until = now + min(max(seconds, least), most)
            self._shared.answered_at = now
            self._shared.aftermath_until = max(self._shared.aftermath_until, until)
            self._say(f"{self._name} answers again after {duration(seconds)}.")

    async def watch_credentials(self) -> None:
        """Warn before the credentials expire; checks them once a minute."""
        await self._credentials.watch()

    async def renewed(self, error: CredentialsError) -> None:
        """Wait until the credentials are valid again, without a time limit."""
        await self._credentials.wait(error)


def _why(what: str, error: BaseException | None) -> str:
    """Return which call has failed and why; where a server cannot be reached, any call fails."""
    if isinstance(error, UnreachableError) and error.cause:
        return f" ({error.cause})"
    return f", asked for {what}" + (f" ({clause(in_words(error))})" if error else "")
