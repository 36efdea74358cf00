"""The DIRAC backend: jobs on EGI, LHCb, Belle II, CTAO, JUNO and other installations of DIRAC."""

from .backend import DiracBackend

__all__ = ["DiracBackend"]
