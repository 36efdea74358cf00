"""A real DIRAC server on loopback, for the tests: see README.md."""
