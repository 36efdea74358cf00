"""What runs note in ``.snakemake/grid``, for the commands and for later runs."""
