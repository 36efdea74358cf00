"""Backends: one per workload management system, imported when asked for."""
