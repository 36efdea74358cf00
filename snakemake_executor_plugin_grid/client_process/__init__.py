"""Client libraries in separate processes."""
