"""The embedded backend: a small grid site on this machine."""
