"""The report on past runs: its numbers, the plots of these, one HTML page."""
