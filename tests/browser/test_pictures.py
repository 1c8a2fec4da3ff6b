"""The pictures of the documentation: every page with failing traffic, in every look.

scripts/test -n 0 tests/browser/test_pictures.py --pictures
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random

import pytest
from aiokafka import AIOKafkaProducer

from tests.support.browser import Look
from tests.support.console_system import REFUSED_USER
from trunkline.topology import AUTH_REGISTERED

LOOKS = (Look("light", 1280), Look("dark", 1280), Look("light", 360), Look("dark", 1920))
#: Charts need some points.
_TRAFFIC_S = 45


@pytest.mark.timeout(600)
async def test_pictures(console, system, request):
    """Taken only when asked for: they differ each time."""
    if not request.config.getoption("--pictures", default=False):
        pytest.skip("pictures are taken with --pictures")
    traffic = asyncio.create_task(_publish(system))
    await asyncio.sleep(_TRAFFIC_S)
    first = await console.open("/console")
    paths = await first.locator("nav.pages a").evaluate_all("all => all.map(a => a.pathname)")
    topic = system.topology.topic(AUTH_REGISTERED).name
    paths += [f"/console/topics/{topic}", f"/console/topics/{topic}/1/5"]
    for link in ("dead-letters/by/", "dead-letters/message", "retries/event"):
        page = await console.open(f"/console/{'retries' if 'retries' in link else 'dead-letters'}")
        found = page.locator(f"main a[href*='/console/{link}']").first
        if await found.count():
            paths.append(await found.get_attribute("href"))
            if "by" in link:
                await page.goto(console.url + paths[-1])
                letter = page.locator("main a[href*='dead-letters/message']").first
                if await letter.count():
                    paths.append(await letter.get_attribute("href"))
    await console.close()
    for look in LOOKS:
        for path in dict.fromkeys(paths):
            page = await console.open(path, look)
            await page.wait_for_timeout(500)
            name = path.partition("?")[0].removeprefix("/console/").replace(topic, "topic")
            name = name.replace("/", "-")[:40]
            await console.picture(page, f"console-{name}-{look.theme}-{look.width}")
            await console.close()
    traffic.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await traffic


async def _publish(system) -> None:
    """About 20 events a second, some of which fail."""
    topic = system.topology.topic(AUTH_REGISTERED).name
    chance = random.Random(7)
    async with AIOKafkaProducer(bootstrap_servers=system.servers) as producer:
        while True:
            user = REFUSED_USER if chance.random() < 0.01 else str(chance.randrange(20_000, 30_000))
            value = json.dumps({"userId": user, "email": f"ada.{user}@example.com"}).encode()
            if chance.random() < 0.01:
                value = value[:20]
            await producer.send(topic, value, key=user.encode())
            await asyncio.sleep(chance.random() * 0.1)
