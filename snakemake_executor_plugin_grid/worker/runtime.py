"""The `--grid-runtime` of a job: how its command finds Snakemake on the worker node."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from .records import dataclass, fields

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

KINDS = ("inherit", "setup", "container", "wheels")
ENGINES = ("apptainer", "singularity")


class RuntimeMissing(Exception):  # noqa: N818 - a state of the node
    """The worker node lacks what the job's `--grid-runtime` needs."""


@dataclass(frozen=True)
class Runtime:
    """The runtime of a job.

    Attributes:
        kind: One of `KINDS`.
        setup: Shell lines that run first, for every kind; needed for kind `setup`.
        image: Container image: a path, a folder or a URL such as `docker://…` or `oras://…`.
        engine: `apptainer` or `singularity`, by name or by path.
        engine_options: More options for the engine's `exec`.
        binds: More binds, each `source[:destination[:options]]`.
        python: Kind `wheels`: the Python minor version the packages are for, such as `3.11`.

    Raises:
        ValueError: A field is invalid; the message names the option to change.
    """

    kind: str
    setup: str = ""
    image: str = ""
    engine: str = "apptainer"
    engine_options: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    python: str = ""

    def __post_init__(self) -> None:
        """Check the fields against each other."""
        if self.kind not in KINDS:
            raise ValueError(f"--grid-runtime {self.kind!r}: must be one of {', '.join(KINDS)}.")
        if self.kind == "setup" and not self.setup.strip():
            raise ValueError("--grid-runtime setup needs shell lines in --grid-runtime-setup.")
        if self.kind == "container":
            if not self.image or self.image.startswith("-"):
                raise ValueError(
                    "--grid-runtime container needs a path or a URL such as docker://… in "
                    f"--grid-runtime-image, not {self.image!r}."
                )
            if os.path.basename(self.engine) not in ENGINES:  # noqa: PTH119 - a name or a path
                raise ValueError(
                    f"--grid-runtime-engine {self.engine!r}: must be {' or '.join(ENGINES)}, "
                    "or the path of one."
                )
        if self.kind == "wheels" and not re.fullmatch(r"3\.\d+", self.python):
            raise ValueError(
                "--grid-runtime wheels needs a minor version such as 3.11 in "
                f"--grid-runtime-python, not {self.python!r}."
            )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Runtime:
        """Read what `to_json` wrote.

        Raises:
            ValueError: A field is unknown, of the wrong type, or invalid.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown or "kind" not in data:
            raise ValueError(f"runtime of the job: no kind, or unknown fields {unknown}.")
        values: dict[str, Any] = {}
        for name, value in data.items():
            several = name in ("engine_options", "binds")
            items = value if several else [value]
            if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
                expected = "a list of strings" if several else "a string"
                raise ValueError(f"runtime of the job: {name} must be {expected}, not {value!r}.")
            values[name] = tuple(items) if several else value
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as values that JSON knows."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values}
