"""Values that only the worker knows, or that may still change."""

from __future__ import annotations

from typing import Any, NoReturn

from .decided import Unsupported


class Unknown:
    """Stands in a rule's command for a value that is not known here; any use of it is refused.

    Attributes:
        why: Text of the exception.
    """

    def __init__(self, why: str) -> None:
        """Store the reason."""
        object.__setattr__(self, "why", why)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise Unsupported(object.__getattribute__(self, "why"))

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse attributes, such as methods of strings."""
        self._refuse()

    __str__ = __repr__ = __format__ = __hash__ = __bool__ = __len__ = __iter__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __int__ = __float__ = __index__ = __getitem__ = __contains__ = __fspath__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __mod__ = __rmod__ = _refuse
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __neg__ = __call__ = _refuse
    __reduce_ex__ = _refuse
