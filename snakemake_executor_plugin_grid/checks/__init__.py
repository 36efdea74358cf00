"""What ``snakemake-grid check`` tries: each thing that a run needs, one function for each."""
