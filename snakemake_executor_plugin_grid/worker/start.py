"""The command line of the worker: runs a job from a folder, or from a file of several jobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .description import ENVIRONMENT_FILE, JOB_FILE, Job, load
from .run import run_job


def main(argv: Sequence[str]) -> int:
    """Run a job.

    ``[FOLDER]``: the job whose ``job.json`` is in that folder, by default the current one.
    ``--jobs FILE NAME``: the job NAME of a file with the jobs of a whole chunk,
    ``{name: {"job": text of job.json, "environment": {…}}}``; it runs in the current folder. The
    jobs of a parametric DIRAC job or of a PanDA task share their sandbox and differ only by their
    arguments. Their private parts are stored elsewhere: see `worker.private`.

    Args:
        argv: The arguments, without the name of the program.

    Returns:
        0 when the job succeeded, 1 otherwise.

    Raises:
        SystemExit: The arguments are wrong.
    """
    if len(argv) == 3 and argv[0] == "--jobs":
        file, name = Path(argv[1]).resolve(), argv[2]
        return run_job(Path.cwd(), name=name, read=lambda sandbox: pick(file, name, sandbox))
    if len(argv) > 1 or argv[:1] == ["--jobs"]:
        raise SystemExit("usage: worker.pyz [FOLDER] | worker.pyz --jobs FILE NAME")
    return run_job(Path(argv[0] if argv else "."))


def pick(file: Path, name: str, sandbox: Path) -> Job:
    """Write one job of a chunk into a folder, and remove the file of the chunk.

    Args:
        file: Jobs by name. It may hold secrets; only the owner can read the files made from it.
        name: The job.
        sandbox: Gets ``job.json`` and ``environment.json``.

    Raises:
        ValueError: The file is damaged, or does not contain the job.
        TransferError: The private part cannot be fetched.
        OSError: It cannot be read, or the folder cannot be written.
    """
    from .private import read_private

    try:
        jobs = json.loads(file.read_text())
        if not isinstance(jobs, dict) or name not in jobs:
            raise ValueError(f"{file.name}: it contains no job {name}")
        private = read_private(file.parent).get("jobs", {})
        entry = {"environment": {}, **jobs[name], **private.get(name, {})}
        texts = {
            JOB_FILE: str(entry["job"]),
            ENVIRONMENT_FILE: json.dumps(dict(entry["environment"])),
        }
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file.name}: damaged: {error}") from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file.name}: job {name} is damaged: {error!r}") from error
    finally:
        file.unlink(missing_ok=True)
    for leaf, text in texts.items():
        path = sandbox / leaf
        path.touch(0o600)
        path.chmod(0o600)
        path.write_text(text)
    return load(sandbox / JOB_FILE)
