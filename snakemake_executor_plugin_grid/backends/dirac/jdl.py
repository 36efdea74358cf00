"""Job descriptions for DIRAC: from jobs and options to JDL text, by pure functions.

All submissions are parametric jobs, one job alone as well: the server runs those only once they
are confirmed, so a lost answer does no harm. What jobs of one JDL share are their requirements;
only name and input data differ. Commands, environment and wildcards are in the sandbox instead.

A value goes into the JDL only if DIRAC reads back what was written. DIRAC's parser
(``ClassAdLight``, ``ParametricJob`` and ``loadJDLAsCFG`` of 9.1) ends a value at the first ``;``
even inside quotes, takes ``[`` for a nested description, splits list items at commas, drops the
blanks in them, and replaces ``%s``, ``%n`` and ``%j`` everywhere.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...model.errors import PermanentError
from ...model.job import JobSpec, Resources
from ...model.names import NAME_PATTERN
from .limits import DEFAULT_LIMITS, Limits, cpu_time

MAX_GROUP = 32  # width of the column in the job database
DOWNLOAD = "DIRAC.WorkloadManagementSystem.Client.DownloadInputData"
OUTPUT_SANDBOX = ("std.out", "std.err", "report.json", "payload.log", "*.blob")

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+@/-]*")
_NAME = re.compile(NAME_PATTERN)
_FOLDER = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9_.+@=-]*)+")
_SANDBOX = re.compile(r"SB:[A-Za-z0-9_.:+@=|/-]+")
_LFN = re.compile(rf"LFN:{_FOLDER.pattern}")

_ATTRIBUTE = re.compile(
    r"""\s*([A-Za-z][A-Za-z0-9_]*)\s*=\s*("[^"]*"|\{[^{}]*\}|[^\s;"{}=]+)\s*(?:;\s*|$)"""
)
_LIST = re.compile(r"""\{\s*("[^"]*"(\s*,\s*"[^"]*")*)\s*\}""")
_LITERAL = re.compile(r"-?[0-9]+(\.[0-9]+)?|true|false", re.IGNORECASE)
_ITEM = re.compile(r"[!#$&-+.-:<-Z^-z|~-]+")
_SENTENCE = re.compile(rf"{_ITEM.pattern}( +{_ITEM.pattern})*")
_OWN = frozenset(
    name.lower()
    for name in (
        *("JobName", "JobGroup", "Executable", "Arguments", "StdOutput", "StdError"),
        *("InputSandbox", "OutputSandbox", "InputData", "OutputData", "OutputSE", "OutputPath"),
    )
)

Requirements = Mapping[str, str]
"""Attributes and their values, as JDL text."""


@dataclass(frozen=True)
class Options:
    """Options for all jobs of a run; resources of a rule override them.

    Attributes:
        sites: Where jobs may run; empty or ``ANY`` for everywhere.
        banned_sites: Where they must not run.
        tags: What a slot has to offer.
        platform: As the server's configuration names it; empty for any.
        job_type: Empty for the server's default, ``User``.
        priority: 0 to 10; None for the server's default.
        extra: Further attributes, such as ``LogLevel = "DEBUG"; GridCE = "ce.example.org";``.
        cpu_power: HS06 of one core, by which the run time is scaled (see ``cpu_time``).
        storage_element: Where outputs go; empty for the output sandbox.
        output_folder: LFN below which each job has its folder of outputs.
        limits: Of the server.
        known_sites: Those of the installation; empty if they are not known.
        memory_in_gb: Whether the server takes memory for GB (see ``Versions``).
    """

    sites: tuple[str, ...] = ()
    banned_sites: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    platform: str = ""
    job_type: str = ""
    priority: int | None = None
    extra: str = ""
    cpu_power: float = 10.0
    storage_element: str = ""
    output_folder: str = ""
    limits: Limits = DEFAULT_LIMITS
    known_sites: frozenset[str] = frozenset()
    memory_in_gb: bool = False


@dataclass(frozen=True)
class _Setting:
    """Values and their origins."""

    source: str
    values: tuple[str, ...]

    def words(self) -> tuple[str, ...]:
        for value in self.values:
            if not _WORD.fullmatch(value):
                raise PermanentError(
                    f"{self.source}: {value!r} cannot go into a JDL; only letters, digits and "
                    "_ . : + @ / - may be used."
                )
        return tuple(dict.fromkeys(self.values))

    def word(self) -> str:
        words = self.words()
        if len(words) > 1:
            raise PermanentError(f"{self.source}: takes one value, not {', '.join(words)}.")
        return words[0] if words else ""


def requirements(spec: JobSpec, options: Options, avoid: Collection[str] = ()) -> Requirements:
    """Return the JDL attributes that a job shares with others of its kind.

    Resources of a rule (``grid_…``) override the options. ``disk_mb`` is left out:
    DIRAC 9.1 can neither match by disk space nor reserve it. A GPU is asked for by the tag
    ``GPU``, as DIRAC 9.1 has no other way to match one; how many is up to the slot.

    Args:
        spec: The job.
        options: Of the run.
        avoid: Sites where jobs failed lately; disregarded where the sites asked for are all
            among them.

    Raises:
        PermanentError: Names the rule or option and its value that cannot go into a JDL.
    """
    resources = spec.resources
    found: dict[str, str] = {}
    _add_sites(found, spec, options, avoid)
    tags = (*_setting(spec, "tags", options.tags).words(), *(("GPU",) if resources.gpus else ()))
    if tags:
        found["Tags"] = _list(dict.fromkeys(tags))
    if platform := _setting(spec, "platform", options.platform).word():
        found["Platform"] = _text(platform)
    if job_type := _setting(spec, "job_type", options.job_type).word():
        found["JobType"] = _text(job_type)
    if (priority := _priority(spec, options)) is not None:
        found["Priority"] = str(priority)
    if resources.processors > options.limits.max_processors:
        raise PermanentError(
            f"{spec.title}: threads: DIRAC gives a job at most {options.limits.max_processors} "
            f"processors, not {resources.processors}."
        )
    # DIRAC turns it into tags that single-processor slots lack, so it is set only if needed.
    if resources.processors > 1:
        found["NumberOfProcessors"] = str(resources.processors)
    found |= _memory(resources.memory_mb, options)
    if resources.runtime_s is not None:
        found["CPUTime"] = str(cpu_time(resources, options.cpu_power, options.limits))
    if options.storage_element:
        found |= _output_data(options)
    found |= read_extra(options.extra, "--grid-jdl")
    found |= read_extra(spec.overrides.get("jdl", ""), f"{spec.title}: resource grid_jdl")
    return found


def check_options(options: Options) -> None:
    """Make sure that the options can go into the JDL of any job.

    Raises:
        PermanentError: Names the option and its value.
    """
    plain = JobSpec(
        *("plain-00000000-1", "plain", (), "1", 1, "", (), frozenset(), (), ()),
        resources=Resources(),
        environment={},
        overrides={},
    )
    # The folder of outputs is known only after a call to the server.
    requirements(plain, replace(options, storage_element="", output_folder=""))


def jdl(
    job_group: str,
    names: Sequence[str],
    requirements: Requirements,
    sandboxes: Sequence[Sequence[str]],
    inputs: Sequence[Sequence[str]] = (),
) -> str:
    """Return the text of one submission.

    Input data is always downloaded, also if the VO's policy differs. DIRAC 9.1 runs such a job only
    at sites whose storage elements have a replica of all its input data; nothing in a JDL changes
    that (newer versions ignore ``DisableDataScheduling``).

    Args:
        job_group: Of the run, 32 characters at most.
        names: Of the jobs; each is the only argument of its job.
        requirements: That they share.
        sandboxes: For each job, the ``SB:…`` addresses of its input sandboxes.
        inputs: For each job, the ``LFN:/…`` of its input data. As with the sandboxes, all jobs
            have equally many.

    Raises:
        ValueError: The arguments do not fit together, or a name is not safe.
        PermanentError: The server's address of a sandbox, or an LFN, cannot go into a JDL.
    """
    _check_names(job_group, names)
    parameters = {"Parameters": _list(names)}
    attributes = {
        "JobName": _text("%s"),
        "JobGroup": _text(job_group),
        "Executable": _text("grid-job.sh"),
        "Arguments": _text("%s"),
        "StdOutput": _text("std.out"),
        "StdError": _text("std.err"),
        "OutputSandbox": _list(OUTPUT_SANDBOX),
    }
    for attribute, slot, what, safe, lists in (
        ("InputSandbox", "sb", "Input sandbox", _SANDBOX, sandboxes),
        ("InputData", "in", "Input data", _LFN, inputs),
    ):
        values = []
        for number, column in enumerate(_columns(what, safe, len(names), lists)):
            if len(set(column)) == 1:
                values.append(column[0])
            else:
                values.append(f"%({slot}{number})s")
                parameters[f"Parameters.{slot}{number}"] = _list(column)
        if values:
            attributes[attribute] = _list(values)
    if "InputData" in attributes:
        attributes["InputDataPolicy"] = _text(DOWNLOAD)
    lines = (
        f"{name} = {value};" for name, value in {**attributes, **requirements, **parameters}.items()
    )
    return "\n".join(["[", *lines, "]", ""])


def takes_lfn(lfn: str) -> bool:
    """Return whether an LFN can be input data: a JDL cannot have all that a file can be called."""
    return _LFN.fullmatch(f"LFN:{lfn}") is not None


def read_extra(text: str, source: str) -> dict[str, str]:
    """Read attributes as a user writes them: ``Name = "value"; Other = 3; List = {"a", "b"};``.

    Args:
        text: Attributes, each but the last ended by a semicolon.
        source: The option or rule that it comes from, for messages.

    Raises:
        PermanentError: It is no JDL, DIRAC would not read it as written, or it names an attribute
            that is the plugin's own.
    """
    found = {}
    position = len(text) - len(text.lstrip())
    while position < len(text):
        match = _ATTRIBUTE.match(text, position)
        if not match:
            raise PermanentError(
                f"{source}: cannot read {text[position:].strip()[:60]!r}; write attributes as "
                'Name = "value"; Other = 3; List = {"a", "b"};'
            )
        name, value = match.groups()
        if name.lower() in _OWN or name.lower().startswith("parameter"):
            raise PermanentError(f"{source}: {name} is set by this plugin; take it out.")
        found[name] = _expression(name, value, source)
        position = match.end()
    return found


def _setting(spec: JobSpec, name: str, option: str | tuple[str, ...]) -> _Setting:
    source = f"--grid-{name.replace('_', '-')}"
    if name in spec.overrides:
        source, option = f"{spec.title}: resource grid_{name}", spec.overrides[name]
    text = option if isinstance(option, str) else ",".join(option)
    return _Setting(source, tuple(word for word in re.split(r"[,\s]+", text) if word))


def _add_sites(
    found: dict[str, str], spec: JobSpec, options: Options, avoid: Collection[str]
) -> None:
    asked = _setting(spec, "site", options.sites)
    banned = _setting(spec, "banned_sites", options.banned_sites)
    avoided = [site for site in sorted(avoid) if _WORD.fullmatch(site)]
    sites = () if "ANY" in (word.upper() for word in asked.words()) else asked.words()
    if not sites:
        if unwanted := tuple(dict.fromkeys((*banned.words(), *avoided))):
            found["BannedSites"] = _list(unwanted)
        return
    # DIRAC 8 takes a job for a site that does not exist, and fails it later.
    unknown = sorted(set(sites) - options.known_sites) if options.known_sites else []
    if unknown:
        raise PermanentError(
            f"{asked.source}: the installation has no site {', '.join(unknown)}."
            f"{_similar(unknown[0], options.known_sites)}"
        )
    left = [site for site in sites if site not in banned.words()]
    if not left:
        raise PermanentError(
            f"{asked.source}: no site is left of {', '.join(sites)}, because of {banned.source} "
            f"{', '.join(banned.words())}."
        )
    found["Site"] = _list([site for site in left if site not in avoided] or left)


def _similar(name: str, names: Collection[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), cutoff=0.5)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _memory(megabytes: int | None, options: Options) -> dict[str, str]:
    if not megabytes:
        return {}
    if not options.memory_in_gb:
        # Slots are matched by MinRAM; MaxRAM is the memory of the slot that the job may use.
        return dict.fromkeys(("MinRAM", "MaxRAM"), str(megabytes))
    # It becomes a tag such as "2GB"; slots offer the tags from 2GB on (Matcher of DIRAC 8.0).
    gigabytes = math.ceil(megabytes / 1000)
    return {"MaxRAM": str(gigabytes)} if gigabytes > 1 else {}


def _priority(spec: JobSpec, options: Options) -> int | None:
    option = "" if options.priority is None else str(options.priority)
    setting = _setting(spec, "priority", option)
    if not (word := setting.word()):
        return None
    most = options.limits.max_priority
    if not (word.isdecimal() and int(word) <= most):
        raise PermanentError(
            f"{setting.source}: has to be a whole number from 0 to {most}, not {word}."
        )
    return int(word)


def _output_data(options: Options) -> dict[str, str]:
    element = _Setting("--grid-dirac-storage-element", (options.storage_element,)).word()
    if not _FOLDER.fullmatch(options.output_folder):
        raise PermanentError(
            f"--grid-store: {options.output_folder!r} has to be a folder such as "
            "/vo/user/u/user/runs, of letters, digits and _ . + @ = - only."
        )
    return {
        "OutputData": _list(["*.data"]),
        "OutputSE": _text(element),
        "OutputPath": _text(f"LFN:{options.output_folder}/%s"),
    }


def _check_names(job_group: str, names: Sequence[str]) -> None:
    for name in (job_group, *names):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not safe as a name in a JDL")
    if len(job_group) > MAX_GROUP:
        raise ValueError(f"job group {job_group} has more than {MAX_GROUP} characters")
    if not names or len(set(names)) < len(names):
        raise ValueError("a submission needs jobs with different names")


def _columns(
    what: str, safe: re.Pattern[str], jobs: int, lists: Sequence[Sequence[str]]
) -> list[tuple[str, ...]]:
    """Return the first file of every job, then the second, and so on."""
    if not lists:
        return []
    if len(lists) != jobs or len({len(values) for values in lists}) > 1:
        raise ValueError(f"{what}: the jobs of a submission need equally many")
    for values in lists:
        if len(set(values)) < len(values):
            raise ValueError(f"{what}: a job cannot have the same twice")
        for value in values:
            if not safe.fullmatch(value):
                raise PermanentError(f"{what} {value!r}: this name cannot go into a JDL.")
    return list(zip(*lists, strict=True))


def _expression(name: str, value: str, source: str) -> str:
    if _LITERAL.fullmatch(value):
        return value
    if value.startswith('"') and _SENTENCE.fullmatch(value[1:-1]):
        return value
    if match := _LIST.fullmatch(value):
        items = match[1].split('"')[1::2]
        if all(_ITEM.fullmatch(item) for item in items):
            return _list(items)
    raise PermanentError(
        f"{source}: {name} = {value}: DIRAC would not read this as it is written. A value is a "
        "number, true, false, a text in double quotes, or a list of those texts in braces; a text "
        "has no , ; % [ ] { } or backslash in it, and no blanks in a list."
    )


def _text(value: str) -> str:
    return f'"{value}"'


def _list(values: Iterable[str]) -> str:
    # Without blanks: DIRAC's client looks for `","` in the sandbox list.
    return "{" + ",".join(f'"{value}"' for value in values) + "}"
