"""Runs the transformation of one job in the folder of its pilot, and stores how it ended.

Run as ``python starter.py`` in that folder, as leader of a session. It goes on when the server
has gone: a restarted server finds ``result.json``. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)  # it must see the payload end
    request = json.loads(Path("pilot.json").read_text())
    for folder in request["hidden"]:
        # Hidden from this job: see `isolate` in settings.py.
        if Path(folder).is_dir():
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    begun = time.time()
    with Path("payload.stdout").open("wb") as output:
        payload = subprocess.Popen(
            request["command"],
            env=request["environment"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        code = payload.wait()
    result = {"code": code, "begun": begun, "ended": time.time()}
    Path("result.tmp").write_text(json.dumps(result))
    Path("result.tmp").replace("result.json")


if __name__ == "__main__":
    os.umask(0o022)
    main()
