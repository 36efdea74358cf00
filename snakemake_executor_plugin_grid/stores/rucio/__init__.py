"""Rucio: its file catalog and the storage elements behind it."""
