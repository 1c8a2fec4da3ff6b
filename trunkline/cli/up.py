"""``trunkline up``: the whole system on one machine."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from trunkline.broker import EmbeddedBroker
from trunkline.settings import Settings, load_settings
from trunkline.topics import apply
from trunkline.topology import Topology
from trunkline.up.greeting import Greeting
from trunkline.up.plan import Pod, pods_of
from trunkline.up.processes import new_manager


@click.command()
@click.option("--first-port", default=6066, show_default=True, help="Web port of the first pod.")
@click.option("--rate", default=20.0, show_default=True, help="Demo events a second; 0 for none.")
@click.option(
    "--bad-share",
    default=0.005,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Bad demo events for each good one, which become dead letters; 0 for none.",
)
def up(first_port: int, rate: float, bad_share: float) -> None:
    """Run Kafka, the topics, every service of the Procfile and demo traffic; Ctrl-C ends it all."""
    settings = load_settings()
    # Before honcho listens, SIGTERM is to end things as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    broker = EmbeddedBroker.of(settings) if settings.uses_embedded_broker else None
    began_broker = False
    try:
        if broker is not None:
            began_broker = broker.start(say=click.echo)
        if broker is not None:
            settings = settings.model_copy(
                update={"kafka_bootstrap_servers": broker.bootstrap_servers}
            )
        code = _run(settings, first_port, (rate, bad_share))
    except KeyboardInterrupt:
        code = 130
    finally:
        # A broker that was there before stays.
        if broker is not None and began_broker:
            broker.stop()
    sys.exit(0 if code in (130, 143) else code)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _run(settings: Settings, first_port: int, demo: tuple[float, float]) -> int:
    topology = Topology(settings.namespace)
    servers = settings.kafka_bootstrap_servers
    asyncio.run(apply(settings.connection, topology))
    pods = pods_of(Path("Procfile"), topology, servers, settings.data_dir.absolute(), first_port)
    manager = new_manager()
    for pod in pods:
        manager.add_process(pod.name, pod.command, env=dict(pod.environment))
    if demo[0]:
        manager.add_process("demo", _demo_command(pods, *demo), env=dict(pods[0].environment))
    Greeting(pods, servers, needs_token=bool(settings.http_token)).start()
    manager.loop()
    return int(manager.returncode or 0)


def _demo_command(pods: list[Pod], rate: float, bad_share: float) -> str:
    topology = Topology()
    urls = {pod.service: pod.url for pod in pods if topology.service(pod.service).publishes}
    publishers = " ".join(f"--publisher {name}={url}" for name, url in urls.items())
    options = f"--rate {rate} --bad-share {bad_share}"
    return f"{sys.executable} -m trunkline demo {options} {publishers}"
