"""Waits out what passes by itself: servers that do not answer, credentials that have expired."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..model.errors import CredentialsError, EndingError, GridError, PermanentError, TransientError
from .calls import CALL_TIMEOUT, in_words, is_of_disk, once
from .disk_full import Room, hours

T = TypeVar("T")

PASSING = (TransientError, TimeoutError, ConnectionError)
"""Errors after which the same call may work."""

_FIRST_PAUSE = 1.0
_PAUSES_AT_START = (1.0, 3.0)
_LONGEST_PAUSE = 60.0
_CREDENTIALS_PAUSE = 10.0
_CREDENTIALS_PERIOD = 60.0
REFUSALS = 3
"""How often in a row a server may refuse credentials that look good from here."""


class Patience:
    """Repeats calls, with growing pauses, until they work or the limit of an outage is over.

    It says once when a server stops answering, and once when it answers again.
    """

    def __init__(
        self,
        name: str,
        limit: float,
        check_credentials: Callable[[], Coroutine[Any, Any, str]],
        say: Callable[[str], None],
    ) -> None:
        """Know the backend.

        Args:
            name: Of the backend, for messages.
            limit: Seconds for which an outage is waited out.
            check_credentials: Returns a warning, or raises ``CredentialsError``.
            say: Shows a line to the user.
        """
        self._name = name
        self._limit = limit
        self._check = check_credentials
        self._say = say
        self._outages: dict[str, tuple[float, str]] = {}  # since when, and how
        self._refused: set[str] = set()
        self._expiry = ""
        self._warned = ""
        self._checked = 0.0
        self._pauses: dict[str, tuple[float, float]] = {}
        self._room = Room(limit, say)
        self._exhausted = ""
        self._stopped = asyncio.Event()
        self._main = self
        self._beside: list[Patience] = []
        self.loop: asyncio.AbstractEventLoop | None = None

    def beside(
        self, name: str, check_credentials: Callable[[], Coroutine[Any, Any, str]]
    ) -> Patience:
        """Return the patience with another server, for as long, which starts and stops with this.

        Args:
            name: Of the server, for messages.
            check_credentials: As of this.
        """
        other = Patience(name, self._limit, check_credentials, self._say)
        other._stopped, other._main = self._stopped, self._main
        self._beside.append(other)
        return other

    def stop(self) -> None:
        """Wait for nothing any more: the run is ending. To be called in the loop."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether the run is ending."""
        return self._stopped.is_set()

    @property
    def exhausted(self) -> str:
        """Why the run has to end, when the limit of an outage is over; else empty."""
        return self._main._exhausted or self._main._room.exhausted

    @property
    def trouble(self) -> str:
        """What is waited for: servers, credentials, room on the disk; empty when all is well."""
        silence = min(self._outages.values())[1] if self._outages else ""
        expiry = f"waiting for credentials: {self._expiry}" if self._expiry else ""
        beside = [other.trouble for other in self._beside]
        return "; ".join(filter(None, [silence, expiry, self._room.trouble, *beside]))

    async def call(
        self,
        what: str,
        make: Callable[[], Coroutine[Any, Any, T]],
        limit: float | None = CALL_TIMEOUT,
    ) -> T:
        """Make a call until it works.

        Args:
            what: The call in words, such as "the states of jobs".
            make: Begins the call; each try is a new one.
            limit: Seconds that one try may take, None for no limit.

        Raises:
            EndingError: The limit is over, or the run is ending.
            GridError: Other errors, at once.
        """
        with self._main._room.call() as token:
            return await self._persist(what, make, limit, token)

    async def here(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do something on this host, as soon as its disk lets it; no server is thought of.

        Args:
            make: Begins it; each try is a new one.

        Raises:
            EndingError: The disk was full for too long, or the run is ending.
            GridError: Other errors, at once.
        """
        room = self._main._room
        with room.call() as token:
            while True:
                try:
                    return await once(make(), None)
                except EndingError:
                    raise
                except (GridError, OSError) as error:
                    if not is_of_disk(error):
                        raise
                    await room.wait(token, error, self.pause)

    async def _persist(
        self,
        what: str,
        make: Callable[[], Coroutine[Any, Any, T]],
        limit: float | None,
        token: object,
    ) -> T:
        refusals = 0
        since = time.monotonic()
        while True:
            try:
                result = await once(make(), limit)
            except CredentialsError as error:
                refusals += 1
                if refusals > REFUSALS:
                    raise PermanentError(f"{error} The credentials look good from here.") from error
                await self.renewed(error)
                since = time.monotonic()  # what was waited for was no outage
            except EndingError:
                raise  # of a call within this one
            except PASSING as error:
                refusals = 0
                await self._pause(what, error, since)
            except (GridError, OSError) as error:
                self.over(what)  # that is an answer, too
                if not is_of_disk(error):
                    raise
                await self._main._room.wait(token, error, self.pause)
                since = time.monotonic()
            else:
                self.over(what)
                # Not before: a server may refuse what looks good from here.
                self._note_renewal()
                return result

    async def _pause(self, what: str, error: BaseException, since: float) -> None:
        """Sleep until the next try of a call that began at some time."""
        self.note(what, error)
        pause = self._pauses[what][0]
        if time.monotonic() + pause > since + self._limit:
            self._exhaust(what, error)
        if self.exhausted:
            raise EndingError(self.exhausted) from error
        await self.pause(pause)

    async def pause(self, seconds: float) -> None:
        """Sleep for about that long.

        Raises:
            EndingError: The run is ending.
        """
        await self._sleep(seconds)
        if self._stopped.is_set():
            raise EndingError("the run is ending")

    def call_now(
        self,
        what: str,
        make: Callable[[], Coroutine[Any, Any, T]],
        limit: float | None = CALL_TIMEOUT,
    ) -> T:
        """Like ``call``, from another thread than the loop's."""
        loop = self._main.loop
        if loop is None:
            raise RuntimeError("nothing can be called before the controller has started")
        return asyncio.run_coroutine_threadsafe(self.call(what, make, limit), loop).result()

    def note(self, what: str, error: BaseException) -> None:
        """Say that something does not work now, once for each outage."""
        if isinstance(error, CredentialsError):
            self._refused.add(what)
            self._note_expiry(error)
            return
        pause, until = self._pauses.get(what, (0.0, 0.0))
        if time.monotonic() >= until:  # once for all that ask for it at this moment
            pause = min(_LONGEST_PAUSE, 2 * pause or _FIRST_PAUSE)
            self._pauses[what] = (pause, time.monotonic() + pause)
        # When the run is ending, its own end of the connection is what fails.
        silence = f"{self._name} does not answer, asked for {what} ({in_words(error)})"
        if not self._outages and not self._stopped.is_set():
            self._say(f"{silence}; no job is touched, asking again.")
        self._outages.setdefault(what, (time.monotonic(), silence))

    def due(self, what: str) -> bool:
        """Return whether it is time to ask again for something that is asked for now and then.

        In an outage the pauses between grow; it ends the run when the limit is over.
        """
        if what not in self._outages:
            return True
        if time.monotonic() > self._outages[what][0] + self._limit:
            self._exhaust(what, None)
        return time.monotonic() >= self._pauses[what][1]

    def _exhaust(self, what: str, error: BaseException | None) -> None:
        if not self._main._exhausted:
            words = f" ({in_words(error)})" if error is not None else ""
            self._main._exhausted = (
                f"{self._name} has not answered for {hours(self._limit)}, asked for {what}{words}"
                ": that is the limit (--grid-outage-limit)"
            )

    def over(self, what: str) -> None:
        """Say that it works again, if it did not."""
        if what in self._refused:
            self._refused.remove(what)
            self._note_renewal()
        self._pauses.pop(what, None)
        if what in self._outages:
            began, _ = min(self._outages.values())
            del self._outages[what]
            if not self._outages:
                seconds = time.monotonic() - began
                self._say(f"{self._name} answers again after {seconds:.0f} s.")

    async def watch_credentials(self) -> None:
        """Warn in time of credentials that are about to expire; asks once a minute."""
        period = _CREDENTIALS_PAUSE if self._expiry else _CREDENTIALS_PERIOD
        if time.monotonic() < self._checked + period:
            return
        self._checked = time.monotonic()
        try:
            warning = await once(self._check())
        except CredentialsError as error:
            self._note_expiry(error)
        except (GridError, *PASSING):
            return  # there is nothing to say of them
        else:
            if not self._refused:  # a server may refuse what looks good from here
                self._note_renewal()
            if warning and not self._warned:
                self._say(warning)
            self._warned = warning

    async def renewed(self, error: CredentialsError) -> None:
        """Wait until the credentials are good again, for as long as it takes."""
        self._note_expiry(error)
        while True:
            await self.pause(_CREDENTIALS_PAUSE)
            with contextlib.suppress(CredentialsError, *PASSING):
                await once(self._check())
                return

    def _note_expiry(self, error: CredentialsError) -> None:
        if not self._expiry:
            self._expiry = str(error).rstrip(".") or "they are not good"
            self._say(
                f"Waiting for credentials: {self._expiry}. The run goes on by itself then; jobs "
                "that are on the grid are not touched."
            )

    def _note_renewal(self) -> None:
        if self._expiry:
            self._expiry = ""
            self._say("The credentials are good again; going on.")

    async def _sleep(self, seconds: float) -> None:
        """Sleep some time around that, so that not all users of a server come back at once."""
        seconds *= random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)


async def persistently(call: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Try a call again after a while: a broken connection must not end a run that begins."""
    for pause in _PAUSES_AT_START:
        try:
            await call()
        except PASSING:
            await asyncio.sleep(pause)
        else:
            return
    await call()
