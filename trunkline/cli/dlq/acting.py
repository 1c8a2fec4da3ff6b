"""``trunkline dlq redrive|discard|import``: act on dead letters, each one once."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from trunkline.cli.dlq.options import (
    Asked,
    dry_run_option,
    environment,
    filtered,
    force_option,
    json_option,
    limit_option,
    rate_option,
    yes_option,
)
from trunkline.cli.dlq.running import Options, run
from trunkline.dead_letters.filters import LetterFilter
from trunkline.dead_letters.redrive import MAX_REDRIVES, Guard
from trunkline.dead_letters.sources import FileSource, ScanSource, Source
from trunkline.dead_letters.work import Job
from trunkline.errors import ConfigurationError

_max_redrives_option = click.option(
    "--max-redrives",
    type=click.IntRange(1),
    default=MAX_REDRIVES,
    show_default=True,
    help="Refuse those that were redriven so often.",
)


@click.command()
@filtered
@dry_run_option
@rate_option
@limit_option
@_max_redrives_option
@force_option
@yes_option
@json_option
def redrive(*, asked: Asked, max_redrives: int, force: bool, **options: object) -> None:
    """Give dead letters back to the groups that failed them, each to its own and no other.

    \b
    trunkline dlq redrive --dry-run
    trunkline dlq redrive --fingerprint a86cb175 --rate 50
    trunkline dlq redrive 'dlq.order.created[1]@17'

    A redriven event has a fresh budget of retries. Ctrl-C ends after the transaction that is on its
    way; after that, or a crash, the same command goes on, and nothing is redriven twice. A second
    run at the same time takes over from the first.

    Exit status 0: done; 1: interrupted, or everything that was meant was refused; 2: asked wrongly.
    """  # noqa: D301  # click wants a real backspace
    guard = Guard(asked.topology, max_redrives, force)
    job = Job("redriven", asked.settings, asked.topology, guard)
    _run(job, ScanSource(*asked), options)


@click.command()
@filtered
@dry_run_option
@limit_option
@yes_option
@json_option
def discard(*, asked: Asked, **options: object) -> None:
    """Note that nothing more is to be done with dead letters; they stay readable with --all.

    \b
    trunkline dlq discard --fingerprint a86cb175
    trunkline dlq discard --until 30d

    A filter must be given: '--until 0s' means all.
    """  # noqa: D301  # click wants a real backspace
    if asked.wanted == LetterFilter():
        raise click.UsageError("Say which: give an ID or a filter ('--until 0s' means all).")
    job = Job("discarded", asked.settings, asked.topology, None)
    _run(job, ScanSource(*asked), options)


@click.command("import")
@click.argument("source", metavar="FILE|-", type=click.Path(exists=True, allow_dash=True))
@dry_run_option
@rate_option
@limit_option
@_max_redrives_option
@force_option
@yes_option
@json_option
def import_(*, source: str, max_redrives: int, force: bool, **options: object) -> None:
    """Redrive dead letters from lines that 'export' wrote, edited or not.

    \b
    trunkline dlq export --fingerprint a86cb175 -o letters.ndjson
    sed -i 's/"amount":"12"/"amount":12/' letters.ndjson
    trunkline dlq import letters.ndjson

    The event goes to its group as the line has it: key, value and headers may be changed, and are
    not kept anywhere else. The same guards apply as for 'redrive'. A line with an id counts as that
    dead letter: once it is redriven, or was, it is no longer open, and the same command goes on
    where it was interrupted. A line without an id is known by its content.

    All lines are checked before the first one is done.
    """  # noqa: D301  # click wants a real backspace
    settings, topology = environment()
    job = Job("redriven", settings, topology, Guard(topology, max_redrives, force))
    with FileSource.opened(None if source == "-" else Path(source), settings, topology) as lines:
        _run(job, lines, options)


def _run(job: Job, source: Source, options: dict[str, object]) -> None:
    """Plan, ask, do and report; ends the process with the exit status."""
    given = Options(**options)  # type: ignore[arg-type]
    if not (given.yes or given.dry_run or sys.stdin.isatty()):
        raise ConfigurationError("Nobody is there to be asked: say --yes, or --dry-run to look.")
    status = run(job, source, given)
    if status:
        sys.exit(status)
