"""The options ``--storage-grid-…``."""

# Without `from __future__ import annotations`: Snakemake reads the types of the fields.
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from snakemake_interface_storage_plugins.settings import StorageProviderSettingsBase


def _option(text: str, metavar: str, kind: Any = str) -> Any:
    metadata = {"help": text, "metavar": metavar, "env_var": True, "type": kind}
    return field(default=None, metadata=metadata)


# Snakemake reads the annotations at run time, and knows only this spelling.
@dataclass
class StorageProviderSettings(StorageProviderSettingsBase):
    """What the file catalogs need to know.

    Where the executor has the same option, that is the default.
    """

    dirac_python: Optional[Path] = _option(  # noqa: UP045
        "Python that has the DIRAC client (default: that of --grid-dirac-python, its variable, or "
        "this one).",
        "PATH",
        Path,
    )
    storage_element: Optional[str] = _option(  # noqa: UP045
        "Storage element of DIRAC on which outputs are stored (default: that of "
        "--grid-dirac-storage-element, or its variable).",
        "NAME",
    )
    rucio_python: Optional[Path] = _option(  # noqa: UP045
        "Python that has the Rucio client (default: this one).", "PATH", Path
    )
    rucio_rse: Optional[str] = _option(  # noqa: UP045
        "Rucio storage element on which outputs are stored.", "RSE"
    )
    rucio_lifetime: Optional[str] = _option(  # noqa: UP045
        "How long Rucio keeps outputs, in seconds or such as 12h or 30d (default: for ever).",
        "TIME",
    )
    rucio_account: Optional[str] = _option(  # noqa: UP045
        "Rucio account (default: that of Rucio's configuration).", "NAME"
    )


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def seconds_of(text: str) -> Optional[int]:  # noqa: UP045
    """Return a time such as ``3600``, ``12h`` or ``30d`` in seconds; None if it is none."""
    number, unit = text.strip(), "s"
    if number and number[-1].lower() in _UNITS:
        number, unit = number[:-1].strip(), number[-1].lower()
    if not number.isdecimal() or int(number) == 0:
        return None
    return int(number) * _UNITS[unit]


def path_of(value: Any) -> Optional[Path]:  # noqa: UP045
    """Return a path that was given as an option, in the Snakefile, or as a variable."""
    return Path(os.path.expandvars(str(value))).expanduser() if value else None
