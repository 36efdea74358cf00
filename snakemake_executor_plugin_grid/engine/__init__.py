"""Carries jobs from a plan to its outcome, in an event loop of its own."""
