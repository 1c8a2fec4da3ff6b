"""Two of three brokers are gone: nothing can be acknowledged, so nothing is."""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec
import pytest

from models import UserRegistered
from tests.support.waiting import eventually
from trunkline.topology import AUTH_REGISTERED

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]

LIST = 7


async def test_publishers_answer_503_while_too_few_brokers_are_left(world):
    """No post is half done, and all goes on by itself when the brokers are back."""
    await world.begin()
    cluster, refused = world.cluster, {}
    async with world.fault("two of three brokers gone for a while"):
        await asyncio.gather(*(asyncio.to_thread(cluster.kill, node) for node in (0, 1)))
        before = world.load.answers[503]
        await eventually(lambda: world.load.answers[503] > before, 60, "a publisher to answer 503")
        taken = world.load.count
        for number in range(4):
            refused[number] = await post(world.publisher, f"refused-{number}")
        assert world.load.count == taken
        for node in (0, 1):
            await asyncio.to_thread(cluster.restart_node, node)
    assert {status for status, _ in refused.values()} == {503}
    assert set(world.load.answers) <= {0, 202, 503}  # 0: the client gave up
    await check_nothing_half_done(world, refused)
    await world.account()


async def post(pod, user):
    """Post a list of events of one user; return the answer."""
    events = [UserRegistered(user_id=user, email=f"n-{10**6}@example.com") for _ in range(LIST)]
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{pod.url}/events/{AUTH_REGISTERED}",
            data=msgspec.json.encode(events),
            headers={"Content-Type": "application/json"},
        ) as response,
    ):
        return response.status, await response.json()


async def check_nothing_half_done(world, refused):
    """A list that was refused is not there; one whose outcome is unknown is there as a whole."""
    topic = world.stage.topology.topic(AUTH_REGISTERED).name
    keys = [record.key.decode() for record in await world.stage.observer.read_all(topic)]
    for number, (_, body) in refused.items():
        there = keys.count(f"refused-{number}")
        unknown = body["error"].get("outcome") == "unknown"
        assert there in ({0, LIST} if unknown else {0}), (number, body)
