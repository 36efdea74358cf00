"""Files that are on the grid and stay there, found by name in a catalog: one for a whole run."""
