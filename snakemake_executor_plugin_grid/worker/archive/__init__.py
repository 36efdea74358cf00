"""Tarballs: pack, unpack, and refuse hostile names."""
