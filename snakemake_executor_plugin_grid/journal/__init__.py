"""What a run notes in ``.snakemake/grid``, for the commands and for the next run."""
