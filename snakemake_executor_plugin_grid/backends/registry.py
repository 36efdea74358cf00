"""The backends that there are, and what the rest of the package asks of the chosen one."""

from __future__ import annotations

import contextlib
import copy
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from ..journal.catalog import Catalog
from ..journal.database import Database
from ..journal.durations import Durations
from ..model.backend_names import backend_names
from ..model.errors import PermanentError
from ..settings.names import flag, from_variables, unread_variables
from ..settings.options import ExecutorSettings
from ..settings.validate import problems_of, refuse
from ..stores import check_store
from ..stores.inventory import Inventory, remote_inventories, rucio_inventories
from .bundles.backend import BundlingBackend
from .bundles.packing import Policy
from .bundles.registry import BundleRegistry
from .kind import BackendKind, BackendSetup, Workspace

BACKENDS = (
    "local",
    "dirac",
    "panda",
)
"""Names of the folders beside this module; ``kind.KIND`` in each describes a backend."""
GROUP = "snakemake_executor_plugin_grid.backends"
"""Group of entry points by which other packages add backends: each names a `BackendKind`."""

_DEFAULTS = {one.name: one.default for one in fields(ExecutorSettings)}


def kind_of(name: str) -> BackendKind:
    """Return what describes a backend.

    Raises:
        PermanentError: There is no such backend.
    """
    kind: BackendKind
    if name in BACKENDS:
        kind = import_module(f".{name}.kind", __package__).KIND
        return kind
    added = entry_points(group=GROUP)
    if name in added.names:
        try:
            kind = added[name].load()
        except Exception as error:
            raise PermanentError(f"--grid-backend {name}: cannot be loaded: {error}") from error
        return kind
    names = ", ".join(known_names())
    raise PermanentError(f"--grid-backend: there is no {name!r}; choose from {names}.")


def known_names() -> list[str]:
    """Return the names of the backends of this package and of others."""
    return [*BACKENDS, *sorted(entry_points(group=GROUP).names)]


def own_kinds() -> list[BackendKind]:
    """Return what describes the backends of this package."""
    return [kind_of(name) for name in BACKENDS]


def all_kinds() -> list[BackendKind]:
    """Return what describes the backends of this package and of others."""
    return [*own_kinds(), *map(kind_of, sorted(entry_points(group=GROUP).names))]


def check_options(settings: ExecutorSettings, workdir: Path) -> list[str]:
    """Check all options at once.

    Args:
        settings: As given.
        workdir: Working directory of the workflow.

    Returns:
        A sentence for each option or variable without effect.

    Raises:
        WorkflowError: Names each bad option, its value and what it should be.
    """
    problems, notes = problems_of(settings), unread_variables(settings)
    kinds, names = own_kinds(), backend_names(settings.backend)
    try:
        chosen = [kind_of(name) for name in names or (settings.backend,)]
    except PermanentError as error:
        chosen = []
        problems.insert(0, str(error))
    else:
        kinds = [*chosen, *(kind for kind in kinds if kind.name not in names)]
        ambient = from_variables(settings)
        others = {
            name
            for name in ambient
            if not any(kind.owns(name) for kind in chosen)
            and any(kind.owns(name) for kind in kinds)
        }
        # What a variable sets for another backend is no mistake.
        settings = copy.copy(settings)  # a new object would call `when_made` again
        for name in others:
            setattr(settings, name, _DEFAULTS[name])  # variables set no lists
        problems += _misplaced(settings, kinds, names)
        notes += [
            f"{flag(name)} {getattr(settings, name)}: has no effect with --grid-backend "
            f"{settings.backend}."
            for name in chosen[0].without_effect
            if all(name in kind.without_effect for kind in chosen)
            and getattr(settings, name) is not None
            and name not in ambient
        ]
    for kind in kinds:
        own = kind.name if kind in chosen else (names or ("",))[0]
        problems += kind.problems(for_backend(settings, own), workdir)
    if len(chosen) > 1:
        problems += _problems_together(settings, chosen)
    schemes = {scheme for kind in kinds for scheme in kind.store_schemes}
    if settings.store is not None and settings.store.partition(":")[0] not in schemes:
        try:
            check_store(settings.store, workdir)
        except PermanentError as error:
            problems.append(str(error))
        except ValueError as error:  # of urllib
            problems.append(f"--grid-store {settings.store}: is no URL ({error}).")
    refuse(list(dict.fromkeys(problems)))
    return notes


