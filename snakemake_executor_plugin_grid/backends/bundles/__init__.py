"""Bundles: several jobs in one grid job, on every backend."""
