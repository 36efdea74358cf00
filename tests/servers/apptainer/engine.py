"""The command ``apptainer`` of the tests.

Arguments: a settings file, then those of Apptainer. The settings are JSON: `Settings`.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from .environment import start_script, variables
from .namespace import Bind, NoContainer, enter

VERSION = "1.3.6"
MARK = "image of the stand-in: "
"""An image file begins with it; the URL of the image follows."""
_SYSTEM = ("/dev", "/proc", "/sys", "/etc/localtime", "/etc/hosts")
_SYSTEM_FOLDERS = ("/", "/etc", "/bin", "/mnt", "/usr", "/var", "/opt", "/sbin", "/lib", "/lib64")
_OPTIONS = ("ro", "rw")


@dataclass(frozen=True)
class Settings:
    """What an administrator or a registry has.

    Attributes:
        images: Root folders by URL.
        log: File that gets each call as a line of JSON: ``argv`` and ``cwd``; empty for none.
        user_bind_control: As in apptainer.conf: whether users may bind.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    user_bind_control: bool = True


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"Error for command {self.prog!r}: {message}", file=sys.stderr)
        raise SystemExit(1)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; return the exit code, except of a command in a container."""
    settings_path, *arguments = sys.argv[1:] if argv is None else argv
    settings = Settings(**json.loads(Path(settings_path).read_text()))
    if settings.log:
        line = json.dumps({"argv": arguments, "cwd": os.getcwd()}) + "\n"  # noqa: PTH109
        with Path(settings.log).open("a") as stream:
            stream.write(line)
    given = _parser().parse_args(arguments)
    try:
        if given.action == "pull":
            return _pull(settings, given.name, given.url)
        _exec(settings, given)
    except (NoContainer, OSError) as error:
        print(f"FATAL:   container creation failed: {error}", file=sys.stderr)
        return 255


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("apptainer", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"apptainer version {VERSION}")
    for names in (("-q", "--quiet"), ("-s", "--silent"), ("-v", "--verbose"), ("-d", "--debug")):
        parser.add_argument(*names, action="store_true")
    actions = parser.add_subparsers(dest="action", required=True)
    pull = actions.add_parser("pull", allow_abbrev=False)
    pull.add_argument("--name", required=True)
    pull.add_argument("url")
    run = actions.add_parser("exec", allow_abbrev=False)
    environ = os.environ
    for flag in ("-e", "--cleanenv"), ("--no-eval",), ("--no-home",), ("--nv",), ("--rocm",):
        name = flag[-1][2:].replace("-", "_").upper()
        run.add_argument(*flag, action="store_true", default=_set(environ, name))
    run.add_argument("-H", "--home", default=_of(environ, "HOME"))
    run.add_argument("-B", "--bind", action="append", default=[])
    run.add_argument("--env", action="append", default=[])
    run.add_argument("--pwd", "--cwd", dest="pwd", default=_of(environ, "CWD", "PWD"))
    run.add_argument("image")
    run.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def _of(environ: Mapping[str, str], *names: str) -> str:
    """Return the value of an option that a variable such as ``APPTAINER_BIND`` sets."""
    for name in names:
        for prefix in ("APPTAINER_", "SINGULARITY_"):
            if value := environ.get(prefix + name):
                return value
    return ""


def _set(environ: Mapping[str, str], name: str) -> bool:
    return _of(environ, name).lower() in ("1", "t", "true", "yes")


def _pull(settings: Settings, name: str, url: str) -> int:
    if url not in settings.images:
        print(f"FATAL:   While pulling image: {url}: not found", file=sys.stderr)
        return 255
    if Path(name).exists():
        print(f"FATAL:   Image file already exists: {name!r}", file=sys.stderr)
        return 255
    Path(name).write_text(f"{MARK}{url}\n")
    return 0


def _exec(settings: Settings, given: argparse.Namespace) -> NoReturn:
    if not given.command:
        print("Error for command 'exec': requires at least 2 arg(s)", file=sys.stderr)
        raise SystemExit(1)
    image = _folder(settings, given.image)
    cwd = os.getcwd()  # noqa: PTH109
    home, home_inside = _home(given.home or os.environ.get("HOME", "/"))
    binds = _binds(settings, given, cwd, Bind(home, home_inside, required=bool(given.home)))
    found = variables(os.environ, clean=given.cleanenv, home=home_inside)
    for text in given.env:
        name, _, value = text.partition("=")
        found.forced[name] = value
    for prefix in ("APPTAINER", "SINGULARITY"):
        found.passed[f"{prefix}_CONTAINER"] = given.image
        found.passed[f"{prefix}_NAME"] = os.path.basename(given.image)  # noqa: PTH119
        found.passed[f"{prefix}_BIND"] = ",".join(given.bind)  # empty ones are unset
    for warning in found.warnings:
        _warn(warning)
    script = start_script(found, evaluate=not given.no_eval)
    enter(image, binds, _users(image, home_inside))
    _go(given.pwd, cwd, home_inside)
    line = ["/bin/sh", "-c", script, "apptainer", *given.command]
    os.execve("/bin/sh", line, {"HOME": home_inside})  # noqa: S606


def _binds(settings: Settings, given: argparse.Namespace, cwd: str, home: Bind) -> list[Bind]:
    """Return what is bound, in the order of Apptainer (`authorizedTags` in its mount package)."""
    if given.home and not settings.user_bind_control:
        raise NoContainer("not mounting user requested home: user bind control is disallowed")
    binds = [Bind(path, path, required=False) for path in _SYSTEM]
    if home.place and not given.no_home:
        binds.append(home)
    binds += [Bind(path, path, required=False) for path in ("/tmp", "/var/tmp")]
    wanted = parse_binds([*given.bind, _of(os.environ, "BIND"), _of(os.environ, "BINDPATH")])
    if settings.user_bind_control:
        binds += sorted(wanted, key=lambda bind: bind.place)
        if cwd not in _SYSTEM_FOLDERS and not cwd.startswith(("/sys", "/proc", "/dev")):
            binds.append(Bind(cwd, cwd, required=False))
        return binds
    for bind in wanted:
        _warn(
            f"Ignoring {bind.source} bind mount: user bind control disabled by system administrator"
        )
    return binds


def _folder(settings: Settings, image: str) -> str:
    """Return the root folder of an image: a folder, a URL, or a file that `pull` made."""
    url = image
    if "://" not in image:
        path = Path(image).absolute()
        if path.is_dir():
            return str(path.resolve())
        try:
            text = path.read_text()
        except OSError:
            raise NoContainer(
                f"could not open image {path}: failed to retrieve path for {path}: "
                f"lstat {path}: no such file or directory"
            ) from None
        if not text.startswith(MARK):
            raise NoContainer(f"could not open image {path}: image format not recognized")
        url = text[len(MARK) :].strip()
    if url not in settings.images:
        raise NoContainer(f"Unable to handle {url} uri: not found")
    return settings.images[url]


def _users(image: str, home: str) -> dict[str, str]:
    """Return the image's /etc/passwd with the user's entry, as Apptainer writes it."""
    path = Path(image, "etc/passwd")
    if not path.is_file():
        return {}
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = f"user{uid}"
    others = [line for line in path.read_text().splitlines() if line.split(":")[2] != str(uid)]
    entry = f"{user}:x:{uid}:{os.getgid()}::{home}:/bin/sh"
    return {"/etc/passwd": "\n".join([*others, entry, ""])}


def _home(text: str) -> tuple[str, str]:
    source, *inside = text.split(":")
    if len(inside) > 1:
        raise NoContainer(f"home argument has incorrect number of elements: {len(inside) + 1}")
    source = os.path.abspath(source)  # noqa: PTH100
    return source, inside[0] if inside else source


def parse_binds(texts: Sequence[str]) -> list[Bind]:
    """Read ``source[:destination[:options]]``, several with commas between them.

    Raises:
        NoContainer: An option is unknown.
    """
    parts = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    binds: list[Bind] = []
    for part in parts:
        if part in _OPTIONS and binds:  # a second option, as in /a:/b:rw,ro
            last = binds[-1]
            binds[-1] = Bind(last.source, last.destination, last.read_only or part == "ro")
            continue
        source, *rest = part.split(":")
        if len(rest) > 1 and rest[1] not in _OPTIONS:
            raise NoContainer(f"while getting bind path: {rest[1]} is not a valid bind option")
        source = os.path.abspath(source)  # noqa: PTH100
        destination = rest[0] if rest and rest[0] else source
        if not destination.startswith("/"):
            raise NoContainer(f"destination must be an absolute path, not {destination}")
        binds.append(Bind(source, destination, rest[1:] == ["ro"]))
    return binds


def _go(asked: str, cwd: str, home: str) -> None:
    """Go to the working directory: only a folder that the user named has to exist."""
    if asked:
        try:
            os.chdir(asked)
        except OSError as error:
            raise NoContainer(f"failed to set working directory: {error}") from error
        return
    for folder in (cwd, home, "/"):
        try:
            os.chdir(folder)
        except OSError:
            _warn(f"Error changing the container working directory {folder}")
        else:
            return


def _warn(text: str) -> None:
    print(f"WARNING: {text}", file=sys.stderr)


def program(settings: Path, **values: Any) -> str:
    """Write the settings, and return the text of the command for them."""
    settings.write_text(json.dumps({**vars(Settings()), **values}))
    root = Path(__file__).parents[3]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); "
        f"from {__name__} import main; sys.exit(main())"
    )
    # -I, as the variables are the container's, not this Python's.
    return f'#!/bin/sh\nexec {sys.executable!r} -I -S -c "{code}" \'{settings}\' "$@"\n'
