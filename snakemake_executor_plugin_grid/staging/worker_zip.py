"""The worker program as one file: a zip archive that any Python 3.9 or later runs."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_FOLDER = Path(__file__).parents[1] / "worker"
_START = "import sys\nfrom worker.start import main\nsys.exit(main(sys.argv[1:]))\n"


def write_worker(path: Path, extra: Mapping[str, bytes] | None = None) -> None:
    """Write the archive; the same sources give the same bytes.

    Args:
        path: Where to; replaced if it is there.
        extra: More files, by their names in the archive.
    """
    part = path.with_name(path.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", _START)
        for module in sorted(_FOLDER.rglob("*.py")):
            _add(archive, f"worker/{module.relative_to(_FOLDER)}", module.read_bytes())
        for name, content in sorted((extra or {}).items()):
            _add(archive, name, content)
    part.replace(path)


def _add(archive: zipfile.ZipFile, name: str, text: str | bytes) -> None:
    info = zipfile.ZipInfo(name, _LONG_AGO)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, text)
