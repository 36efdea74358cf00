"""Values that the rest of the package passes around: jobs, names, states, errors."""
