"""The embedded backend: a small grid site on this machine."""

from __future__ import annotations

from .backend import LocalBackend

__all__ = ["LocalBackend"]
