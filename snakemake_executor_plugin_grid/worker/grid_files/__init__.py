"""Files on the grid that a job reads and writes: the worker fetches and stores them itself."""
