"""Texts for the user: lines about jobs, failures and transfers, and how numbers look."""
