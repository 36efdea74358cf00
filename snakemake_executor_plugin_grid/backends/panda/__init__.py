"""The PanDA backend."""

from .backend import PandaBackend

__all__ = ["PandaBackend"]
