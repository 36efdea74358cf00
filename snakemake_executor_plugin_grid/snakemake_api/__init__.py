"""Every use of Snakemake beyond its interface packages.

Written for Snakemake 9.17 to 9.27; ``tests/unit/snakemake_api`` fails when Snakemake changes.
"""
