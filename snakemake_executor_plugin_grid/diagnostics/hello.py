"""The check with a job: Snakemake runs a workflow of one rule with the options of the run."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..backends.diagnostics import Told
from ..journal.database import DATABASE_FILE, FOLDER
from ..journal.reader import JournalReader
from ..journal.records import JobRecord
from ..model.errors import GridError, PermanentError, TransientError
from ..model.untrusted import parse_json, printable, read_untrusted
from ..settings.options import ExecutorSettings
from ..settings.serialize import to_json
from .storing import no_traces

_WITH_SNAKEMAKE = """
rule hello:
    output: "hello.json"
    run:
        import json, platform, socket, sys
        import snakemake
        facts = {
            "host": socket.gethostname(),
            "python": platform.python_version(),
            "executable": sys.executable,
            "snakemake": snakemake.__version__,
        }
        with open(output[0], "w") as stream:
            json.dump(facts, stream)
"""
# Runs without Snakemake on the worker, and looks for one.
_DECIDED = """
rule hello:
    output: "hello.json"
    shell:
        r'''
        python=$(command -v python3 || command -v python)
        "$python" - >{output} <<'END'
import json, platform, socket, sys
try:
    from importlib.metadata import version
    found = version("snakemake")
except Exception:
    found = ""
facts = dict(host=socket.gethostname(), python=platform.python_version(),
    executable=sys.executable, snakemake=found)
json.dump(facts, sys.stdout)
END
        '''
"""
_ANSWER = "hello.json"
_FACTS = ("host", "python", "executable", "snakemake")
_LONGEST_ANSWER = 1 << 16  # bytes
_LONGEST_FACT = 1000  # characters
_LOG = "snakemake.log"
_POLL = 1.0
_CANCEL_LIMIT = 120.0
_CLEAN_LIMIT = 300.0
_CLOCKS_DIFFER = 5.0
_SHOWN = 15
_STEPS = (
    ("prepared", "began", "sent"),
    ("submitted", "sent", "accepted"),
    ("waited", "accepted", "received"),
    ("staged in", "received", "running"),
    ("ran", "running", "staging out"),
    ("staged out", "staging out", "ended"),
    ("came back", "ended", "finished"),
)
"""Steps of a job, each with its first and last time. The report overrides the journal."""
_CLEAN = "from snakemake_executor_plugin_grid.cli import main; main()"


async def check_job(
    settings: ExecutorSettings, minutes: float, note: Callable[[str], None]
) -> Told:
    """Run a job as a real run does, and remove its files.

    Args:
        settings: Options of the run.
        minutes: Time limit, after which the job is cancelled.
        note: Shows the state of the job.

    Raises:
        GridError: The job has failed, or has not ended in time.
    """
    folder = Path(tempfile.mkdtemp(prefix="grid-check-"))
    # A runtime is for jobs that run Snakemake on the worker.
    decided = settings.decide == "always" or (
        settings.decide == "auto" and settings.runtime == "inherit"
    )
    (folder / "Snakefile").write_text(_DECIDED if decided else _WITH_SNAKEMAKE)
    with no_traces(settings.store or ""):
        return await _try(_own(settings, folder.name), folder, minutes, note)


async def _try(
    settings: ExecutorSettings, folder: Path, minutes: float, note: Callable[[str], None]
) -> Told:
    try:
        code = await _run(folder, settings, minutes, note)
        told = _told(folder, code)
    except GridError as error:
        # Now, as the journal that names these files may be removed.
        left = await _clean(folder, settings)
        raise type(error)(f"{error}\nits whole output: {folder / _LOG}{left}") from error
    except BaseException:
        note(f"cancelled{await _clean(folder, settings)}")
        shutil.rmtree(folder, ignore_errors=True)
        raise
    left = await _clean(folder, settings)
    shutil.rmtree(folder, ignore_errors=True)
    return replace(told, text=told.text + left, warning=told.warning or bool(left))


def _own(settings: ExecutorSettings, name: str) -> ExecutorSettings:
    """Return the options for this job: no files of the workflow, its own folder in the store."""
    place, mark, query = (settings.store or "").partition("?")
    return replace(
        settings,
        store=f"{place.rstrip('/')}/{name}{mark}{query}" if place else None,
        include=[],
        exclude=[],
        describe=False,
        detach=False,
        on_interrupt="cancel",
        infrastructure_retries=0,
    )


def _command(settings: ExecutorSettings) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--executor", "grid", "--jobs", "1", "--nocolor"]
    for name, value in to_json(settings).items():
        flag = f"--grid-{name.replace('_', '-')}"
        if value is True:
            command.append(flag)
        elif isinstance(value, list):
            command += [flag, *map(str, value)]
        elif value is not None and value is not False:
            command.append(f"{flag}={value}")  # the value may begin with a dash
    return command


async def _run(
    folder: Path, settings: ExecutorSettings, minutes: float, note: Callable[[str], None]
) -> int:
    """Run Snakemake; an interrupt cancels the job.

    Returns:
        Exit code of Snakemake.

    Raises:
        TransientError: The time limit was exceeded.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE_")}
    with (folder / _LOG).open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *_command(settings),
            cwd=folder,
            env=kept,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only this process, which cancels the job
            preexec_fn=_reset_interrupts,
        )
    watch = asyncio.create_task(_watch(folder, note))
    try:
        return await asyncio.wait_for(process.wait(), minutes * 60)
    except TimeoutError:
        state = _state(_job(folder))
        raise TransientError(
            f"the job was cancelled because it had not ended within {minutes:g} min ({state}); "
            "--timeout sets another limit, --grid-site may name a faster site"
        ) from None
    finally:
        watch.cancel()
        if process.returncode is None:
            await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), _CANCEL_LIMIT)
    except TimeoutError:
        process.kill()
        await process.wait()


