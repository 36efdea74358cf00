"""Files into tarballs, tarballs into files."""
