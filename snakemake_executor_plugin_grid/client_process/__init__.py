"""A client library in a process of its own."""
