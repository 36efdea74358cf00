"""Constructs of Snakefiles, run with the local executor and with this one, and compared."""
