"""Deciding jobs on the submit host."""
