"""A stand-in for Apptainer, which cannot be installed where the tests run, and an image for it.

`engine` is the command: `exec`, `pull` and `--version` with the options that the plugin and
Snakemake pass. `namespace` runs a program in the root folder of an image, `environment` makes its
variables, `image` a small image. `fixture` has what tests ask for.

The rules are those of Apptainer's sources (internal/pkg/runtime/engine/apptainer, main of August
2026) and of its user guide. What the stand-in leaves out: image files (a file only names an image
of the settings), registries, overlays, fakeroot, devices of GPUs, the setuid starter.
"""
