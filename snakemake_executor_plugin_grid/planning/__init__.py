"""Turns Snakemake's jobs into plans: what travels, and what runs."""