def for_backend(settings: ExecutorSettings, name: str) -> ExecutorSettings:
    """Return the options of a run for one of its backends."""
    if settings.backend == name:
        return settings
    settings = copy.copy(settings)  # a new object would call `when_made` again
    settings.backend = name
    return settings


def member_folder(folder: Path, name: str) -> Path:
    """Return the folder of a backend of a run that has several, but for the first.

    The files of the first lie where those of a run with one backend do.
    """
    return folder / "backends" / name


def _misplaced(
    settings: ExecutorSettings, kinds: list[BackendKind], chosen: Sequence[str]
) -> list[str]:
    """Return a sentence for each option that none of the chosen backends has."""
    owners: dict[str, list[str]] = {}
    for kind in kinds:
        for name in kind.options:
            owners.setdefault(name, []).append(kind.name)
    return [
        f"{flag(name)}: is for --grid-backend {' or '.join(names)}, but that is "
        f"{settings.backend!r}."
        for name, names in owners.items()
        if set(names).isdisjoint(chosen) and getattr(settings, name) is not None
    ]


def _problems_together(settings: ExecutorSettings, kinds: list[BackendKind]) -> list[str]:
    """Return a sentence for each reason why backends cannot serve the same run."""
    names = " and ".join([", ".join(kind.name for kind in kinds[:-1]), kinds[-1].name])
    problems = [problem for kind in kinds if (problem := kind.why_alone(settings))]
    if settings.store is None:
        # A preview sends nothing.
        if not settings.describe and not problems:
            problems.append(
                f"--grid-store: is needed with several backends: {names} hand files to each other "
                "through it; give a URL that you and the workers of all of them can reach, such "
                "as file:///shared/scratch/me, s3://…, root://… or davs://…."
            )
        return problems
    scheme = settings.store.partition(":")[0]
    own = {kind.name for kind in kinds if scheme in kind.store_schemes}
    if own and len(own) < len(kinds):
        others = " and ".join(kind.name for kind in kinds if kind.name not in own)
        problems.append(
            f"--grid-store {settings.store}: jobs on {others} cannot reach it; give a URL that "
            f"you and the workers of {names} can reach."
        )
    return problems


def make_backend(
    settings: ExecutorSettings,
    workdir: Path,
    folder: Path,
    database: Database,
    catalog: Catalog,
    say: Callable[[str], None],
    *,
    guest: bool = False,
) -> BackendSetup:
    """Make the chosen backend and its stores; nothing outside is touched yet.

    Of a run with several backends, ``for_backend`` returns the options for one.

    The arguments but the first are those of `Workspace`.

    Raises:
        GridError: They cannot be made: says why.
    """
    bundles = BundleRegistry(database)
    workspace = Workspace(workdir, folder, database, catalog, say, bundles, guest)
    if not guest:
        shutil.rmtree(workspace.spool, ignore_errors=True)  # of an earlier run
    setup = kind_of(settings.backend).make(settings, workspace)
    return replace(setup, backend=_bundling(settings, setup, workspace))


def _bundling(
    settings: ExecutorSettings, setup: BackendSetup, workspace: Workspace
) -> BundlingBackend:
    policy = Policy(
        size=settings.bundle,
        seconds=settings.bundle_minutes * 60,
        processors=settings.bundle_processors,
    )
    return BundlingBackend(
        setup.backend,
        setup.stores,
        workspace.bundles,
        policy,
        Durations(workspace.database, setup.backend.name),
        workspace.folder / "bundles",
        workspace.say,
    )


@contextlib.contextmanager
def open_inventories(
    catalog: Catalog,
    database: Database,
    folder: Path,
    pythons: Mapping[str, Path],
    store_token: Path | None = None,
    rucio_python: Path | None = None,
) -> Iterator[list[Inventory]]:
    """Return what finds the files of a workflow, one for each store.

    Args:
        catalog: Of the workflow.
        database: Of the workflow.
        folder: This package's own, below the working directory.
        pythons: Which have client libraries, by the name of the backend; by default this one.
        store_token: Bearer token for WebDAV and XRootD; None for the usual places.
        rucio_python: Has rucio-clients; None for that of the storage plugin's variable, or this
            one.

    Raises:
        GridError: A store cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        found = []
        for kind in all_kinds():
            python = pythons.get(kind.name, Path(sys.executable))
            found.append(
                stack.enter_context(kind.open_inventory(catalog, database, folder, python))
            )
        found += remote_inventories(catalog, database, store_token)
        found += rucio_inventories(catalog, database, folder, rucio_python, store_token)
        yield [inventory for inventory in found if inventory is not None]
