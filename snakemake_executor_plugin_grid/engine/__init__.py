"""Brings jobs from plan to outcome, in an event loop that has its own thread."""
