"""The variables of a program in a container.

From internal/pkg/util/env/create.go and action_script.sh of Apptainer. In order of weight:
``APPTAINERENV_X``, then what the image sets, then the variables of the node.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PREFIXES = ("APPTAINERENV_", "SINGULARITYENV_")
_OWN = ("APPTAINER_", "SINGULARITY_")
_ALWAYS_PASSED = frozenset(
    {"TERM"}
    | {
        name
        for stem in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy")
        for name in (stem, stem.upper())
    }
)
_NEVER_PASSED = frozenset({"HOME", "PATH", "LD_LIBRARY_PATH"})
_NOT_OVERRIDDEN = frozenset({"HOME"})
_SPECIAL_PATHS = frozenset({"PREPEND_PATH", "APPEND_PATH", "PATH"})
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class Variables:
    """The variables of a container.

    Attributes:
        passed: Of the node; the image's own win.
        forced: Of ``APPTAINERENV_X`` and ``--env``; they win over the image's own.
        paths: ``PATH``, ``PREPEND_PATH`` and ``APPEND_PATH`` of ``APPTAINERENV_``.
        warnings: For the user.
    """

    passed: dict[str, str] = field(default_factory=dict)
    forced: dict[str, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def variables(node: Mapping[str, str], *, clean: bool, home: str) -> Variables:
    """Sort the variables of the engine's process.

    Args:
        node: The environment of the engine.
        clean: ``--cleanenv``.
        home: The home folder in the container.
    """
    found = Variables()
    if clean:
        found.passed["LANG"] = "C"
    for prefix in _PREFIXES:
        for name, value in node.items():
            key = name[len(prefix) :] if name.startswith(prefix) else ""
            if key in _NOT_OVERRIDDEN:
                found.warnings.append(
                    f"Overriding {key} environment variable with {name} is not permitted"
                )
            elif key in _SPECIAL_PATHS:
                found.paths.setdefault(key, value)
            elif key:
                found.forced.setdefault(key, value)
    for name, value in node.items():
        if name.startswith((*_OWN, *_PREFIXES)) or name in found.forced:
            continue
        if name in _ALWAYS_PASSED or not (clean or name in _NEVER_PASSED):
            found.passed[name] = value
    found.passed["HOME"] = home
    return found


def start_script(found: Variables, *, evaluate: bool) -> str:
    """Return what ``/bin/sh`` of the image runs, without variables, before the command.

    Args:
        found: Of `variables`.
        evaluate: Whether a shell evaluates what is forced: not with ``--no-eval``.
    """
    lines = [
        f"PATH={DEFAULT_PATH}",
        "for grid_script in /.singularity.d/env/*.sh; do",
        '    if [ -f "$grid_script" ]; then . "$grid_script"; fi',
        "done",
        "unset grid_script",
    ]
    for name, value in found.forced.items():
        if _IDENTIFIER.fullmatch(name):
            escaped = value.replace('"', '\\"')
            quoted = f'"{escaped}"' if evaluate else shlex.quote(value)
            lines.append(f"export {name}={quoted}")
    lines += [
        f"for grid_folder in {DEFAULT_PATH.replace(':', ' ')}; do",
        '    case ":$PATH:" in *":$grid_folder:"*) ;; *) PATH="$PATH:$grid_folder" ;; esac',
        "done",
        "unset grid_folder",
    ]
    if "PREPEND_PATH" in found.paths:
        lines.append(f"PATH={shlex.quote(found.paths['PREPEND_PATH'])}:$PATH")
    if "APPEND_PATH" in found.paths:
        lines.append(f"PATH=$PATH:{shlex.quote(found.paths['APPEND_PATH'])}")
    if "PATH" in found.paths:
        lines.append(f"PATH={shlex.quote(found.paths['PATH'])}")
    lines.append("export PATH")
    for name, value in found.passed.items():
        # The shell has set some already, as PWD: they are not the image's.
        if _IDENTIFIER.fullmatch(name) and name not in ("PWD", "OLDPWD", "SHLVL", "_"):
            lines.append(f'[ "${{{name}+x}}" ] || export {name}={shlex.quote(value)}')
            lines.append(f'[ "${{{name}}}" ] || unset {name}')
    lines += [
        'command -v "$1" >/dev/null || {',
        r"""    printf 'FATAL:   "%s": executable file not found in $PATH\n' "$1" >&2""",
        "    exit 255",
        "}",
        'exec "$@"',
    ]
    return "\n".join(lines) + "\n"
