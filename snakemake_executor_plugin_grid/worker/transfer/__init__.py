"""Copies files from and to URLs: HTTP and XRootD."""
