"""The executor: Snakemake on one side, the engine on the other."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

from .console.format import sentence
from .model.errors import EndingError, GridError
from .resilience.calls import in_words
from .snakemake_api import files_read, log_events

if TYPE_CHECKING:
    from .engine.run import Run
    from .engine.shutdown import Shutdown
    from .model.tracked import Outcome

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=True,
    can_transfer_local_files=True,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
    # Values of envvars may be secrets: they must not appear on a command line.
    pass_envvar_declarations_to_cmd=False,
)

_LEAST_PAUSE = 0.05
_TICK = 0.2
_NOT_TAKEN = "Snakemake could not complete it after it came back (its message is above)"


class Executor(RemoteExecutor):
    """Submits jobs to the grid and follows them."""

    # Snakemake's thread may poll before __post_init__ has run.
    _run: Run | None = None
    _shutdown: Shutdown | None = None

    def __post_init__(self) -> None:
        """Check the options; the run starts with its first job."""
        # The first job must not wait for a poll that has nothing to ask.
        self.next_seconds_between_status_checks = _LEAST_PAUSE
        from .backends.registry import check_options
        from .console.last_words import LastWords, Tally
        from .engine.termination import Termination
        from .snakemake_api.postprocess import fail_single_jobs
        from .snakemake_api.scheduler import SchedulerApi
        from .snakemake_api.workflow import WorkflowApi

        self._parsed = files_read.stop()
        self._run_id = uuid.uuid4().hex[:8]
        self._count = 0
        self._infos: dict[str, SubmittedJobInfo] = {}
        self._names: dict[Any, str] = {}
        self._unnoted: set[Any] = set()
        self._started = log_events.StartedJobs()
        self._submitting = False
        self._polling: Future[list[Outcome]] | None = None
        self._closed = False
        self._tally, self._last_words = Tally(), LastWords()
        self._termination = Termination(self._terminate, self._last_resort)
        self._give_up: Callable[[], bool] = self._termination.hurries
        try:
            for note in check_options(self.executor_settings, Path.cwd()):
                self._say(note)
            WorkflowApi(self.workflow).send_local_files()
            fail_single_jobs()
            if self.executor_settings.describe:
                self._describe()
        except (WorkflowError, SystemExit):
            self.wait = False
            raise
        SchedulerApi.handle_sigterm(self._termination.handle)

    def _describe(self) -> NoReturn:
        """Print the job descriptions and exit.

        Must run before the first job, or Snakemake reports a failure.
        """
        from .planning.preview import describe

        try:
            problems = describe(self.workflow, self._run_id, self._parsed, self._say)
        except GridError as error:
            raise WorkflowError(str(error)) from None  # otherwise it shows a line of this file
        if problems:
            raise WorkflowError("\n".join(problems))
        raise SystemExit(0)

    async def _wait_for_jobs(self) -> None:
        """Begin to poll with the first job; without one, Snakemake does not end its thread.

        That would then fail while the program ends, and print the error.
        """
        while self.wait and self._run is None:  # noqa: ASYNC110 - another thread sets them
            await asyncio.sleep(_TICK)
        if self.wait:
            await super()._wait_for_jobs()  # type: ignore[no-untyped-call]

    # The job's command

    def get_python_executable(self) -> str:
        """Return the variable that the worker sets to the interpreter of the job."""
        return '"$GRID_PYTHON"'

    def get_job_args(self, job: Any, **kwargs: Any) -> str:
        """Limit the inner Snakemake to the job's threads; otherwise it would use the whole node."""
        # Skips RemoteExecutor, which only adds what a shared file system needs.
        args = super(RemoteExecutor, self).get_job_args(job, cores=max(1, job.threads), **kwargs)
        return self.run.workflow_api.requote(args, job)

    def additional_general_args(self) -> str:
        """Use the directory in which the worker starts Snakemake: the last --directory wins."""
        replace = " --replace-workflow-config" if self.run.workflow_api.replaces_config else ""
        return f"--directory .{replace}"

    def format_job_exec(self, job: Any) -> str:
        """Return the shell line that runs the job."""
        return self.run.workflow_api.worker_command(super().format_job_exec(job)).strip()

    # Submission

    @property
    def run(self) -> Run:
        """The run, which is put together when it is first needed."""
        if self._run is None:
            from .engine.run import Run
            from .engine.shutdown import Shutdown

            self._run = Run(
                self.workflow,
                self._parsed,
                self._run_id,
                self._say,
                self._mark_incomplete,
                self.logger,
            )
            self._shutdown = Shutdown(self.executor_settings, self._run)
        return self._run

    def run_job(self, job: Any) -> None:
        """Submit one job."""
        self.run_jobs([job])

    def run_jobs(self, jobs: list[Any]) -> None:
        """Hand all ready jobs to the controller, which stages and submits them together."""
        from .snakemake_api.scheduler import SchedulerApi

        self._submitting = True
        try:
            run = self.run
            run.preparation.prepare()
            self._submit(run, jobs)
        except WorkflowError:
            raise
        except Exception as error:
            shutdown, words = self._shutdown, in_words(error)  # which writes to grid.log
            if shutdown is not None and shutdown.ending:
                return  # this has been reported
            if shutdown is not None:
                shutdown.interrupted(crashed=True)
            # Snakemake shows an error that is raised here with a line of this file.
            SchedulerApi(self.workflow).interrupt(WorkflowError(words))
        finally:
            self._submitting = False

    def _submit(self, run: Run, jobs: list[Any]) -> None:
        run.planner.begin()
        self._tally.began(jobs)
        plans = []
        for job in jobs:
            self.run_job_pre(job)
            try:
                # A job that an earlier run has left keeps its attempt.
                run.workflow_api.raise_attempt(job, run.preparation.attempt(job))
                if run.workflow_api.uses_cache(job) and run.workflow_api.fetch_from_cache(job):
                    self.report_job_success(SubmittedJobInfo(job))
                    continue
                environment = run.preparation.environment()
                command = partial(self.format_job_exec, job)
                plan = run.planner.plan(job, self._next_name(job), command, environment)
            except EndingError:
                raise
            except Exception as error:  # fails the job, not the run
                self._keep(job, never_ran=True)
                words = in_words(error)
                message = sentence(f"rule {job.name}, not submitted: {words}") + "\n"
                self._report_error(SubmittedJobInfo(job), message, words, [])
                continue
            plans.append((job, plan))
        if any(plan.spec.decision is None for _, plan in plans):
            run.preparation.send_sources()
        for job, plan in plans:
            info = SubmittedJobInfo(job, external_jobid=plan.spec.name)
            self._infos[plan.spec.name], self._names[job] = info, plan.spec.name
            # Registered later: present outputs stay complete until they are replaced.
            self.report_job_submission(info, register_job=False)
        if plans:
            run.controller.submit([plan for _, plan in plans])

    def _mark_incomplete(self, name: str, grid_id: str, seconds: float) -> None:
        """Mark outputs as incomplete before they are replaced, in case the run dies meanwhile."""
        from .snakemake_api.incomplete import mark_incomplete

        info = self._infos.get(name)
        if info is not None:
            try:
                mark_incomplete(info.job, grid_id, seconds)
            except OSError as error:
                self._say(f"{info.job.name}: its outputs could not be marked: {error}")

    def _next_name(self, job: Any) -> str:
        from .model.names import JobName

        self._count += 1
        return str(JobName.new(job.name, self._run_id, self._count))

    # Following

    async def check_active_jobs(  # type: ignore[override]  # an async generator, as all are
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that have ended; yield the others."""
        # Snakemake may ask without a pause, which would keep a processor busy.
        await asyncio.sleep(_LEAST_PAUSE)
        if not active_jobs or self._run is None or self._shutdown is None:
            if self._shutdown is not None:
                self._shutdown.look(quiet=False)
            for info in active_jobs:
                yield info
            return
        outcomes: dict[str, Outcome] = {}
        controller = self._run.controller
        try:
            self._polling = asyncio.run_coroutine_threadsafe(controller.poll(), controller.loop)
            if self._shutdown.ending:  # meanwhile; shutdown() waits for this poll
                self._polling.cancel()
            found = await asyncio.wrap_future(self._polling)
            outcomes = {outcome.name: outcome for outcome in found}
            self._started.report(controller.running, self._infos)
        except asyncio.CancelledError:
            if not self._shutdown.ending:
                controller.crashed(RuntimeError("the poll was cancelled"))
        except Exception as error:
            controller.crashed(error)  # look() ends the run
        self._set_pace()
        for name, outcome in outcomes.items():
            if name in self._infos:
                await self._report(self._infos.pop(name), outcome)
        left = [info for info in active_jobs if info.aux is None]
        if left:
            self._shutdown.look(quiet=not (self._submitting or self._unnoted))
        for info in left:
            yield info

    def _set_pace(self) -> None:
        """Return when the server may be asked again, or earlier to report jobs that have ended."""
        if self._run is not None:
            self.next_seconds_between_status_checks = min(
                self.workflow.remote_execution_settings.seconds_between_status_checks,
                self._run.controller.pause,
            )

    async def _report(self, info: SubmittedJobInfo, outcome: Outcome) -> None:
        info.aux = {"ended": True}
        info.external_jobid = outcome.grid_id
        self._unnoted.add(info.job)
        self._tally.returned(info.job)
        run = self._run
        if outcome.success and run is not None and run.workflow_api.uses_cache(info.job):
            try:
                await run.workflow_api.store_in_cache(info.job)
            except Exception as error:
                self._say(f"{outcome.name}: its outputs could not be cached: {in_words(error)}")
        if outcome.success:
            self.report_job_success(info)
            return
        self._keep(info.job)
        self._report_error(info, outcome.message, outcome.cause, list(outcome.logs))

    def _report_error(
        self, info: SubmittedJobInfo, message: str, cause: str, logs: list[str]
    ) -> None:
        wildcards = self.run.workflow_api.wildcards(info.job)
        self._tally.failed(info.job, info.job.name, wildcards, cause, has_log=bool(logs))
        if info.job.is_group():
            # Snakemake does not show the message of a group.
            self.logger.error(message)
        self.report_job_error(info, msg=message, aux_logs=logs)

    def _keep(self, job: Any, *, never_ran: bool = False) -> None:
        try:
            self.run.output_backups.keep(job, never_ran=never_ran)
        except (GridError, OSError) as error:
            self._say(f"{job.name}: its old outputs could not be kept: {error}")

    def handle_job_success(self, job: Any) -> None:
        """Release the job's remote results: Snakemake has recorded its success."""
        super().handle_job_success(job)
        self._tally.succeeded(job)
        self._unnoted.discard(job)
        name = self._names.pop(job, None)
        if name is not None and self._run is not None:
            self._run.controller.acknowledge([name])

    def handle_job_error(self, job: Any) -> None:
        """Put back the old outputs, which Snakemake has deleted."""
        super().handle_job_error(job)
        self._unnoted.discard(job)
        self._names.pop(job, None)
        if self._run is not None:
            if not self._tally.has_failed(job):  # Snakemake's work after the job has failed
                wildcards = self._run.workflow_api.wildcards(job)
                self._tally.failed(job, job.name, wildcards, _NOT_TAKEN, has_log=False)
            try:
                self._run.output_backups.restore(job)
            except (GridError, OSError) as error:
                self._say(f"{job.name}: its old outputs could not be put back: {error}")

    async def sleep(self) -> None:
        """Pause between polls; the end of the run ends the pause."""
        until = time.monotonic() + self.next_seconds_between_status_checks
        while self.wait and (left := until - time.monotonic()) > 0:  # noqa: ASYNC110 - Snakemake's
            await asyncio.sleep(min(_TICK, left))

    # The end

    def cancel(self) -> None:
        """End early: cancel all jobs, or leave them."""
        from .engine.shutdown import Interrupts

        with Interrupts() as interrupts:
            self._give_up = lambda: interrupts.impatient() or self._termination.hurries()
            if self._shutdown is not None:
                # Snakemake also calls this after an error, such as a full disk.
                self._shutdown.interrupted(crashed=isinstance(sys.exception(), Exception))
            self.shutdown()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Do nothing: ``cancel`` cancels all jobs, including those that are not in this list."""

    def shutdown(self) -> None:
        """Stop polling; remaining jobs are cancelled, or stay on the grid for the next run."""
        self._termination.ending()
        shutdown = self._shutdown
        if shutdown is not None and self._termination.requested:
            shutdown.terminate()
        if shutdown is not None and shutdown.ending and self._polling is not None:
            self._polling.cancel()
        super().shutdown()  # type: ignore[no-untyped-call]
        if shutdown is not None and not self._closed:
            self._closed = True
            self._last_words.leave(shutdown.finish(self._tally, self._give_up))
        if not files_read.by_command_line():
            files_read.record()  # a program may run another workflow
        self._termination.over()
        if shutdown is not None and shutdown.exit_code is not None:
            raise SystemExit(shutdown.exit_code)

    def _terminate(self) -> None:
        """Have the main thread end the run because of SIGTERM; called in another thread."""
        from .engine.shutdown import DETACHED, UNTRUE
        from .snakemake_api.scheduler import SchedulerApi

        self._say("SIGTERM: the run ends.")
        if self._shutdown is not None:
            self._shutdown.terminate()
        if self.workflow.scheduler is not None:
            scheduler_api = SchedulerApi(self.workflow)
            scheduler_api.suppress(UNTRUE)
            scheduler_api.end_local_jobs()
            scheduler_api.interrupt(WorkflowError(DETACHED))

    def _last_resort(self) -> None:
        """Say how to continue, in a process that hangs and is about to be ended."""
        from .snakemake_api.scheduler import SchedulerApi

        if not self._last_words.set:
            self._last_words.leave(
                "the run was ended before it could close. To continue, run the same command again "
                "in this directory."
            )
            SchedulerApi(self.workflow).unlock()
        self._last_words.print()

    def _say(self, text: str) -> None:
        self.logger.warning(f"grid: {text}")  # type: ignore[attr-defined]
