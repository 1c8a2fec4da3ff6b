"""What ``trunkline topics acls`` prints: rights as a table, as JSON, or as kafka-acls commands."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import click
from rich.console import Console
from rich.table import Table

from trunkline.errors import ConfigurationError
from trunkline.settings import Settings
from trunkline.topics.acl_changes import grant
from trunkline.topics.acls import Acl, Rights, all_rights, rights_of
from trunkline.topology import Topology

_PIPE_WIDTH = 200
_PLACE = "{service}"


def show_acls(
    settings: Settings,
    names: Sequence[str],
    principal: str,
    *,
    commands: bool,
    apply: bool,
    as_json: bool,
) -> None:
    """Print the rights of services, or grant them.

    Raises:
        ConfigurationError: A service is unknown, or the principal names none.
        BrokerError: They were to be granted, and Kafka is away.
        TopologyError: They were to be granted, and Kafka refuses.

    """
    if _PLACE not in principal:
        raise ConfigurationError(f"--principal {principal!r} must have {_PLACE} in it.")
    topology = Topology(settings.namespace)
    rights = [rights_of(topology, name) for name in names] or all_rights(topology)

    def principal_of(who: str) -> str:
        return principal.replace(_PLACE, who)

    if apply:
        count = asyncio.run(grant(settings.connection, rights, principal_of))
        who = ", ".join(principal_of(each.who) for each in rights)
        told = {"granted": count, "principals": who.split(", ")}
        click.echo(json.dumps(told) if as_json else f"Granted {count} rights to {who}.")
    elif as_json:
        click.echo(
            json.dumps([_as_dict(each, principal_of(each.who)) for each in rights], indent=2)
        )
    elif commands:
        servers = ",".join(settings.connection.servers)
        for line in command_lines(servers, rights, principal_of):
            click.echo(line)
    else:
        _print(rights, principal_of)


def command_lines(
    servers: str, rights: Iterable[Rights], principal_of: Callable[[str], str]
) -> Iterator[str]:
    """Yield kafka-acls commands that grant rights: one for what has the same operations."""
    start = ["kafka-acls.sh", "--bootstrap-server", servers, "--command-config", "admin.properties"]
    for each in rights:
        yield f"# {each.who}"
        for (resource, prefixed, operations), names in _alike(each.acls).items():
            words = [*start, "--add", "--allow-principal", principal_of(each.who)]
            words += [word for one in operations for word in ("--operation", one)]
            words += [word for name in names for word in (f"--{resource}", name)]
            words += ["--resource-pattern-type", "prefixed"] if prefixed else []
            yield shlex.join(words)


def _alike(acls: Iterable[Acl]) -> dict[tuple[str, bool, tuple[str, ...]], list[str]]:
    found: dict[tuple[str, bool, tuple[str, ...]], list[str]] = {}
    for acl in acls:
        found.setdefault((acl.resource, acl.prefixed, acl.operations), []).append(acl.name)
    return found


def _as_dict(rights: Rights, principal: str) -> dict[str, object]:
    acls = [
        {
            "resource": acl.resource,
            "name": acl.name,
            "pattern": "prefixed" if acl.prefixed else "literal",
            "operations": list(acl.operations),
        }
        for acl in rights.acls
    ]
    return {"service": rights.who, "principal": principal, "acls": acls}


def _print(rights: Iterable[Rights], principal_of: Callable[[str], str]) -> None:
    table = Table("principal", "resource", "name", "operations", box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for each in rights:
        principal = principal_of(each.who)
        for acl in each.acls:
            name = f"{acl.name}*" if acl.prefixed else acl.name
            table.add_row(principal, acl.resource, name, ", ".join(acl.operations))
            principal = ""
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False).print(table)
