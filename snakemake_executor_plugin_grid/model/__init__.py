"""Values that all other packages use: jobs, names, states, errors."""
