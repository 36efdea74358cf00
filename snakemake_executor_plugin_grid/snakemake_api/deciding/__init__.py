"""Turns a job of Snakemake into a decision: plain data that a worker runs without Snakemake."""
