"""A protocol-level PanDA server on loopback, for the tests: see README.md."""
