"""The command line of a container engine for the commands of a rule with ``container:``.

As `snakemake.deployment.singularity.shellcmd` of Snakemake 9.27 composes it, with two differences:
paths are quoted for the shell, and the job's folder is bound, for temporary files and scripts.
"""

from __future__ import annotations

import os

from ..runtime import ENGINES
from .decision import Container
from .errors import lacking
from .search import command_line, which

VARIABLE_PREFIXES = tuple(f"{engine.upper()}ENV_" for engine in ENGINES)
"""Before the name of a variable that must reach the container also with ``--cleanenv``."""


def find_engine(path: str) -> str:
    """Return the path of Apptainer or Singularity.

    Raises:
        StepError: The node has neither.
    """
    for name in ENGINES:
        if found := which(name, path):
            return found
    raise lacking(
        f"the worker node has neither apptainer nor singularity on PATH {path!r}, which the rule's "
        "container: needs; choose a site that has it, or make it available by --grid-runtime-setup"
    )


def engine_line(
    container: Container, text: str, *, engine: str, shell: str, cwd: str, folder: str
) -> str:
    """Return the shell line that runs a command in a container.

    Args:
        container: With paths, not marks.
        text: What the shell in the container runs.
        engine: Path of the engine.
        shell: Name of the shell in the image.
        cwd: The working directory, which is also the home.
        folder: Of the job; bound at its own path.

    Raises:
        StepError: The image does not exist, or a folder cannot be bound.
    """
    image = container.image
    if "://" not in image and not os.path.exists(image):
        raise lacking(
            f"the worker node has no container image {image}; choose a site that has it, or give "
            "container: a URL such as docker://…"
        )
    if ":" in folder or "," in folder:
        raise lacking(
            f"{folder}: the container engine cannot bind a folder with ':' or ',' in its name; "
            "use another site"
        )
    words = [engine, "exec", "--home", cwd, "--bind", folder]
    for bind in container.binds:
        if os.path.exists(bind.partition(":")[0]):
            words += ["--bind", bind]
    # The arguments come last, so that a --pwd of the user counts; and no shell stays between, so
    # that a signal that ends the command is seen.
    parts = ["exec", command_line([*words, "--pwd", cwd]), container.arguments]
    return " ".join([*filter(None, parts), command_line([image, shell, "-c", text])])
