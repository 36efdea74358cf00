"""Print DIRAC's own configuration templates as JSON; run by the server's Python.

Run as ``python templates.py SYSTEM...``.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

from diraccfg import CFG

specification = importlib.util.find_spec("DIRAC")
assert specification
assert specification.origin
source = Path(specification.origin).parent
templates = {
    system: CFG().loadFromFile(str(source / f"{system}System/ConfigTemplate.cfg")).getAsDict()
    for system in sys.argv[1:]
}
print(json.dumps(templates))
