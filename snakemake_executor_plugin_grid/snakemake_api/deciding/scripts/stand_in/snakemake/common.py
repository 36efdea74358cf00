"""Stands in for ``snakemake.common``."""

import hashlib
import sys

from grid_script import lacks, version

__getattr__ = lacks(__name__)

__version__ = version()
ON_WINDOWS = sys.platform == "win32"
RULEFUNC_CONTEXT_MARKER = "__is_snakemake_rule_func"


def get_report_id(path: object) -> str:
    """Return the id of a path in a report."""
    return hashlib.sha256(str(path).encode()).hexdigest()
