"""A worker node with a small DIRAC: a catalog in a JSON file, and a folder of files."""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.worker.grid_files.dirac import PYTHON
from snakemake_executor_plugin_grid.worker.grid_files.records import GridInput, GridOutput
from snakemake_executor_plugin_grid.worker.tree import Tree

_MODULES = {
    "DIRAC/__init__.py": "def initialize(): print('initialized')\n",
    "DIRAC/Resources/Catalog/FileCatalog.py": """
from fake import files, trouble
class FileCatalog:
    def getFileMetadata(self, lfns):
        if (error := trouble('metadata')): return {'OK': False, 'Message': error}
        good = {lfn: files()[lfn] for lfn in lfns if lfn in files()}
        bad = {lfn: 'No such file or directory' for lfn in lfns if lfn not in files()}
        return {'OK': True, 'Value': {'Successful': good, 'Failed': bad}}
""",
    "DIRAC/DataManagementSystem/Client/DataManager.py": """
import os, shutil, zlib
from fake import HERE, files, save, trouble
def good(lfn): return {'OK': True, 'Value': {'Successful': {lfn: {}}, 'Failed': {}}}
class DataManager:
    def getFile(self, lfns, destinationDir):
        (lfn,) = lfns
        if lfn not in files():
            return {'OK': True, 'Value': {'Successful': {}, 'Failed': {lfn: 'no replica'}}}
        shutil.copyfile(HERE + '/data' + lfn.replace('/', '_'),
                        os.path.join(destinationDir, os.path.basename(lfn)))
        return good(lfn)
    def removeFile(self, lfns):
        found = files()
        for lfn in lfns: found.pop(lfn, None)
        save(found)
        return good(lfns[0])
    def putAndRegister(self, lfn, path, element, guid):
        if (error := trouble('put')): return {'OK': False, 'Message': error}
        data = open(path, 'rb').read()
        if not data: return {'OK': False, 'Message': 'Supplied file is zero size.'}
        found = files()
        if lfn in found: return {'OK': False, 'Message': 'already exists'}
        shutil.copyfile(path, HERE + '/data' + lfn.replace('/', '_'))
        found[lfn] = {'Size': len(data), 'Checksum': '%08x' % zlib.adler32(data),
                      'GUID': guid, 'element': element}
        save(found)
        return good(lfn)
""",
    "fake.py": """
import json, os, time
time.sleep = lambda seconds: None
HERE = os.path.dirname(os.path.abspath(__file__))
def files(): return json.load(open(HERE + '/files.json'))
def save(found): json.dump(found, open(HERE + '/files.json', 'w'))
def trouble(step):
    path = f'{HERE}/trouble-{step}'
    if not os.path.exists(path): return ''
    errors = open(path).read().splitlines()
    open(path, 'w').write(chr(10).join(errors[1:]))
    return errors[0] if errors else ''
""",
}


class Node:
    """A worker node.

    Attributes:
        sandbox: Where the WMS puts files.
        scratch: Of the job.
        tree: Of the job.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.sandbox, self.scratch = folder / "sandbox", folder / "scratch"
        for path in (self.sandbox, self.scratch):
            path.mkdir()
        self.tree = Tree(folder / "tree", ())
        self._dirac = folder / "dirac"
        for name, text in _MODULES.items():
            module = self._dirac / name
            module.parent.mkdir(parents=True, exist_ok=True)
            module.write_text(text)
        self.files = {}
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={self._dirac} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        patch.setenv(PYTHON, str(python))

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """What the catalog has, by LFN."""
        found: dict[str, dict[str, Any]] = json.loads((self._dirac / "files.json").read_text())
        return found

    @files.setter
    def files(self, found: dict[str, dict[str, Any]]) -> None:
        (self._dirac / "files.json").write_text(json.dumps(found))

    def trouble(self, step: str, *errors: str) -> None:
        """Let the next calls of a step fail."""
        (self._dirac / f"trouble-{step}").write_text("\n".join(errors))

    def register(self, lfn: str, data: bytes, guid: str = "") -> None:
        """Put a file on the storage element."""
        (self._dirac / f"data{lfn.replace('/', '_')}").write_bytes(data)
        self.files = {
            **self.files,
            lfn: {"Size": len(data), "Checksum": adler(data), "GUID": guid},
        }

    def content(self, lfn: str) -> bytes:
        return (self._dirac / f"data{lfn.replace('/', '_')}").read_bytes()

    def make(self, name: str, data: bytes) -> None:
        """Let the payload have made an output."""
        path = self.tree.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def adler(data: bytes) -> str:
    return f"{zlib.adler32(data):08x}"


def grid_input(lfn: str, data: bytes, **fields: Any) -> GridInput:
    name = f"work/in{lfn}"
    given = {"urls": (f"lfn:{lfn}",), **fields}
    return GridInput(name, f"lfn:{lfn}", len(data), adler(data), 10**18, **given)


def grid_output(lfn: str, **fields: Any) -> GridOutput:
    given = {"element": "SE-1", "guid": "G1", **fields}
    return GridOutput(f"work/out{lfn}", f"lfn:{lfn}", f"lfn:{lfn}", **given)
