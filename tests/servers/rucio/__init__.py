"""A real Rucio server for the tests; see README.md."""
