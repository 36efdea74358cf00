"""``snakemake-grid check``: tries everything that a run needs."""