def _reset_interrupts() -> None:
    # A shell lets background processes ignore interrupts; children inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def _watch(folder: Path, note: Callable[[str], None]) -> None:
    said = ""
    while True:
        state = _state(_job(folder))
        if state != said:
            note(state)
            said = state
        await asyncio.sleep(_POLL)


def _state(job: JobRecord | None) -> str:
    if job is None:
        return "being prepared"
    grid_id = f"{job.backend} job {job.grid_id}, " if job.grid_id else ""
    site = f" at {job.site}" if job.site else ""
    return f"{grid_id}{job.state or job.phase.value}{site}"


def _job(folder: Path) -> JobRecord | None:
    """Return the job from the journal, None before it is submitted."""
    if (folder / FOLDER / DATABASE_FILE).is_file():
        with suppress(GridError), JournalReader(folder / FOLDER) as reader:
            return next(reversed(reader.jobs()), None)
    return None


def _told(folder: Path, code: int) -> Told:
    """Return the result of a job that has succeeded.

    Raises:
        GridError: The job has failed.
    """
    job = _job(folder)
    if code != 0 or job is None:
        raise PermanentError(_reason(job, (folder / _LOG).read_text(errors="replace")))
    answer = read_answer(folder / _ANSWER)
    times = _times(job)
    seconds = _seconds(times)
    steps = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    site = str(job.report.get("site") or job.site or "an unnamed site")
    facts = {**answer, "site": site, "grid_id": job.grid_id, "seconds": seconds}
    text = (
        f"{job.backend} job {job.grid_id} ran at {site} on {answer['host']}: Python "
        f"{answer['python']} ({answer['executable']}), {_snakemake(answer)}; {steps}"
    )
    skew = _skew(times)
    if abs(skew) > _CLOCKS_DIFFER:
        way = "ahead of" if skew > 0 else "behind"
        text += f". The clock there is at least {abs(skew):.0f} s {way} the one here"
    return Told(text, abs(skew) > _CLOCKS_DIFFER, {**facts, "clock_skew": round(skew, 1)})


def _snakemake(answer: dict[str, str]) -> str:
    if answer["snakemake"]:
        return f"Snakemake {answer['snakemake']}"
    return (
        "no Snakemake: only rules with run: and the like need it (--grid-runtime wheels sends it)"
    )


def read_answer(path: Path) -> dict[str, str]:
    """Return what the job tells of its node; the worker could have written anything.

    Raises:
        PermanentError: It is damaged.
    """
    facts = parse_json(read_untrusted(path, _LONGEST_ANSWER))
    if not isinstance(facts, dict) or any(type(facts.get(key)) is not str for key in _FACTS):
        raise PermanentError(f"the job's output {path.name} does not name {', '.join(_FACTS)}")
    return {key: printable(facts[key], _LONGEST_FACT) for key in _FACTS}


def _reason(job: JobRecord | None, output: str) -> str:
    """Return why the job has failed, from the journal or from the end of Snakemake's output."""
    if job is not None and job.detail:
        where = f" at {job.site}" if job.site else ""
        return f"{job.backend} job {job.grid_id or 'without id'} has failed{where}: {job.detail}"
    lines = [line for line in output.splitlines() if line.strip()]
    return "\n".join(["Snakemake has failed; the end of its output:", *lines[-_SHOWN:]])


def _times(job: JobRecord) -> dict[str, float]:
    noted = {
        "began": job.began,
        "sent": job.sent,
        "accepted": job.accepted,
        "finished": job.finished,
    }
    known = {name: moment for name, moment in noted.items() if moment is not None}
    return {**known, **{str(name): float(at) for name, at in job.report.get("times", {}).items()}}


def _seconds(times: dict[str, float]) -> dict[str, float]:
    """Return the duration of each step; 0 if the clocks of two hosts disagree."""
    return {
        name: round(max(0.0, times[end] - times[start]), 2)
        for name, start, end in _STEPS
        if start in times and end in times
    }


def _skew(times: dict[str, float]) -> float:
    """Return how far the worker's clock is ahead at least, as a job starts after its submission."""
    if not {"sent", "finished", "received", "ended"} <= times.keys():
        return 0.0
    ahead = times["ended"] - times["finished"]
    behind = times["sent"] - times["received"]
    return ahead if ahead > 0 else -max(0.0, behind)


async def _clean(folder: Path, settings: ExecutorSettings) -> str:
    """Remove the files of the job from its store.

    Returns:
        A sentence about files that could not be removed, empty if there are none.
    """
    store = urlsplit(settings.store or "")
    if store.scheme == "file":
        await asyncio.to_thread(shutil.rmtree, unquote(store.path), ignore_errors=True)
        return ""
    if not (folder / FOLDER / DATABASE_FILE).is_file():
        return ""
    if settings.store is None and settings.dirac_storage_element is None:
        return ""
    options = ["clean", "--yes", "--force", "--directory", str(folder)]
    if settings.dirac_python is not None:
        options += ["--grid-dirac-python", str(settings.dirac_python)]
    if settings.rucio_python is not None:
        options += ["--grid-rucio-python", str(settings.rucio_python)]
    if settings.store_token is not None:
        options += ["--grid-store-token", str(settings.store_token)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _CLEAN, *options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _CLEAN_LIMIT)
    except TimeoutError:
        process.kill()
        await process.wait()
        said = f"no answer within {_CLEAN_LIMIT:.0f} s".encode()
    if process.returncode == 0:
        return ""
    place = settings.store or settings.dirac_storage_element
    words = " ".join(said.decode(errors="replace").split())
    return f"\nits files could not all be removed from {place}: {words}"
