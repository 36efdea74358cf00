"""Turns Snakemake's jobs into plans: which files travel with each job, and what it runs."""
