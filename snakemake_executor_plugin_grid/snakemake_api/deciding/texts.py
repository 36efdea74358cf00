"""Translates the paths and texts of one job, and collects the files that they name."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from .marking import Marker, check
from .mentioned import Mentioned
from .paths import Paths
from .variables import Variables


class Texts:
    """The texts of one job.

    Attributes:
        paths: Translates paths; its files are those that the job needs besides its inputs.
        undeclared: Those of the files that only a text names.
        variables: Hides their values.
        large: Files that only a text names, too large to travel.
    """

    def __init__(
        self,
        paths: Paths,
        marker: Marker,
        mentioned: Mentioned,
        products: Container[str],
        variables: Variables,
    ) -> None:
        """Begin with no files.

        Args:
            paths: Of the job.
            marker: Puts marks into texts.
            mentioned: Finds files that texts name.
            products: Paths that jobs of the workflow make.
            variables: Hides values that may be secrets.
        """
        self.paths = paths
        self.products = products
        self.variables = variables
        self.undeclared: set[str] = set()
        self.large: set[str] = set()
        self._marker = marker
        self._mentioned = mentioned

    def path(self, path: str) -> str:
        """Return a path as the worker finds it.

        Raises:
            Unsupported: It cannot be sent.
        """
        return self.paths.on_worker(check(path))

    def text(self, text: str, job: Any) -> str:
        """Return a shell text with marks, after noting the files that it names.

        Args:
            text: Such as a command.
            job: ``snakemake.jobs.Job``; its own files are declared.

        Raises:
            Unsupported: It cannot be sent.
        """
        check(text)
        return self._marker.mark(text, self.paths, self.note(text, job))

    def note(self, text: str, job: Any) -> Mapping[str, str]:
        """Note the files that a text names, such as a param of a script.

        Returns:
            `Found.elsewhere`.
        """
        found = self._mentioned.files(text, job, self.paths, self.products)
        self.undeclared.update(found.files.keys() - self.paths.files.keys())
        self.large.update(found.large)
        for name, path in {**found.beside, **found.files}.items():
            self.paths.files.setdefault(name, path)
        return found.elsewhere

    def command(self, text: str, job: Any) -> str:
        """Return what `text` returns, without the values of variables that may be secrets."""
        return self.variables.hide(self.text(text, job))
