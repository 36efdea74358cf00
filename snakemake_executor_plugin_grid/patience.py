"""Waits out what passes by itself: servers that do not answer, credentials that have expired."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .calls import CALL_TIMEOUT, in_words, once
from .errors import CredentialsError, GridError, PermanentError, TransientError

T = TypeVar("T")

PASSING = (TransientError, TimeoutError, ConnectionError)
"""Errors after which the same call may work."""

_FIRST_PAUSE = 1.0
_PAUSES_AT_START = (1.0, 3.0)
_LONGEST_PAUSE = 60.0
_CREDENTIALS_PAUSE = 10.0
_CREDENTIALS_PERIOD = 60.0
_REFUSALS = 3
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
        self._outages: set[str] = set()
        self._refused: set[str] = set()
        self._since = 0.0
        self._expired = False
        self._warned = ""
        self._checked = 0.0
        self._stopped = asyncio.Event()
        self._main = self
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
        return other

    def stop(self) -> None:
        """Wait for nothing any more: the run is ending. To be called in the loop."""
        self._stopped.set()

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
            GridError: The error of the last try, when the limit is over or the run is ending;
                other errors at once.
        """
        until = pause = 0.0
        refusals = 0
        while True:
            try:
                result = await once(make(), limit)
            except CredentialsError as error:
                refusals += 1
                if refusals > _REFUSALS:
                    raise PermanentError(f"{error} The credentials look good from here.") from error
                await self.renewed(error)
                until = 0.0  # what was waited for was no outage
            except PASSING as error:
                refusals = 0
                self.note(what, error)
                until = until or time.monotonic() + self._limit
                pause = min(_LONGEST_PAUSE, 2 * pause or _FIRST_PAUSE)
                if time.monotonic() + pause > until:
                    raise
                await self._sleep(pause)
                if self._stopped.is_set():
                    raise
            else:
                self.over(what)
                # Not before: a server may refuse what looks good from here.
                self._note_renewal()
                return result

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
        elif what not in self._outages:
            # When the run is ending, its own end of the connection is what fails.
            if not self._outages and not self._stopped.is_set():
                self._since = time.monotonic()
                self._say(
                    f"{self._name} does not answer, asked for {what} ({in_words(error)}); no job "
                    "is touched, asking again."
                )
            self._outages.add(what)

    def over(self, what: str) -> None:
        """Say that it works again, if it did not."""
        if what in self._refused:
            self._refused.remove(what)
            self._note_renewal()
        if what in self._outages:
            self._outages.remove(what)
            if not self._outages:
                seconds = time.monotonic() - self._since
                self._say(f"{self._name} answers again after {seconds:.0f} s.")

    async def watch_credentials(self) -> None:
        """Warn in time of credentials that are about to expire; asks once a minute."""
        period = _CREDENTIALS_PAUSE if self._expired else _CREDENTIALS_PERIOD
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
            await self._sleep(_CREDENTIALS_PAUSE)
            if self._stopped.is_set():
                raise error
            with contextlib.suppress(CredentialsError, *PASSING):
                await once(self._check())
                return

    def _note_expiry(self, error: CredentialsError) -> None:
        if not self._expired:
            self._expired = True
            self._say(
                f"Waiting for credentials: {str(error).rstrip('.')}. The run goes on by itself "
                "then; jobs that are on the grid are not touched."
            )

    def _note_renewal(self) -> None:
        if self._expired:
            self._expired = False
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
