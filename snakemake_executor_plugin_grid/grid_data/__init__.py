"""Files that are on the grid and stay there: a catalog knows them, and workers move them."""
