"""Jobs that were decided on the submit host: what they are, and how the worker runs them."""
