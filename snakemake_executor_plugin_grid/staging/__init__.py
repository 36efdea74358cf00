"""Moves files between the submit host and the store: inputs before a job, outputs after it."""
