"""All that this package uses of Snakemake beyond its interface packages.

Seen in Snakemake 9.27.1. ``tests/unit/internals`` breaks when one of these changes.
"""

from .marking import mark_incomplete, marked_incomplete
from .rerun import doing
from .scheduling import Scheduling
from .workflow import Internals, is_flagged, is_local_file, names, staying

__all__ = [
    "Internals",
    "Scheduling",
    "doing",
    "is_flagged",
    "is_local_file",
    "mark_incomplete",
    "marked_incomplete",
    "names",
    "staying",
]
