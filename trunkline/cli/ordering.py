"""``trunkline pause|resume|drain|undrain``: give an order, and wait until the pods report it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import click

from trunkline.audit import audited, operator
from trunkline.cli.escaping import harmless
from trunkline.cli.names import ANY_TOPIC, GROUP, POD
from trunkline.cli.reports import Reports, quietly
from trunkline.errors import TrunklineError
from trunkline.retries.selection import groups_named
from trunkline.settings import Settings, load_settings
from trunkline.system import control
from trunkline.system.report import WorkerReport
from trunkline.system.workers import Worker
from trunkline.topology import Topology

_PLACE = re.compile(r"(?P<topic>.+?)(?:\[(?P<partition>\d{1,9})\])?")

_wait_option = click.option(
    "--wait/--no-wait", default=True, help="Wait until the pods report it (the default)."
)
_timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 3600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _NotReportedError(TrunklineError):
    """The order was given, and the pods do not report it."""


@click.command()
@click.argument("group", type=GROUP)
@click.argument("place", type=ANY_TOPIC, metavar="TOPIC[PARTITION]")
@_wait_option
@_timeout_option
@_json_option
def pause(group: str, place: str, **options: Any) -> None:
    """Let GROUP handle nothing more of a topic, or of one partition of it, until it is resumed.

    \b
    trunkline pause engine-group order.created
    trunkline pause engine-group 'order.created[1]'

    What runs ends. Nothing is lost: what is not handled stays in Kafka, uncommitted, and failed
    events of it are not tried again meanwhile. A pause outlives restarts; mind the retention.

    Exit status 0: it is paused (or was); 1: the pods do not report it in time, or Kafka is away.
    """  # noqa: D301  # click wants a real backspace
    asyncio.run(_order_group("pause", group, place, **options))


@click.command()
@click.argument("group", type=GROUP)
@click.argument("place", type=ANY_TOPIC, metavar="TOPIC[PARTITION]")
@_wait_option
@_timeout_option
@_json_option
def resume(group: str, place: str, **options: Any) -> None:
    """Let GROUP go on with a topic and all its partitions, or with one partition of it.

    \b
    trunkline resume engine-group order.created

    Exit status 0: it goes on (or was not paused); 1: the pods do not report it in time, or Kafka
    is away.
    """  # noqa: D301  # click wants a real backspace
    asyncio.run(_order_group("resume", group, place, **options))


@click.command()
@click.argument("pod", type=POD)
@_wait_option
@_timeout_option
@_json_option
def drain(pod: str, **options: Any) -> None:
    """Have POD give its partitions to the others of its group, and wait.

    \b
    trunkline drain engine.2

    What runs ends, and is committed. The process goes on and serves as not ready, until it is
    stopped, or 'undrain' has it join again; a restart ends the drain.

    Exit status 0: it is drained; 1: it does not report that in time, or Kafka is away.
    """  # noqa: D301  # click wants a real backspace
    asyncio.run(_order_pod("drain", pod, **options))


@click.command()
@click.argument("pod", type=POD)
@_wait_option
@_timeout_option
@_json_option
def undrain(pod: str, **options: Any) -> None:
    """Have a drained POD join its group again.

    Exit status 0: it works; 1: it does not report that in time, or Kafka is away.
    """
    asyncio.run(_order_pod("undrain", pod, **options))


async def _order_group(
    order: str, group: str, place: str, *, wait: bool, timeout_s: float, as_json: bool
) -> None:
    quietly()
    settings, topology = _environment()
    topic, partition = _place(place)
    [real] = groups_named(topology, [group])
    name = topology.any_topic(topic).name
    give = control.pause if order == "pause" else control.resume
    what = {"group": group, "topic": topic, "partition": partition}
    async with audited(settings, topology, operator(), order, what=what) as note:
        outcome = await give(
            settings.connection, topology, group, topic, partition, who=str(operator())
        )
        note.result = {"changed": len(outcome.changed)}
    places = {name} if partition is None else {name, f"{name}[{partition}]"}

    def is_done(report: WorkerReport) -> bool:
        if order == "pause":
            return bool(places & set(report.pauses))
        if partition is None:
            return not any(p == name or p.startswith(f"{name}[") for p in report.pauses)
        return not places & set(report.pauses)

    def members(workers: list[Worker]) -> list[Worker]:
        return [w for w in workers if w.report.group == real and w.report.consumes]

    pods = await _reported(settings, topology, members, is_done, timeout_s) if wait else None
    known = {"order": order, "group": real, "topic": name, "partition": partition}
    _tell(known, outcome, pods, as_json=as_json)


async def _order_pod(order: str, pod: str, *, wait: bool, timeout_s: float, as_json: bool) -> None:
    quietly()
    settings, topology = _environment()
    give = control.drain if order == "drain" else control.undrain
    async with audited(settings, topology, operator(), order, what={"pod": pod}) as note:
        outcome = await give(settings.connection, topology, pod, who=str(operator()))
        note.result = {"changed": len(outcome.changed)}
    wanted = "drained" if order == "drain" else "working"

    def is_done(report: WorkerReport) -> bool:
        return report.state == wanted

    def members(workers: list[Worker]) -> list[Worker]:
        return [worker for worker in workers if worker.report.pod == pod]

    pods = await _reported(settings, topology, members, is_done, timeout_s) if wait else None
    _tell({"order": order, "pod": pod}, outcome, pods, as_json=as_json)


async def _reported(
    settings: Settings,
    topology: Topology,
    members: Callable[[list[Worker]], list[Worker]],
    is_done: Callable[[WorkerReport], bool],
    timeout_s: float,
) -> list[str]:
    """Wait until all the pods that report say so; returns their names.

    Raises:
        _NotReportedError: They do not, in time.

    """
    left: list[str] = []
    async with Reports(settings, topology) as reports:
        try:
            async with asyncio.timeout(timeout_s):
                async for fresh in reports.fresh():
                    meant = members(fresh)
                    left = [w.report.pod for w in meant if not is_done(w.report)]
                    if not left:
                        return [worker.report.pod for worker in meant]
        except TimeoutError:
            pass
    raise _NotReportedError(
        f"The order was given and holds, but within {timeout_s:g} s not reported by "
        f"{', '.join(map(harmless, left)) or 'anybody'}. See: trunkline status"
    )


def _tell(known: dict[str, Any], outcome: Any, pods: list[str] | None, *, as_json: bool) -> None:
    if as_json:
        lists = {"changed": outcome.changed, "unchanged": outcome.unchanged, "reported_by": pods}
        click.echo(json.dumps({**known, **lists}))
        return
    done = {"pause": "Paused", "resume": "Resumed", "drain": "Drained", "undrain": "Undrained"}
    was = {
        "pause": "was paused already",
        "resume": "was not paused",
        "drain": "was drained already",
        "undrain": "was not drained",
    }
    order = known["order"]
    for name in outcome.changed:
        click.echo(f"{done[order] if pods is not None else 'Ordered'}: {harmless(name)}.")
    for name in outcome.unchanged:
        click.echo(f"{harmless(name)} {was[order]}.")
    if pods:
        click.echo(f"Reported by {', '.join(map(harmless, pods))}.")
    elif pods is not None:
        click.echo("No pod of it runs at the moment: the order holds for those that start.")


def _place(text: str) -> tuple[str, int | None]:
    match = _PLACE.fullmatch(text)
    assert match is not None
    partition = match["partition"]
    return match["topic"], None if partition is None else int(partition)


def _environment() -> tuple[Settings, Topology]:
    settings = load_settings()
    return settings, Topology(settings.namespace)
