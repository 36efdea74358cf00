"""The executor: Snakemake on one side, jobs, staging and backend on the other. Glue only."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

from . import parsing
from .errors import GridError
from .interrupts import Interrupts

if TYPE_CHECKING:
    from .assembly import Run
    from .flight import Outcome

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=True,
    can_transfer_local_files=True,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
    # Values of envvars: may be secrets, and have no place in a command line.
    pass_envvar_declarations_to_cmd=False,
)

_CANCEL_TIMEOUT = 60.0
_LEAST_PAUSE = 0.05
_IDLE_PAUSE = 0.5
_LAST_ROUND = 1.0
_PAUSE_PER_ROUND = 20


class Executor(RemoteExecutor):
    """Submits jobs to the grid and follows them."""

    def __post_init__(self) -> None:
        """Check the options; everything else waits for the first job."""
        from .internals import Internals
        from .settings_check import check

        # The first job must not wait for a round of the grid's pace that has nothing to ask.
        self.next_seconds_between_status_checks = _LEAST_PAUSE
        self._parsed = parsing.stop()
        self._run_id = uuid.uuid4().hex[:8]
        self._count = 0
        self._run: Run | None = None
        self._give_up: Callable[[], bool] = _never
        self._infos: dict[str, SubmittedJobInfo] = {}
        try:
            check(self.executor_settings, Path.cwd())
            Internals(self.workflow).send_local_files()
            if self.executor_settings.describe:
                self._describe()
        except (WorkflowError, SystemExit):
            self._stop_following()
            raise

    def _describe(self) -> NoReturn:
        """Show all jobs, and end. Before the first job, as Snakemake calls anything else failed."""
        from .describe import describe

        try:
            problems = describe(self.workflow, self._run_id, self._say)
        except GridError as error:
            raise WorkflowError(str(error)) from None  # else it shows a line of this file
        if problems:
            raise WorkflowError("\n".join(problems))
        raise SystemExit(0)

    def _stop_following(self) -> None:
        """End Snakemake's thread, which prints an error when the program ends under it."""
        with self.lock:
            self.wait = False
        self.wait_thread.join(_LAST_ROUND)

    # The job's command

    def get_python_executable(self) -> str:
        """Return the variable in which the worker puts the interpreter it has chosen."""
        return '"$GRID_PYTHON"'

    def get_job_args(self, job: Any, **kwargs: Any) -> str:
        """Give the job's threads to the inner Snakemake, which would else take the whole node."""
        # Past RemoteExecutor, which only adds what a shared file system needs.
        args = super(RemoteExecutor, self).get_job_args(job, cores=max(1, job.threads), **kwargs)
        return self.run.internals.requote(args, job)

    def additional_general_args(self) -> str:
        """Run in the directory where the worker starts Snakemake: the last --directory wins."""
        replace = " --replace-workflow-config" if self.run.internals.replaces_config else ""
        return f"--directory .{replace}"

    def format_job_exec(self, job: Any) -> str:
        """Return the shell line that runs the job."""
        return self.run.internals.worker_command(super().format_job_exec(job)).strip()

    # Submission

    @property
    def run(self) -> Run:
        """Everything behind the executor, put together when it is first needed."""
        if self._run is None:
            from .assembly import Run

            self._run = Run(self.workflow, self._parsed, self._run_id, self._say)
        return self._run

    def run_job(self, job: Any) -> None:
        """Submit one job."""
        self.run_jobs([job])

    def run_jobs(self, jobs: list[Any]) -> None:
        """Hand all ready jobs to the controller, which stages and submits them in one go."""
        try:
            run = self.run
            run.prepare()
        except GridError as error:
            raise WorkflowError(str(error)) from None  # else it shows a line of this file
        run.planner.begin()
        plans = []
        for job in jobs:
            self.run_job_pre(job)
            try:
                if run.internals.uses_cache(job) and run.internals.fetch_from_cache(job):
                    self.report_job_success(SubmittedJobInfo(job))
                    continue
                name, command = self._next_name(job), self.format_job_exec(job)
                plan = run.planner.plan(job, name, command, run.environment())
            except Exception as error:  # out of here it would end the whole run
                self._keep(job, never_ran=True)
                message = f"rule {job.name}, not submitted: {error}.\n"
                self._report_error(SubmittedJobInfo(job), message, [])
                continue
            info = SubmittedJobInfo(job, external_jobid=plan.spec.name)
            self._infos[plan.spec.name] = info
            plans.append(plan)
            self.report_job_submission(info)
        if plans:
            run.controller.submit(plans)

    def _next_name(self, job: Any) -> str:
        from .jobspec import safe_name

        self._count += 1
        return safe_name(job.name, self._run_id, self._count)

    # Following

    async def check_active_jobs(  # type: ignore[override]  # an async generator, as all are
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that have come to their end; yield the others."""
        # Snakemake may ask without any pause, and would keep a processor busy.
        await asyncio.sleep(_LEAST_PAUSE)
        if not active_jobs or self._run is None:
            for info in active_jobs:
                yield info
            return
        outcomes: dict[str, Outcome] = {}
        began = time.monotonic()
        try:
            future = asyncio.run_coroutine_threadsafe(
                self._run.controller.poll(), self._run.controller.loop
            )
            outcomes = {outcome.name: outcome for outcome in await asyncio.wrap_future(future)}
        except Exception as error:
            self._say(f"The states of jobs could not be asked for: {error}")
        self._set_pace(time.monotonic() - began)
        for name, outcome in outcomes.items():
            if name in self._infos:
                await self._report(self._infos.pop(name), outcome)
        left = [info for info in active_jobs if info.aux is None]
        if not left:  # at its end Snakemake waits for this pause
            self.next_seconds_between_status_checks = _IDLE_PAUSE
        for info in left:
            yield info

    def _set_pace(self, seconds: float) -> None:
        """Ask more seldom the longer an answer takes, but never more seldom than the user says."""
        if self._run is not None:
            self.next_seconds_between_status_checks = min(
                self.workflow.remote_execution_settings.seconds_between_status_checks,
                max(self._run.backend.poll_interval, _PAUSE_PER_ROUND * seconds),
            )

    async def _report(self, info: SubmittedJobInfo, outcome: Outcome) -> None:
        info.aux = {"ended": True}
        info.external_jobid = outcome.grid_id
        run = self._run
        if outcome.success and run is not None and run.internals.uses_cache(info.job):
            try:
                await run.internals.store_in_cache(info.job)
            except Exception as error:
                self._say(f"{outcome.name}: its outputs could not be cached: {error}")
        if outcome.success:
            self.report_job_success(info)
            return
        self._keep(info.job)
        self._report_error(info, outcome.message, list(outcome.logs))

    def _report_error(self, info: SubmittedJobInfo, message: str, logs: list[str]) -> None:
        if info.job.is_group():
            # Snakemake has no place for it among what it says of a group.
            self.logger.error(message)
        self.report_job_error(info, msg=message, aux_logs=logs)

    def _keep(self, job: Any, *, never_ran: bool = False) -> None:
        try:
            self.run.keep_outputs(job, never_ran=never_ran)
        except (GridError, OSError) as error:
            self._say(f"{job.name}: its old outputs could not be kept: {error}")

    def handle_job_error(self, job: Any) -> None:
        """Put back what was there before the job: Snakemake has deleted it."""
        super().handle_job_error(job)
        if self._run is not None:
            try:
                self._run.restore_outputs(job)
            except (GridError, OSError) as error:
                self._say(f"{job.name}: its old outputs could not be put back: {error}")

    # The end

    def cancel(self) -> None:
        """Cancel all jobs, also those that Snakemake does not list while it polls."""
        with Interrupts() as interrupts:
            self._give_up = interrupts.impatient
            self._cancel_all(self._give_up)
            self.shutdown()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel all jobs, whatever the list says."""
        self._cancel_all(_never)

    def shutdown(self) -> None:
        """Stop following; jobs that are left are cancelled."""
        super().shutdown()  # type: ignore[no-untyped-call]
        if self._run is not None:
            self._cancel_all(self._give_up)
            self._run.close(self._give_up)
        parsing.record()  # a program may run another workflow

    def _cancel_all(self, give_up: Callable[[], bool]) -> None:
        if self._run is None or not self._run.controller.active:
            return
        left = self._run.controller.cancel(_CANCEL_TIMEOUT, give_up)
        if left:
            self.logger.error(
                "Not confirmed to be cancelled: "
                + ", ".join(left)
                + ". The next run in this directory cancels them; or look for them yourself."
            )

    def _say(self, text: str) -> None:
        self.logger.warning(f"grid: {text}")  # type: ignore[attr-defined]


def _never() -> bool:
    return False
