"""Kills Snakemake at one of its steps, as a power cut would.

Python imports a module of this name when it starts, from the first folder of ``PYTHONPATH`` that
has one: `tests.kills` puts this one there. What the process starts does not see it.

Environment variables:
    GRID_KILL_STEPS: File to which the name of each step is appended.
    GRID_KILL_AT: JSON list of names of steps: the first of them that comes is the last. With a
        number behind, such as "before store.drop 2", it is the second of this name.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGE = "snakemake_executor_plugin_grid"
_CALLS = ("submit", "adopt", "find", "states", "cancel", "retrieve", "discard")
_STORE = ("put", "put_file", "post", "withdraw", "keep", "drop")
# By module: what its functions and methods are called here, and which of them are steps.
_STEPS: dict[str, tuple[str, Sequence[str]]] = {
    f"{_PACKAGE}.journal.database": ("database", ("write",)),
    f"{_PACKAGE}.staging.install": ("staging", ("install",)),
    f"{_PACKAGE}.engine.outputs": ("outputs", ("install",)),
    f"{_PACKAGE}.backends.base": ("backend", ("adopt",)),
    f"{_PACKAGE}.backends.local.backend": ("backend", (*_CALLS, "_exchange")),
    f"{_PACKAGE}.backends.dirac.backend": ("backend", _CALLS),
    f"{_PACKAGE}.backends.panda.backend": ("backend", _CALLS),
    f"{_PACKAGE}.client_process.client": ("client", ("call_now",)),
    f"{_PACKAGE}.client_process.process": ("client", ("_write",)),
    "directory_backend": ("backend", _CALLS),
    f"{_PACKAGE}.stores.directory": ("store", _STORE),
    f"{_PACKAGE}.backends.dirac.store": ("store", _STORE),
    f"{_PACKAGE}.stores.remote": ("store", _STORE),
    f"{_PACKAGE}.stores.spool": ("store", _STORE),
    "snakemake.jobs": ("snakemake", ("register", "postprocess")),
}

# For how long a job may not be found yet; the servers of the tests are quicker than real ones.
_SETTLE_SECONDS = 5.0


class Steps:
    """Notes each step, and ends the process at one of them."""

    def __init__(self, file: int, last: set[str]) -> None:
        """Use an open file.

        Args:
            file: Its descriptor.
            last: Names of the steps of which the first to come is the last; see above.
        """
        self._file = file
        self._last = last
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()
        self._asked = False

    def take(self, name: str) -> None:
        """Note a step; return if it is not the last."""
        with self._lock:
            if name.endswith("backend.states") and not self._asked:
                self._asked = name.startswith("after")
                return  # only the later ones: by then there is something to know
            os.write(self._file, f"{name}\n".encode())
            self._taken[name] += 1
            if {name, f"{name} {self._taken[name]}"} & self._last:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()  # it ends all threads, this one as well

    def around(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return a function of which beginning and good end are steps."""
        named = _NAMES.get(name, lambda *_: name)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            step = named(*args)
            self.take(f"before {step}")
            result = function(*args, **kwargs)
            if hasattr(result, "when_written"):
                result.when_written(lambda: self.take(f"after {step}"))
            else:
                self.take(f"after {step}")
            return result

        @functools.wraps(function)
        async def awaiting(*args: Any, **kwargs: Any) -> Any:
            step = named(*args)
            self.take(f"before {step}")
            result = await function(*args, **kwargs)
            self.take(f"after {step}")
            return result

        return awaiting if inspect.iscoroutinefunction(function) else wrapper


def _writer(*_: Any) -> str:
    """Return who changes the database: ``Journal.submitted``."""
    caller = sys._getframe(2)
    if caller.f_code.co_name == "change" and caller.f_back is not None:
        caller = caller.f_back
    return caller.f_code.co_qualname


def _asked(*args: Any) -> str:
    """Return what the local site is asked."""
    return f"site.{json.loads(args[1])['call']}"


def _called(*args: Any) -> str:
    """Return what the process of a client is asked."""
    return f"client.{args[1]}"


def _sent(*args: Any) -> str:
    """The same, for the moment at which the request has been written and nobody has answered."""
    return f"sending {args[1]['call']}"


_NAMES: dict[str, Callable[..., str]] = {
    "database.write": _writer,
    "backend._exchange": _asked,
    "client.call_now": _called,
    "client._write": _sent,
}


class Finder:
    """Finds modules as Python does, and wraps the steps in them once they are loaded."""

    def __init__(self, steps: Steps) -> None:
        """Use steps."""
        self._steps = steps
        self._busy = threading.local()

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return the spec of a module that has steps."""
        if name not in _STEPS or getattr(self._busy, "name", "") == name:
            return None
        self._busy.name = name
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._busy.name = ""
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def load(module: ModuleType) -> None:
                execute(module)
                self.wrap(module)

            spec.loader.exec_module = load  # type: ignore[method-assign]
        return spec

    def wrap(self, module: ModuleType) -> None:
        prefix, names = _STEPS[module.__name__]
        owners = list(_owners(module, names))
        if not owners:
            raise AttributeError(f"{module.__name__} has none of {', '.join(names)}")
        for owner in {owner for owner, _ in owners if "settle_seconds" in vars(owner)}:
            owner.settle_seconds = min(owner.settle_seconds, _SETTLE_SECONDS)
        for owner, name in owners:
            wrapped = self._steps.around(vars(owner)[name], f"{prefix}.{name}")
            setattr(owner, name, wrapped)


def _owners(module: ModuleType, names: Sequence[str]) -> Iterator[tuple[Any, str]]:
    """Yield the module and its own classes, with each of the names that they define."""
    classes = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and item.__module__ == module.__name__
    ]
    for owner in (module, *classes):
        for name in names:
            if inspect.isfunction(vars(owner).get(name)):
                yield owner, name


def _begin() -> None:
    folder, _, rest = os.environ.pop("PYTHONPATH").partition(os.pathsep)
    if rest:
        os.environ["PYTHONPATH"] = rest
    sys.path.remove(folder)
    # Opened now: what is opened while workflows are parsed counts as one of their sources.
    file = os.open(os.environ.pop("GRID_KILL_STEPS"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    last = set(json.loads(os.environ.pop("GRID_KILL_AT")))
    finder = Finder(Steps(file, last))
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    for name in _STEPS.keys() & sys.modules.keys():  # in a fork of a process that has them
        finder.wrap(sys.modules[name])


if "GRID_KILL_STEPS" in os.environ:
    _begin()
