"""Waits until the user has renewed credentials that are missing or have expired."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ..model.errors import CredentialsError, GridError
from .calls import PASSING, with_timeout
from .clock import Clock

_PAUSE = 10.0
_PERIOD = 60.0

CheckCredentials = Callable[[], Coroutine[Any, Any, str]]
"""Returns a warning if they expire soon, else nothing; raises ``CredentialsError``."""


class Credentials:
    """Knows whether the credentials for a server are valid; reports each change once."""

    def __init__(
        self,
        check: CheckCredentials,
        say: Callable[[str], None],
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        """Start with valid credentials.

        Args:
            check: Checks them.
            say: Shows a line to the user.
            clock: Tells when to check.
            pause: Waits for some seconds; raises ``EndingError`` when the run ends.
        """
        self._check = check
        self._say = say
        self._clock = clock
        self._pause = pause
        self._refused: set[str] = set()
        self._problem = ""
        self._warned = ""
        self._next_check = clock.monotonic()

    @property
    def trouble(self) -> str:
        """What is wrong with them, in words; empty if they are valid."""
        return f"waiting for credentials: {self._problem}" if self._problem else ""

    async def watch(self) -> None:
        """Warn before the credentials expire; checks them once a minute."""
        if self._clock.monotonic() < self._next_check:
            return
        self._next_check = self._clock.monotonic() + (_PAUSE if self._problem else _PERIOD)
        try:
            warning = await with_timeout(self._check())
        except CredentialsError as error:
            self.expired(error)
        except (GridError, OSError):
            return  # this says nothing about the credentials
        else:
            if not self._refused:  # a server may refuse credentials that look valid from here
                self.renewed()
            if warning and not self._warned:
                self._say(warning)
            self._warned = warning

    async def wait(self, error: CredentialsError) -> None:
        """Wait until the credentials are valid again, without a time limit."""
        self.expired(error)
        while True:
            await self._pause(_PAUSE)
            with contextlib.suppress(CredentialsError, *PASSING):
                await with_timeout(self._check())
                return

    def refused(self, what: str, error: CredentialsError) -> None:
        """Note that the server refused them for a call."""
        self._refused.add(what)
        self.expired(error)

    def accepted(self, what: str) -> None:
        """Note that the server accepted them for a call that it had refused before."""
        if what in self._refused:
            self._refused.remove(what)
            self.renewed()

    def expired(self, error: CredentialsError) -> None:
        """Report that they are not valid."""
        if not self._problem:
            self._problem = str(error).rstrip(".") or "they are not valid"
            self._next_check = min(self._next_check, self._clock.monotonic() + _PAUSE)
            self._say(
                f"Waiting for credentials: {self._problem}. The run continues by itself after "
                "that; jobs on the grid are not affected."
            )

    def renewed(self) -> None:
        """Report that they are valid again."""
        if self._problem:
            self._problem = ""
            self._say("The credentials are good again; the run continues.")
