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
        "Python that has the Rucio client (default: that of --grid-rucio-python, its variable, or "
        "this one).",
        "PATH",
        Path,
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


def path_of(value: Any) -> Optional[Path]:  # noqa: UP045
    """Return a path that was given as an option, in the Snakefile, or as a variable."""
    return Path(os.path.expandvars(str(value))).expanduser() if value else None
