"""Names of backends, as options and resources list them."""

from __future__ import annotations

from collections.abc import Sequence

from .job import words


def backend_names(text: str) -> tuple[str, ...]:
    """Return the names in ``--grid-backend``, each once, in their order."""
    return tuple(dict.fromkeys(words(text)))


def allowed_backends(resource: str | None, names: Sequence[str]) -> tuple[str, ...]:
    """Return the backends of a run on which a job may run, in the order of preference.

    Args:
        resource: Value of its resource ``grid_backend``; None if it has none.
        names: The backends of the run.
    """
    if resource is None:
        return tuple(names)
    return tuple(name for name in backend_names(resource) if name in names)
