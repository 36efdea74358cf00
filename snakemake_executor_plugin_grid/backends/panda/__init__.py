"""The PanDA backend."""
