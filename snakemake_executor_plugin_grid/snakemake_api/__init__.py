"""All that this package uses of Snakemake beyond its interface packages.

Seen in Snakemake 9.27.1. ``tests/unit/snakemake_api`` breaks when one of these changes.
"""
