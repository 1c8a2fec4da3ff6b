"""Actions while they run: each is a job that can be asked for, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from trunkline.console.refusals import Refusal, refusal_of
from trunkline.console.registry import Outcome, Progress

logger = logging.getLogger(__name__)

#: How long what has ended can be asked for, and how many jobs there may be at once.
_KEPT_S = 900.0
_MAX_RUNNING = 20
_STOP_TIMEOUT_S = 2.0

State = Literal["running", "done", "failed", "stopped"]


class Job(msgspec.Struct):
    """One action that was begun.

    Attributes:
        job: Its id.
        title: What it does.
        state: ``running`` until it has ended in one of the other ways.
        done: How much is done,
        total: of how much; 0 when that is not known.
        doing: What it is at.
        outcome: What it did, once it is done.
        error: Why it failed.

    """

    job: str
    title: str
    state: State = "running"
    done: int = 0
    total: int = 0
    doing: str = ""
    outcome: Outcome | None = None
    error: str | None = None


class Jobs:
    """The actions of one worker that run, or have ended lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended_at: dict[str, float] = {}
        self._statuses: dict[str, int] = {}

    async def run(
        self, title: str, perform: Callable[[Progress], Awaitable[Outcome]], wait_s: float
    ) -> Job:
        """Begin, and wait a little for the end.

        Raises:
            Refusal: Too much runs already.

        """
        self._forget_old()
        if len(self._tasks) >= _MAX_RUNNING:
            raise Refusal(503, f"{_MAX_RUNNING} actions run already.", "Wait for one to end.")
        job = Job(secrets.token_urlsafe(9), title)
        self._jobs[job.job] = job
        task = asyncio.create_task(self._perform(job, perform))
        self._tasks[job.job] = task
        await asyncio.wait({task}, timeout=wait_s)
        return job

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            Refusal: There is none with this id.

        """
        job = self._jobs.get(job_id)
        if job is None:
            raise Refusal(
                404,
                f"There is no job {job_id[:40]!r} on this worker.",
                "Jobs are forgotten 15 minutes after their end, and when their worker stops.",
            )
        return job

    def status(self, job: Job) -> int:
        """Return the HTTP status that tells what has become of a job that was just begun."""
        return 202 if job.state == "running" else self._statuses.get(job.job, 200)

    async def cancel(self, job_id: str) -> Job:
        """Stop a job at its next step, and return it."""
        job = self.get(job_id)
        task = self._tasks.get(job_id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=_STOP_TIMEOUT_S)
        return job

    async def start(self) -> None:
        """Do nothing: jobs begin when they are asked for."""

    async def stop(self) -> None:
        """Stop all that runs."""
        tasks = set(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_TIMEOUT_S)

    async def _perform(self, job: Job, perform: Callable[[Progress], Awaitable[Outcome]]) -> None:
        def tell(done: int, total: int, doing: str = "") -> None:
            job.done, job.total, job.doing = done, total, doing

        try:
            job.outcome = await perform(tell)
            job.state = "done"
        except asyncio.CancelledError:
            job.state = "stopped"
            job.error = "It was stopped. What was done until then stays done."
        except Exception as error:
            self._fail(job, error)
        finally:
            self._ended_at[job.job] = self._clock()
            self._tasks.pop(job.job, None)

    def _fail(self, job: Job, error: Exception) -> None:
        refusal = refusal_of(error)
        if refusal is None:
            logger.error(
                "%s (job %s) failed in a way that nobody thought of",
                job.title,
                job.job,
                exc_info=error,
            )
            refusal = Refusal(500, "It failed by a mistake of ours.", "See this worker's log.")
        job.state, job.error = "failed", str(refusal)
        self._statuses[job.job] = refusal.status

    def _forget_old(self) -> None:
        for job_id, ended_at in list(self._ended_at.items()):
            if self._clock() - ended_at > _KEPT_S:
                del self._ended_at[job_id]
                self._statuses.pop(job_id, None)
                with contextlib.suppress(KeyError):
                    del self._jobs[job_id]
