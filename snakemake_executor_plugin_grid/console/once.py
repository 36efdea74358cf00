"""Shows each line once, however many jobs it concerns."""

from __future__ import annotations

from collections.abc import Callable


def once(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that shows a line unless it has shown the same one before."""
    said: set[str] = set()

    def say_once(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return say_once
