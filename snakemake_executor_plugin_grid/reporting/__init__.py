"""What ``snakemake-grid report`` tells of past runs: pure numbers, their plots, one HTML page."""
