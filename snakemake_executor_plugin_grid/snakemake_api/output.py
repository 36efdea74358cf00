"""What Snakemake prints about a job that it runs on a worker."""

from __future__ import annotations

import re
from collections.abc import Sequence

# An indented block announces a job; another follows if it fails.
_ANNOUNCED = ("    reason: ", "    resources: ")
_ERROR = re.compile(r"Error in (rule|group) .+:")
_DATE = re.compile(r"\[\w{3} \w{3} .+ \d{4}\]")
# A plugin is missing that a name, a query or an option needs.
_NO_PLUGIN = re.compile(
    r"The package snakemake-storage-plugin-\S+ is not installed"
    r"|No storage provider found for query|unrecognized arguments: .*--storage-"
)


def rule_output(lines: Sequence[str]) -> list[str]:
    """Return the lines of the last rule itself, without those that Snakemake prints around them."""
    ends = [number for number, line in enumerate(lines) if _ERROR.match(line)]
    own = list(lines)
    if ends:
        own = [line for line in own[: ends[0]] if not _DATE.fullmatch(line)]
    begins = [number for number, line in enumerate(own) if line.startswith(_ANNOUNCED)]
    return own[begins[-1] + 1 :] if begins else own


def lacks_storage_plugin(text: str) -> bool:
    """Return whether Snakemake has failed because a storage plugin is not installed."""
    return _NO_PLUGIN.search(text) is not None
