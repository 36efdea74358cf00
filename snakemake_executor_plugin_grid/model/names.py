"""The unique names of jobs, such as ``align-1f2e3d4c-12.2``, and the ids of those in bundles."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME_PATTERN = r"[A-Za-z0-9_.-]{1,64}"
"""Regular expression of such names: safe as file names, in a JDL and in shell commands."""
_FIRST = re.compile(r".+-([0-9a-f]{8})-(\d+)")
_LONGEST_RULE = 40
_SEPARATOR = "/"


@dataclass(frozen=True)
class JobName:
    """The unique name of one submission of a job.

    Attributes:
        first: Name of the first submission: rule, run and number of the job in that run.
        resubmissions: How many submissions of the job came before this one.
    """

    first: str
    resubmissions: int = 0

    @classmethod
    def new(cls, rule: str, run: str, number: int) -> JobName:
        """Return the name of a job that was not submitted before.

        Args:
            rule: Name of the rule; characters that are not safe in a name are replaced.
            run: Id of the run, 8 hexadecimal digits.
            number: Counts the jobs of the run.
        """
        safe = "".join(char if char.isalnum() and char.isascii() else "_" for char in rule)
        return cls(f"{safe[:_LONGEST_RULE]}-{run}-{number}")

    @classmethod
    def parse(cls, text: str) -> JobName:
        """Return the name that a text is."""
        first, dot, count = text.rpartition(".")
        return cls(first, int(count)) if dot and count.isdecimal() else cls(text)

    @property
    def run(self) -> str:
        """Id of the run that submitted the job first.

        Raises:
            ValueError: The name contains no such id.
        """
        return self._parts()[0]

    @property
    def number(self) -> int:
        """The number of the job in that run.

        Raises:
            ValueError: The name contains no such number.
        """
        return int(self._parts()[1])

    def _parts(self) -> tuple[str, str]:
        match = _FIRST.fullmatch(self.first)
        if match is None:
            raise ValueError(f"{self.first!r} contains no id of a run")
        return match[1], match[2]

    def __str__(self) -> str:
        return f"{self.first}.{self.resubmissions}" if self.resubmissions else self.first


def member_id(bundle_id: str, job: str) -> str:
    """Return the id of a job in a bundle.

    Args:
        bundle_id: Id that the system has given the bundle.
        job: Unique name of the job.
    """
    return f"{bundle_id}{_SEPARATOR}{job}"


def split_id(grid_id: str) -> tuple[str, str]:
    """Return the id of a bundle and the name of the job in it, which is empty for a job alone."""
    bundle_id, _, job = grid_id.partition(_SEPARATOR)
    return bundle_id, job
