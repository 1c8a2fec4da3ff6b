"""Plan what is to be done with dead letters, ask, do it, and say what was done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import click

from trunkline.audit import audited, operator
from trunkline.cli.dlq.options import progress_bar, stopped_by_signals
from trunkline.cli.dlq.tables import counted, print_plan
from trunkline.cli.escaping import to_json
from trunkline.dead_letters.once import Outcome
from trunkline.dead_letters.plan import Plan
from trunkline.dead_letters.sources import ScanSource, Source
from trunkline.dead_letters.work import AUDIT_NAMES, Job, Planned, Run, plan_job, tell
from trunkline.errors import TrunklineError

_DO = {"redriven": "Redrive", "discarded": "Discard"}


@dataclass(frozen=True)
class Options:
    """How it is to be done; each is the command's option of that name."""

    dry_run: bool = False
    rate: float | None = None
    limit: int | None = None
    yes: bool = False
    as_json: bool = False


class _StoppedError(TrunklineError):
    """It ended before its end."""


def run(job: Job, source: Source, options: Options) -> int:
    """Do a job; returns the exit status.

    Raises:
        TrunklineError: It did not get to its end; the message says how far it got.

    """
    planned = asyncio.run(_plan(job, source, options))
    plan = planned.plan
    if not options.as_json:
        print_plan(plan)
        if plan.invalid and job.action == "redriven":
            click.echo(f"Mind: {plan.warning()}")
    outcome = Outcome()
    if plan.count and not options.dry_run:
        if not options.yes:
            click.confirm(f"{_DO[job.action]} {counted(plan.count)}?", abort=True, err=True)
        outcome = asyncio.run(_execute(job, source, options, planned))
    _report(job, options, plan, outcome)
    if outcome.interrupted or outcome.refused:
        return 1
    nothing = not plan.count and (plan.refused or source.names_ids)
    return 1 if nothing else 0


async def _plan(job: Job, source: Source, options: Options) -> Planned:
    with progress_bar("reading", None) as show:
        return await plan_job(job, source, options.limit, show)


async def _execute(job: Job, source: Source, options: Options, planned: Planned) -> Outcome:
    total = planned.plan.count
    with progress_bar(job.action, total) as show:
        run = Run(
            job,
            source,
            planned,
            by=str(operator()),
            rate=options.rate,
            on_progress=lambda outcome: show(outcome.done + outcome.already, total),
        )
        what = {**source.to_dict(), "run": run.id, "rate": options.rate, "limit": options.limit}
        name = AUDIT_NAMES[job.action] if isinstance(source, ScanSource) else "dlq.import"
        action = audited(job.settings, job.topology, operator(), name, what=what, count=total)
        with stopped_by_signals(run.stop):
            async with action as note:
                try:
                    return await run.execute()
                except TrunklineError as error:
                    done = f"{run.outcome.done:,} of {total:,} dead letters were {job.action}"
                    raise _StoppedError(f"{error} {done}. {_GO_ON}") from error
                finally:
                    tell(note, job, run.outcome)


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


_GO_ON = "The same command goes on from here; nothing is done twice."
