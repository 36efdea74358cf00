"""The log ``.snakemake/grid/grid.log``: failed calls, and bugs with their tracebacks."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

LOG_FILE = "grid.log"
_MOST_BYTES = 1 << 20
_LOGGED = "_in_grid_log"
_FORMAT = "%(asctime)s %(levelname)s %(message)s"
# Queries and passwords of URLs, tokens, and keys.
_SECRETS = (
    (re.compile(r"(\w+://[^\s?#'\"]*)[?#][^\s'\"]*"), r"\1?…"),
    (re.compile(r"(\w+://)[^\s/@'\"]+@"), r"\1…@"),
    (re.compile(r"\?X-Amz-[^\s'\"]+"), "?…"),
    (re.compile(r"\bsigned:[^\s'\"]+"), "signed:…"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(\.[\w-]*)?"), "…"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\"]+"), r"\1 …"),
    (re.compile(r"(?i)((?:token|password|secret)['\"]?\s*[:=]\s*['\"]?)[^\s'\"]+"), r"\1…"),
    (re.compile(r"-----BEGIN [^-]+-----.*?(-----END [^-]+-----|\Z)", re.DOTALL), "…"),
)

_logger = logging.getLogger("snakemake_executor_plugin_grid")
_logger.addHandler(logging.NullHandler())
_logger.propagate = False  # the user sees only what the run reports


class _Formatter(logging.Formatter):
    """Leaves secrets out."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def redacted(text: str) -> str:
    """Return a text without the secrets that errors of clients may quote."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class _Handler(RotatingFileHandler):
    """Writes a file that only its owner can read; a full disk is no error."""

    last: tuple[str, str] | None = None
    """The last failed call, which is written once however often it is repeated."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        file = os.fdopen(descriptor, "ab")
        return TextIOWrapper(file, encoding="utf-8", errors="backslashreplace")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - of logging
        pass


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[None]:
    """Write the log in a folder; the file is made with its first line."""
    handler = _Handler(folder / LOG_FILE, maxBytes=_MOST_BYTES, backupCount=1, delay=True)
    handler.setFormatter(_Formatter(_FORMAT))
    _logger.addHandler(handler)
    try:
        yield
    finally:
        _logger.removeHandler(handler)
        handler.close()


def is_bug(error: BaseException) -> bool:
    """Return whether an error is unexpected, which means a bug.

    Errors of this package and of Snakemake are raised on purpose; those of the operating system
    are expected.
    """
    return not isinstance(error, OSError) and not type(error).__module__.startswith("snakemake")


def write(what: str, error: BaseException) -> Path | None:
    """Write an error to the log, once; a bug with its traceback.

    Args:
        what: The call that has failed.
        error: How.

    Returns:
        The log, None if none is open.
    """
    if not hasattr(error, _LOGGED):
        setattr(error, _LOGGED, True)
        bug = is_bug(error)
        level = logging.ERROR if bug else logging.WARNING
        text = "%s: %s: %s"
        if bug or _is_news(what, str(error)):
            _logger.log(
                level, text, what, type(error).__name__, error, exc_info=error if bug else None
            )
    paths = [Path(handler.baseFilename) for handler in _handlers()]
    return paths[-1] if paths else None


def _is_news(what: str, text: str) -> bool:
    """Return whether a failed call differs from the last one: repeats would fill the log."""
    news = any(handler.last != (what, text) for handler in _handlers())
    for handler in _handlers():
        handler.last = (what, text)
    return news


def _handlers() -> list[_Handler]:
    return [handler for handler in _logger.handlers if isinstance(handler, _Handler)]
