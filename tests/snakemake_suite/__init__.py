"""Snakemake's own test suite, with the jobs of its workflows sent through this executor."""
