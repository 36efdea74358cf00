"""Fixtures: a PanDA server and its clients."""

from tests.unit.backends.panda.panda_grid import clients, grid, panda_client, panda_server

__all__ = ["clients", "grid", "panda_client", "panda_server"]
