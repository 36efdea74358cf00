"""Compares what a worker's Snakemake is about to do with what the submit host asked for.

The worker's Snakemake parses the workflow again, in another folder, with other files and variables
and at another time, so it may mean something else. This package runs on both sides, so it imports
nothing but the standard library and, where it needs it, Snakemake.
"""
