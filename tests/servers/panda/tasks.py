"""The progress of tasks: JEDI's part, with short delays.

Sources, all of panda-server 1.0.4: pandajedi/jediorder/{TaskRefiner,ContentsFeeder,JobGenerator,
TaskCommando,PostProcessor}.py, pandajedi/jedipprocess/PostProcessorBase.py and
pandaserver/taskbuffer/db_proxy_mods/{task_complex,job_complex}_module.py.
"""

from __future__ import annotations

import random
import re
import time
import traceback

from tests.servers.panda import refine

from .model import ENDED_TASK, InputFile, Job, Store, Task
from .pilot import Sites
from .settings import Settings

# Attempts that `retryTask_JEDI` adds to each input that has none left.
RETRY_ATTEMPTS = 5
_GENERATING = frozenset({"ready", "running", "scouting", "pending"})
_PROCESSING = frozenset({"running", "scouting", "pending", "paused", "exhausted"})


class Machine:
    """Advances all tasks, one step at a time."""

    def __init__(self, settings: Settings, store: Store, sites: Sites) -> None:
        self._settings = settings
        self._store = store
        self._sites = sites

    def tick(self) -> None:
        """Update all jobs and tasks once."""
        self._sites.tick()
        for task in self._store.tasks.values():
            if task.status in ENDED_TASK and not task.command and task.status != "exhausted":
                continue
            before = (task.status, task.command, task.changed)
            try:
                self._step(task)
            except (LookupError, TypeError, ValueError) as error:
                # Invalid parameters have the same effect in JEDI.
                traceback.print_exc()
                task.become("tobroken", f"{type(error).__name__}:{error}")
            if (task.status, task.command, task.changed) != before:
                self._store.touch(task)
        self._store.flush()

    def _step(self, task: Task) -> None:
        self._collect(task)
        if task.command and time.time() > task.command_time + self._settings.delays.command:
            self._obey(task)
        else:
            self._advance(task)

    def send(self, task: Task, command: str, *, soft: bool = False) -> None:
        """Store a command, which takes effect a little later."""
        task.command, task.command_time, task.soft = command, time.time(), soft
        self._store.touch(task)

    def reset(self, task: Task) -> None:
        """Let all inputs of a task be processed again."""
        for file in task.files:
            file.status, file.attempt = "ready", 0
        self._store.touch(task)

    def grant(self, task: Task, attempts: int) -> tuple[int, int]:
        """Give the unfinished inputs more attempts.

        Returns:
            How many got them, and how many of these had none left.
        """
        waiting = [file for file in task.files if file.status == "ready"]
        spent = [file for file in waiting if not file.tries_left]
        for file in waiting:
            file.max_attempt = max(file.max_attempt, file.attempt) + attempts
        self._store.touch(task)
        return len(waiting), len(spent)

    # States.

    def _advance(self, task: Task) -> None:
        elapsed = time.time() - (task.changed or task.created)
        if task.status == "waiting":
            if elapsed > self._settings.delays.registration:
                task.become("registered")
            return
        if task.status in ("aborting", "finishing"):
            self._clear(task)
            return
        if elapsed < self._settings.delays.step:
            return
        match task.status:
            case "registered" | "rerefine":
                self._refine(task)
            case "tobroken":
                task.become("broken")
            case "toabort":
                task.become("aborted")
            case "defined":
                self._feed(task)
            case "pending" if not task.files:
                self._feed(task)
            case "toretry":
                task.become("ready")
            case "scouted":
                task.scouts = False
                task.become("running")
            case "passed":
                task.become("prepared")
            case "prepared":
                self._conclude(task)
            case status if status in _GENERATING:
                self._generate(task)

    def _refine(self, task: Task) -> None:
        try:
            refine.refine(task.parameters)
        except refine.BrokenError as error:
            task.become("tobroken", str(error))
            return
        if not task.dataset:
            task.dataset = self._store.next_number("dataset")
            task.scouts = "skipScout" not in task.parameters
        task.become("defined")

    def _feed(self, task: Task) -> None:
        """List the inputs; until then the data set has no files."""
        if not task.files:
            count = max(1, int(task.parameters.get("nFiles", 1)))
            last = self._store.next_number("file", count)
            try:
                task.files = refine.inputs(task, last - count + 1)
            except refine.BrokenError as error:
                task.become("tobroken", str(error))
                return
            except refine.HeldError as error:
                if task.status != "pending":
                    task.become("pending", str(error))
                return
        task.become("ready")

    def _generate(self, task: Task) -> None:
        if task.started is None:
            task.started = time.time()
        active = [job for job in self._store.jobs_of(task) if job.active]
        scouting = task.scouts
        ready = [file for file in task.files if file.status == "ready" and file.tries_left]
        if scouting:
            first = self._settings.scouts * refine.files_per_job(task)
            ready = [file for file in task.files[:first] if file in ready]
        if ready:
            site = self._broker(task)
            if site is None:
                return
            self._make_jobs(task, ready, site)
            if task.status != (status := "scouting" if scouting else "running"):
                task.become(status)
        elif not active:
            if not scouting:
                task.become("prepared")
            elif task.count("finished"):
                task.become("scouted")
            else:
                task.become("tobroken", "no scout jobs succeeded")

    def _broker(self, task: Task) -> str | None:
        """Choose a site; without one the task is pending and says why."""
        wanted, cores = task.parameters.get("site"), self._cores(task)
        names = [name for name in self._settings.sites if not wanted or re.search(wanted, name)]
        reason = None
        if wanted and not names:
            reason = f"unknown site={wanted}"
        elif cores > self._settings.slots:
            reason = f"no candidates: coreCount={cores} is more than any site has"
        if reason is None:
            return random.choice(names)  # noqa: S311 - no secret
        if task.status != "pending":
            task.become("pending", reason)
        return None

    @staticmethod
    def _cores(task: Task) -> int:
        return max(1, int(task.parameters.get("coreCount") or 1))

    def _make_jobs(self, task: Task, ready: list[InputFile], site: str) -> None:
        size = refine.files_per_job(task)
        groups = [ready[start : start + size] for start in range(0, len(ready), size)]
        # The order of ids means nothing, as on a real server.
        random.shuffle(groups)
        made = len(self._store.jobs_of(task))
        last = self._store.next_number("job", len(groups))
        for index, files in enumerate(groups):
            number = last - len(groups) + 1 + index
            job = Job(
                number=number,
                task=task.number,
                files=[file.number for file in files],
                inputs=[file.text for file in files],
                site=site,
                user=task.user,
                parameters=refine.job_parameters(task, files, made + index + 1),
                attempt=files[0].attempt,
                cores=self._cores(task),
                scout=task.scouts,
                created=time.time(),
                changed=time.time(),
            )
            for file in files:
                file.status, file.panda_id = "picked", number
            self._store.add(job)
            self._store.touch(job)
        self._store.touch(task)

    def _collect(self, task: Task) -> None:
        """Update the inputs of a task from its jobs."""
        if not any(file.status in ("picked", "running") for file in task.files):
            return
        for file in task.files:
            if file.status not in ("picked", "running") or file.panda_id is None:
                continue
            job = self._store.jobs[file.panda_id]
            if job.status == "defined":
                if time.time() - job.changed > self._settings.delays.step:
                    job.become("activated")
                    self._store.touch(job)
                continue
            status = "running" if job.active else job.status
            if status not in ("running", "finished"):
                status = "ready"  # failed ones, too: only the attempts show the difference
            if status != "running":
                file.attempt += 1
            if status != file.status:
                file.status = status
                self._store.touch(task)

    def _conclude(self, task: Task) -> None:
        finished = task.count("finished")
        if finished == len(task.files):
            task.become("done")
        elif not finished:
            task.become("failed", "failed since no file was successfully processed")
        elif task.parameters.get("useExhausted") and task.old_status != "passed":
            task.old_status = "passed"
            reason = "exhausted since the task was incomplete and didn't reach the goal"
            task.become("exhausted", reason)
        else:
            task.become("finished")

    # Commands.

    def _obey(self, task: Task) -> None:
        command, task.command = task.command, None
        match command:
            case "kill":
                task.become("aborting")
            case "finish":
                task.become("finishing")
            case "retry":
                self.grant(task, RETRY_ATTEMPTS)
                task.attempt += 1
                task.error = task.old_status = task.ended = None
                task.become("toretry")
            case "incexec":
                task.parameters.update(task.new_parameters)
                task.new_parameters = {}
                self.reset(task)
                task.attempt += 1
                task.error = task.old_status = task.ended = None
                task.become("rerefine")
            case "pause":
                task.old_status = task.status
                task.become("paused")
            case "resume":
                task.become(task.old_status or "ready")
                task.old_status = None

    def _clear(self, task: Task) -> None:
        """Kill the jobs of a task that has to end."""
        active = [job for job in self._store.jobs_of(task) if job.active]
        running = {"sent", "starting", "running", "holding"}
        for job in active:
            if not (task.soft and job.status in running):
                verb = "kill" if task.status == "aborting" else "finish"
                self._sites.kill(job, f"{verb} by {task.user}")
        if active:
            return
        if task.status == "aborting":
            task.become("toabort")
            return
        for file in task.files:
            if file.status == "ready":
                file.attempt = max(file.attempt, file.max_attempt)
        task.become("passed")
