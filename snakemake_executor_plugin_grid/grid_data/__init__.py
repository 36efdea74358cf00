"""Data that stay on the grid: inputs and outputs of jobs that a file catalog knows."""
