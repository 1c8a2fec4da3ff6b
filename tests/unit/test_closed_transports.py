"""A broken connection is an error that aiokafka handles, on uvloop too."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from trunkline.delivery.closed_transports import tolerate_closed_transports


@pytest.fixture
def as_it_comes():
    """Undo what other tests, and this one, have changed."""
    ours = {name: getattr(AIOKafkaConnection, name) for name in ("send", "_send_sasl_token")}
    for name, write in ours.items():
        setattr(AIOKafkaConnection, name, getattr(write, "__wrapped__", write))
    yield
    for name, write in ours.items():
        setattr(AIOKafkaConnection, name, write)


def runner_on_uvloop():
    """Return what a worker's loop is."""
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


async def _write_to_a_closed_transport(write):
    """Write to a connection whose transport has broken, before its reader has heard of it."""

    async def serve(_reader, writer):
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = AIOKafkaConnection("127.0.0.1", port)
        connection._versions = {18: (0, 4), 3: (0, 5)}
        reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
        connection._reader, connection._read_task = reader, asyncio.create_task(reader.read())
        connection._writer.transport.abort()
        await asyncio.sleep(0.05)  # the transport is closed, and aiokafka's reader not there to see
        try:
            await write(connection)
        finally:
            connection.close()


each_way = pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda connection: connection.send(MetadataRequest([])), id="a request"),
        pytest.param(lambda connection: connection._send_sasl_token(b"token"), id="a password"),
    ],
)


@each_way
@pytest.mark.usefixtures("as_it_comes")
def test_uvloop_needs_it(write):
    """When this fails uvloop or aiokafka was mended, and ours can go."""
    with runner_on_uvloop() as runner, pytest.raises(RuntimeError, match="closed"):
        runner.run(_write_to_a_closed_transport(write))


@each_way
@pytest.mark.usefixtures("as_it_comes")
def test_it_is_a_broken_connection(write):
    """Which aiokafka's tasks take for what it is, and connect again."""
    tolerate_closed_transports()
    tolerate_closed_transports()
    with runner_on_uvloop() as runner, pytest.raises(KafkaConnectionError, match="broken"):
        runner.run(_write_to_a_closed_transport(write))


@pytest.mark.usefixtures("as_it_comes")
def test_other_errors_stay_what_they_are():
    """A mistake of ours is not taken for the network's."""

    class Odd:
        _writer = None

    def send(*_):
        raise RuntimeError("odd")

    AIOKafkaConnection.send = send
    tolerate_closed_transports()
    with pytest.raises(RuntimeError, match="odd"):
        AIOKafkaConnection.send(Odd(), None)
