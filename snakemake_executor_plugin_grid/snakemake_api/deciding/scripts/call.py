"""The arguments with which a rule calls `snakemake.script.script` and its like."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..decided import Unsupported


class Call:
    """The arguments of a call, by the names of the function's parameters."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Bind the arguments.

        Raises:
            Unsupported: This version of Snakemake calls it in another way than it declares it.
        """
        try:
            self._values = _signature(function).bind(*args).arguments
        except TypeError as error:
            raise Unsupported(
                f"this Snakemake calls {function.__name__}() anew: {error}"
            ) from error

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise Unsupported(f"this Snakemake's scripts have no {name!r}") from None


@lru_cache(maxsize=16)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)
