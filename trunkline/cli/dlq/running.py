"""Plan what is to be done with dead letters, ask, do it, and say what was done."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import socket
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import click

from trunkline.cli.dlq.options import progress_bar, stopped_by_signals
from trunkline.cli.dlq.sources import Candidate, FileSource, ScanSource
from trunkline.cli.dlq.tables import counted, print_plan
from trunkline.cli.escaping import to_json
from trunkline.dead_letters.actions import TRANSACTIONAL_ID, Actions, Kind
from trunkline.dead_letters.once import OnceWriter, Outcome
from trunkline.dead_letters.plan import Plan
from trunkline.dead_letters.redrive import Guard, Item, Verdict, discard_item, redrive_item
from trunkline.dead_letters.scan import read_actions
from trunkline.delivery.fenced import FencedTransactions
from trunkline.errors import TrunklineError
from trunkline.settings import Settings
from trunkline.topology import FAILURE_HEADERS_BYTES, MAX_MESSAGE_BYTES, Topology

_DO = {"redriven": "Redrive", "discarded": "Discard"}


@dataclass(frozen=True)
class Options:
    """How it is to be done; each is the command's option of that name."""

    dry_run: bool = False
    rate: float | None = None
    limit: int | None = None
    yes: bool = False
    as_json: bool = False


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        action: With each dead letter.
        guard: Which may be redriven; None lets all through that are open.

    """

    action: Kind
    settings: Settings
    topology: Topology
    guard: Guard | None

    def judge(self, candidate: Candidate) -> Verdict:
        """Return what is to become of a dead letter."""
        letter, _, action = candidate.found
        if self.guard is not None:
            return self.guard.judge(letter, action)
        return Verdict(to="(nowhere)")

    def item(self, candidate: Candidate, verdict: Verdict) -> Item:
        """Return what does it."""
        letter = candidate.found.letter
        if self.action == "discarded":
            return discard_item(letter)
        return redrive_item(letter, verdict.to)._replace(id=candidate.key)


class _StoppedError(TrunklineError):
    """It ended before its end."""


def run(job: Job, source: ScanSource | FileSource, options: Options) -> int:
    """Do a job; returns the exit status.

    Raises:
        TrunklineError: It did not get to its end; the message says how far it got.

    """
    plan, chosen = asyncio.run(_plan(job, source, options))
    if not options.as_json:
        print_plan(plan)
    outcome = Outcome()
    if plan.count and not options.dry_run:
        if not options.yes:
            click.confirm(f"{_DO[job.action]} {counted(plan.count)}?", abort=True, err=True)
        outcome = asyncio.run(_execute(job, source, options, plan.count, chosen))
    _report(job, options, plan, outcome)
    if outcome.interrupted or outcome.refused:
        return 1
    nothing = not plan.count and (plan.refused or source.names_ids)
    return 1 if nothing else 0


async def _plan(
    job: Job, source: ScanSource | FileSource, options: Options
) -> tuple[Plan, set[str] | None]:
    """Judge everything, and choose so many when there is a limit: order may differ next time."""
    plan = Plan(job.topology)
    chosen: set[str] | None = None if options.limit is None else set()
    with progress_bar("reading", None) as show:
        stream = source.candidates(show)
        async with contextlib.aclosing(stream) as candidates:
            async for candidate in candidates:
                verdict = job.judge(candidate)
                plan.add(candidate.found, verdict)
                if chosen is not None and not verdict.refused:
                    chosen.add(candidate.key)
                    if len(chosen) == options.limit:
                        break
    return plan, chosen


async def _execute(
    job: Job,
    source: ScanSource | FileSource,
    options: Options,
    total: int,
    chosen: set[str] | None,
) -> Outcome:
    servers, topology = job.settings.bootstrap_servers, job.topology

    async def actions() -> Actions:
        return await read_actions(servers, topology)

    with progress_bar(job.action, total) as show:
        writer = OnceWriter(
            FencedTransactions(
                servers,
                "trunkline-dlq",
                topology.real_name(TRANSACTIONAL_ID),
                max_request_bytes=MAX_MESSAGE_BYTES + FAILURE_HEADERS_BYTES,
            ),
            actions,
            topology.dead_letter_actions_topic().name,
            by=_by(),
            run=uuid.uuid4().hex[:12],
            rate=options.rate,
            on_progress=lambda outcome: show(outcome.done + outcome.already, total),
        )
        items = _items(job, source, chosen)
        with stopped_by_signals(writer.stop):
            try:
                async with contextlib.aclosing(items):
                    return await writer.write(items)
            except TrunklineError as error:
                done = f"{writer.outcome.done:,} of {total:,} dead letters were {job.action}"
                raise _StoppedError(f"{error} {done}. {_GO_ON}") from error


async def _items(
    job: Job, source: ScanSource | FileSource, chosen: set[str] | None
) -> AsyncGenerator[Item, None]:
    left = None if chosen is None else len(chosen)
    stream = source.candidates(lambda *_: None)
    async with contextlib.aclosing(stream) as candidates:
        async for candidate in candidates:
            if left == 0:
                return
            verdict = job.judge(candidate)
            if verdict.refused or (chosen is not None and candidate.key not in chosen):
                continue
            yield job.item(candidate, verdict)
            left = None if left is None else left - 1


def _report(job: Job, options: Options, plan: Plan, outcome: Outcome) -> None:
    if options.as_json:
        click.echo(to_json(_summary(job, options, plan, outcome)))
        return
    for letter_id, reason in outcome.refused:
        click.echo(f"Kafka refuses {letter_id}: {reason}", err=True)
    if not plan.count:
        click.echo(f"No dead letter is to be {job.action}.")
    elif options.dry_run:
        click.echo(f"{counted(plan.count)} would be {job.action}. Nothing was done.")
    else:
        was = "was" if outcome.done == 1 else "were"
        already = f" {outcome.already:,} had been done already." if outcome.already else ""
        click.echo(f"{counted(outcome.done)} {was} {job.action}.{already}")
    if outcome.interrupted:
        left = plan.count - outcome.done - outcome.already - len(outcome.refused)
        click.echo(f"Interrupted: {left:,} are left. {_GO_ON}", err=True)


def _summary(job: Job, options: Options, plan: Plan, outcome: Outcome) -> dict[str, object]:
    return {
        "dry_run": options.dry_run,
        **plan.to_dict(),
        job.action: outcome.done,
        "already": outcome.already,
        "failed": [{"id": letter_id, "reason": reason} for letter_id, reason in outcome.refused],
        "interrupted": outcome.interrupted,
    }


def _by() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = "?"
    return f"{user}@{socket.gethostname()}"


_GO_ON = "The same command goes on from here; nothing is done twice."
