"""Builds the command line and environment that start the job's script in a container.

The facts about Apptainer are from the user guide and the sources of Apptainer 1.2 (the
`SINGULARITYENV_` rules from the guide of 1.0). No container engine was run to check them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from .runtime import ENGINES, Runtime, RuntimeMissing

# The engine sets these for the image; the values of the node would break it.
_HOST_ONLY = frozenset({"HOME", "LD_LIBRARY_PATH", "PATH"})
_ENGINE_OWN = tuple(f"{engine.upper()}{end}" for engine in ENGINES for end in ("_", "ENV_"))
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def container_command(
    runtime: Runtime, *, folder: str, cwd: str, env_names: Sequence[str] = (), script: str
) -> list[str]:
    """Return the `apptainer exec` line of a job's script.

    The values of variables are not in it, as others on the node can read it: they go through
    `container_environment`. `env_names` is only checked.

    From the documentation of Apptainer 1.2, not run here: `--cleanenv` keeps the node's variables
    out; `--home` mounts the job's folder as the home instead of the user's, so that caches of
    Snakemake have a place that can be written; `--bind` takes `source[:destination[:options]]`
    and commas between several; `--pwd` is the working directory (`--cwd` is its newer name).

    Raises:
        RuntimeMissing: `folder` holds `:` or `,`, or a name is none that a shell can export.
    """
    if ":" in folder or "," in folder:
        raise RuntimeMissing(
            f"{folder}: the container engine cannot bind a folder with ':' or ',' in its name. "
            "Use another site, or another --grid-runtime."
        )
    for name in env_names:
        if not _IDENTIFIER.fullmatch(name):
            raise RuntimeMissing(
                f"environment variable {name!r} cannot be passed into a container: only letters, "
                "digits and underscores are allowed. Rename it in envvars."
            )
    line = [runtime.engine, "exec", "--cleanenv", "--home", folder, "--bind", f"{folder}:{folder}"]
    for bind in runtime.binds:
        line += ["--bind", bind]
    return [*line, "--pwd", cwd, *runtime.engine_options, runtime.image, "/bin/sh", script]


def container_environment(env: Mapping[str, str], engine: str) -> dict[str, str]:
    """Return the variables to give to the engine so that the job sees `env`.

    Add them to the environment that the engine itself runs in. From the documentation of
    Apptainer 1.2, not run here: `APPTAINERENV_NAME` becomes `NAME` in the container, also with
    `--cleanenv`; the value is evaluated by a shell once unless `--no-eval`, here as
    `APPTAINER_NO_EVAL=1`, since engines too old for the option ignore the variable. A
    `singularity` that is Apptainer reads `SINGULARITYENV_` where no `APPTAINERENV_` is set.

    Args:
        env: Names and values. Left out: `HOME`, `PATH` and `LD_LIBRARY_PATH` (set by the image),
            the engines' own settings, names that no shell can export.
        engine: As in `Runtime.engine`.
    """
    prefix = os.path.basename(engine).upper()  # noqa: PTH119 - a name or a path
    inside = {
        f"{prefix}ENV_{name}": value
        for name, value in env.items()
        if name not in _HOST_ONLY
        and not name.startswith(_ENGINE_OWN)
        and _IDENTIFIER.fullmatch(name)
    }
    return {**inside, f"{prefix}_NO_EVAL": "1"}
