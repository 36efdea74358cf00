"""What a job does, decided on the submit host: plain data that the worker carries out.

Texts of a decision contain marks where only the worker knows a value: `description.WORKDIR`, and
those below. The worker puts the value in their place before it uses the text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..records import asdict, dataclass, fields

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

VERSION = 1
TMPDIR = "<grid_tmpdir>"
"""Stands for the folder of temporary files of the job."""
SCRIPT = "<grid_script>"
"""Stands for the path of the script file that the command runs."""
PYTHON = "<grid_python>"
"""Stands for the Python that runs Python scripts: the first of python3, python on PATH."""
VARIABLE = "<grid_variable "
"""Begin of the marks for the values of variables that ``envvars:`` names."""


def variable_mark(name: str) -> str:
    """Return what stands for the value of a variable in a command."""
    return f"{VARIABLE}{name}>"


@dataclass(frozen=True)
class Script:
    """A file that the worker writes, because a command runs it.

    Attributes:
        name: End of its file name, such as ``plot.py``.
        text: The whole file: what Snakemake puts before the source, and the source; with marks.
        uses_snakemake: Whether it imports the package ``snakemake``: a Python script does, to read
            its ``snakemake`` object. The worker has a stand-in for nodes without it.
    """

    name: str
    text: str
    uses_snakemake: bool = False


@dataclass(frozen=True)
class Command:
    """One shell command.

    Attributes:
        text: Shell text without prefix and suffix; with marks.
        script: File to write first; `SCRIPT` in the text is its path.
    """

    text: str
    script: Script | None = None


@dataclass(frozen=True)
class Shell:
    """The shell that runs the commands of a step.

    Attributes:
        executable: Absolute path, or a name to look up on PATH; empty for ``/bin/sh``. An absolute
            path that the node does not have is looked up by its last part.
        prefix: Text before each command, with the blank that follows it.
        suffix: Text after each command, with the blank before it.
        modules: Text that loads environment modules, before the prefix; empty without.
    """

    executable: str = "bash"
    prefix: str = ""
    suffix: str = ""
    modules: str = ""


@dataclass(frozen=True)
class Container:
    """The container in which the commands of a step run.

    Attributes:
        image: URL, or path of an image file or folder; with marks.
        arguments: More arguments for the engine, as a shell text (``--apptainer-args``).
        binds: More binds, each ``source[:destination[:options]]``.
    """

    image: str
    arguments: str = ""
    binds: tuple[str, ...] = ()


@dataclass(frozen=True)
class DecidedOutput:
    """An output, with the flags that say what has to be done with it.

    Attributes:
        path: As commands name it; with marks.
        directory: Whether it must be a folder.
        touch: Whether the worker makes it if the command does not.
        protected: Whether the worker takes away the permission to write it.
        pipe: Whether it is a FIFO to another step of the same layer.
        service: Whether it is made by a service, and exists while the service runs.
        nodelocal: Whether it stays on the node.
        update: Whether the command changes a file that is there, which came with the inputs.
        non_empty: Whether it must not be empty.
        algorithm: Of a checksum, as ``hashlib`` names it; empty for no check.
        checksum: The expected one, in hexadecimal.
    """

    path: str
    directory: bool = False
    touch: bool = False
    protected: bool = False
    pipe: bool = False
    service: bool = False
    nodelocal: bool = False
    update: bool = False
    non_empty: bool = False
    algorithm: str = ""
    checksum: str = ""


@dataclass(frozen=True)
class Benchmark:
    """The benchmark file of a step.

    Attributes:
        path: As the workflow names it; with marks.
        extended: Whether rows have the columns of ``--benchmark-extended``.
        columns: Values of those columns as JSON values, by name: ``jobid``, ``rule_name``,
            ``wildcards``, ``params``, ``threads``, ``resources``, ``input_size_mb``. The worker
            measures ``cpu_usage``.
    """

    path: str
    extended: bool = False
    columns: Mapping[str, Any] = None  # type: ignore[assignment]  # see __post_init__

    def __post_init__(self) -> None:
        """Make the default."""
        if self.columns is None:
            object.__setattr__(self, "columns", {})


@dataclass(frozen=True)
class Step:
    """One job of Snakemake: a rule with its wildcards.

    Attributes:
        rule: Name of the rule.
        wildcards: Names and values.
        jobid: Snakemake's id.
        threads: Threads that it may use, at least 1.
        inputs: Paths that must exist before it starts; with marks.
        awaited: Pipes and services of the same layer that it reads; with marks.
        outputs: What it makes.
        logs: Paths of log files; they exist afterwards, even if the command fails.
        commands: Run one after the other; several for the repeats of a benchmark, none for a rule
            without a body.
        shell: Runs the commands.
        benchmark: None without.
        container: None without.
        tmpdir: Folder for temporary files that the workflow demands; empty for the job's own.
        service: Whether it runs until the other steps of its layer have ended.
    """

    rule: str
    wildcards: tuple[tuple[str, str], ...] = ()
    jobid: str = ""
    threads: int = 1
    inputs: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    outputs: tuple[DecidedOutput, ...] = ()
    logs: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    shell: Shell = Shell()
    benchmark: Benchmark | None = None
    container: Container | None = None
    tmpdir: str = ""
    service: bool = False


@dataclass(frozen=True)
class Decision:
    """What a job does: a single step, or the steps of a group.

    Attributes:
        layers: Steps; a layer starts when the one before has ended. Pipes and services of a layer
            run at the same time, its other steps as far as the threads fit into ``cores``.
        cores: Processors of the job.
        temporary: Paths of ``temp()`` files that no other job needs. The worker removes each after
            the last layer that reads it, if it is the output or input of a step of a group.
        umask: Of the process that parsed the workflow, None if the workflow did not change it.
        version: Of this format.
    """

    layers: tuple[tuple[Step, ...], ...]
    cores: int = 1
    temporary: tuple[str, ...] = ()
    umask: int | None = None
    version: int = VERSION

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in order."""
        return tuple(step for layer in self.layers for step in layer)

    def to_json(self) -> dict[str, Any]:
        """Return it as values that JSON knows."""
        return asdict(self)

    def dumps(self) -> str:
        """Return it as JSON text; the same decision gives the same text."""
        return json.dumps(self.to_json(), sort_keys=True)

    @classmethod
    def from_json(cls, data: Any) -> Decision:
        """Read what `to_json` returned.

        Raises:
            ValueError: It is damaged, or of another version.
        """
        try:
            if data["version"] != VERSION:
                raise ValueError(f"decision: version {data['version']!r}, expected {VERSION}")
            layers = tuple(tuple(_step(step) for step in layer) for layer in data["layers"])
            return cls(
                layers,
                int(data["cores"]),
                tuple(data["temporary"]),
                data["umask"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"decision: damaged: {error!r}") from error


def _step(data: dict[str, Any]) -> Step:
    values = dict(data)
    values["wildcards"] = tuple((key, value) for key, value in data["wildcards"])
    for name in ("inputs", "awaited", "logs"):
        values[name] = tuple(data[name])
    values["outputs"] = tuple(_read(DecidedOutput, one) for one in data["outputs"])
    values["commands"] = tuple(
        Command(one["text"], one["script"] and _read(Script, one["script"]))
        for one in data["commands"]
    )
    values["shell"] = _read(Shell, data["shell"])
    values["benchmark"] = data["benchmark"] and _read(Benchmark, data["benchmark"])
    if data["container"]:
        container = dict(data["container"])
        values["container"] = _read(Container, {**container, "binds": tuple(container["binds"])})
    return _read(Step, values)


def _read(cls: type[T], values: Mapping[str, Any]) -> T:
    known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise ValueError(f"decision: unknown fields {unknown}")
    return cls(**values)
