"""``trunkline dlq ls|show|export``: look at dead letters; nothing is changed."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import IO

import click

from trunkline.cli.dlq.options import (
    Asked,
    environment,
    filtered,
    json_option,
    limit_option,
    progress_bar,
)
from trunkline.cli.dlq.tables import counted, print_groups, print_letter, print_line
from trunkline.cli.escaping import to_json
from trunkline.dead_letters.filters import parse_filter
from trunkline.dead_letters.fingerprint import Fingerprint
from trunkline.dead_letters.groups import LetterGroup
from trunkline.dead_letters.scan import Found, Scan
from trunkline.dead_letters.transfer import export_line, letter_to_dict
from trunkline.errors import ConfigurationError, TrunklineError

_all_option = click.option("--all", "every", is_flag=True, help="Also redriven and discarded ones.")


@click.command()
@filtered
@click.option("--letters", is_flag=True, help="List single dead letters instead of groups.")
@_all_option
@limit_option
@json_option
def ls(*, asked: Asked, letters: bool, every: bool, limit: int | None, as_json: bool) -> None:
    """List dead letters by fingerprint: of one topic, group, error and place.

    \b
    trunkline dlq ls
    trunkline dlq ls --topic order.created --since 2h
    trunkline dlq ls --letters --fingerprint a86cb175

    Without --all only open ones are shown: neither redriven nor discarded.
    """  # noqa: D301  # click wants a real backspace
    if letters:
        asyncio.run(_list_letters(asked, every=every, limit=limit, as_json=as_json))
        return
    groups = asyncio.run(_groups(asked, every=every))[:limit]
    if as_json:
        click.echo(to_json([_group_to_dict(group) for group in groups]))
    else:
        print_groups(groups)


@click.command()
@click.argument("letter_id", metavar="ID")
@json_option
def show(letter_id: str, as_json: bool) -> None:
    """Show one dead letter: where it came from, what failed, and the event itself.

    ID is as 'ls --letters' shows it: dlq.order.created[1]@17.
    """
    settings, topology = environment()
    wanted = parse_filter(topology, 0, ids=[letter_id])
    ((topic, partition, offset),) = wanted.ids

    async def find() -> Found | None:
        async with Scan(settings.connection, topology, wanted) as scan:
            return await scan.letter((topic, partition, offset))

    found = asyncio.run(find())
    if found is None:
        raise TrunklineError(
            f"There is no dead letter {topic}[{partition}]@{offset}; 'trunkline dlq ls --letters' "
            "lists those that there are."
        )
    if as_json:
        click.echo(to_json(letter_to_dict(found)))
    else:
        print_letter(found)


@click.command()
@filtered
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write."
)
@_all_option
@limit_option
def export(*, asked: Asked, output: Path | None, every: bool, limit: int | None) -> None:
    """Write dead letters as JSON lines, to standard output or to a file that is new.

    \b
    trunkline dlq export --group engine-group -o letters.ndjson
    trunkline dlq export | jq .value

    Bytes are text where they are UTF-8, else {"base64": "..."}; 'import' takes the lines back,
    edited or not.
    """  # noqa: D301  # click wants a real backspace
    count = asyncio.run(_export(asked, output, every=every, limit=limit))
    if output is not None:
        click.echo(f"Exported {counted(count)} to {output}.", err=True)


async def find_letters(
    asked: Asked, *, every: bool, limit: int | None = None, bar: bool = True
) -> AsyncGenerator[Found, None]:
    """Yield what is meant, with a progress bar unless they are printed to the same terminal."""
    scan = Scan(asked.settings.connection, asked.topology, asked.wanted, acted_on=every)
    async with scan:
        with progress_bar("reading", scan.size, shown=bar) as show_progress:
            read = count = 0
            async for step in scan.steps():
                read += step.read
                show_progress(read, scan.size)
                for found in step.found:
                    yield found
                    count += 1
                    if count == limit:
                        return


async def _groups(asked: Asked, *, every: bool) -> list[LetterGroup]:
    groups: dict[Fingerprint, LetterGroup] = {}
    async with contextlib.aclosing(find_letters(asked, every=every)) as letters:
        async for found in letters:
            groups.setdefault(found.fingerprint, LetterGroup(found.fingerprint)).add(found)
    return sorted(groups.values(), key=lambda group: (-group.count, group.fingerprint))


async def _list_letters(asked: Asked, *, every: bool, limit: int | None, as_json: bool) -> None:
    separator = "["
    found_letters = find_letters(asked, every=every, limit=limit, bar=not sys.stdout.isatty())
    async with contextlib.aclosing(found_letters) as letters:
        async for found in letters:
            if as_json:
                click.echo(separator + export_line(found))
                separator = ","
            else:
                print_line(found)
    if as_json:
        click.echo("[]" if separator == "[" else "]")


async def _export(asked: Asked, output: Path | None, *, every: bool, limit: int | None) -> int:
    count = 0
    bar = output is not None or not sys.stdout.isatty()
    found_letters = find_letters(asked, every=every, limit=limit, bar=bar)
    with _opened(output) as stream:
        async with contextlib.aclosing(found_letters) as letters:
            async for found in letters:
                stream.write(export_line(found) + "\n")
                count += 1
    return count


def _opened(output: Path | None) -> contextlib.AbstractContextManager[IO[str]]:
    if output is None:
        return contextlib.nullcontext(sys.stdout)
    try:
        return output.open("x", encoding="utf-8")
    except FileExistsError:
        raise ConfigurationError(f"{output} exists already: name a new file.") from None
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}.") from None


def _group_to_dict(group: LetterGroup) -> dict[str, object]:
    return {
        "fingerprint": group.fingerprint.digest,
        **group.fingerprint._asdict(),
        "count": group.count,
        "first_failed_at_ms": group.first_ms,
        "last_failed_at_ms": group.last_ms,
        "message": group.message,
    }
