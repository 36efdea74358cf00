"""The transformation ``runGen-00-00-02``, limited to the options that the tests use.

Run as ``python rungen.py -j "" --sourceURL URL -r . -a sources.X.tar.gz -p COMMAND`` in the
pilot's folder. The sandbox comes from ``URL/cache/``, is unpacked in ``workDir``, and the command,
which is quoted as in a URL, runs in a shell in the run directory. Standard library only.
"""

from __future__ import annotations

import ast
import base64
import getopt
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

_BAD_SANDBOX = 143
_NO_SANDBOX = 146
_SECRETS = "panda_secrets.json"
_FILE = "___file___:"
_FLAGS = ["debug", "directIn", "givenPFN", "useAthenaPackages", "useRootCore", "useCMake"]
_VALUES = ["sourceURL=", "inMap=", "writeInputToTxt=", "rootVer=", "cmtConfig=", "liveLog="]


def main() -> int:
    options, _ = getopt.getopt(sys.argv[1:], "i:o:r:j:l:p:u:a:", [*_FLAGS, *_VALUES])
    given = dict(options)
    script = given.get("-j", "")
    command = f"{script} {urllib.parse.unquote(given.get('-p', ''))}"
    outputs = ast.literal_eval(given.get("-o", "{}"))
    pilot = Path.cwd()
    work = pilot / "workDir"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    if name := given.get("-a"):
        url = f"{given.get('--sourceURL', '')}/cache/{name}"
        print(f"=== getting sandbox {url} ===", flush=True)
        try:
            _download(url, work / name)
        except (OSError, ValueError) as error:
            print(f"ERROR : {error}")
            return _NO_SANDBOX
        unpacking = subprocess.run(["tar", "xfzm", name], cwd=work, check=False)
        if unpacking.returncode:
            print(f"ERROR : {name} is corrupted")
            return _BAD_SANDBOX
    run = work / given.get("-r", ".")
    run.mkdir(exist_ok=True)
    environment = os.environ | _secrets(pilot, run) | {"TestArea": str(work)}
    environment["PATH"] = f".:{environment['PATH']}"
    if "--givenPFN" in given and "-i" in given:
        command = command.replace("%IN", ",".join(ast.literal_eval(given["-i"])))
    print(f"=== execute ===\n{command}", flush=True)
    status = subprocess.run(["sh", "-c", command], cwd=run, env=environment, check=False).returncode
    # As in runGen: an exit code of 255 becomes 0.
    code = abs(status) % 255
    for old, new in outputs.items():
        if (run / old).exists():
            shutil.move(run / old, pilot / new)
    os.chdir(pilot)
    shutil.rmtree(work, ignore_errors=True)
    print(f"=== result === {code}")
    return code


def _download(url: str, file: Path) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "runGen"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer, file.open("wb") as copy:  # noqa: S310
        shutil.copyfileobj(answer, copy)


def _secrets(pilot: Path, run: Path) -> dict[str, str]:
    """Move the secrets to the run directory; return those that become variables."""
    file = pilot / _SECRETS
    if not file.exists():
        return {}
    variables = {}
    for key, value in json.loads(file.read_text()).items():
        if key.startswith(_FILE):
            (run / key.removeprefix(_FILE)).write_bytes(base64.b64decode(value))
        else:
            variables[key] = value
    file.rename(run / _SECRETS)
    return variables


if __name__ == "__main__":
    sys.exit(main())
