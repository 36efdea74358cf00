"""The values that options with a choice may have."""

RUNTIMES = ("inherit", "setup", "container", "wheels")
DECIDE = ("auto", "always", "never")
COMPRESSIONS = ("none", "gzip", "zstd")
ISOLATIONS = ("auto", "require", "off")
UNDECLARED = ("list", "fetch")
ENGINES = ("apptainer", "singularity")
INTERRUPTS = ("cancel", "keep")
DIRAC_MODES = ("server", "local")
DIRAC_INPUTS = ("data", "fetch")
PANDA_ROUTES = ("jedi", "idds")
PANDA_SECRETS = ("store", "server")
