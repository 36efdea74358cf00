"""Runtimes made on the submit host and shipped to the worker."""
