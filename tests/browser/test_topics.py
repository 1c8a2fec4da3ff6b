"""The Topics pages in a browser: browsing, hostile records, the live tail."""

from __future__ import annotations

import json
import re

from playwright.async_api import expect

from tests.support.browser import LOOKS, assert_accessible
from trunkline.topology import AUTH_REGISTERED

EVIL = (
    "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">\u202e"
)


async def test_a_topic_is_browsed_by_key_and_a_record_opened(console, system):
    """From the list to the record, by what one types; the filters stand in the address."""
    await system.publish("77001", note="look for me")
    page = await console.open("/console/topics?name=auth.registered&kind=events")
    await page.get_by_role("link", name=AUTH_REGISTERED).first.click()
    await page.fill("input[name=key]", "77001")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("key=77001"))
    rows = page.get_by_role("region", name="Records").locator("tbody tr")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("look for me")
    await rows.get_by_role("link").click()
    await expect(page.locator("pre.payload").last).to_contain_text('"note": "look for me"')
    await page.get_by_role("link", name="others with its key").click()
    await expect(page.get_by_role("region", name="Records").locator("tbody tr")).to_have_count(1)


async def test_hostile_records_do_nothing(console, system):
    """Neither in the list, nor in full, nor in the live tail: it is all text."""
    topic = system.topology.topic(AUTH_REGISTERED).name
    page = await console.open(f"/console/topics/{topic}")
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("[data-tail-state]")).to_contain_text("Waiting")
    event = json.dumps({"userId": EVIL, "email": EVIL}).encode()
    await system.publish_raw(EVIL.encode(), event)
    tail = page.get_by_role("region", name="Live tail").locator("tbody tr")
    await expect(tail.first).to_contain_text("<script>document.title", timeout=30_000)
    await page.keyboard.press("r")
    records = page.get_by_role("region", name="Records").locator("tbody tr")
    await expect(records.first).to_contain_text("<script>document.title")
    await records.first.get_by_role("link").click()
    await expect(page.locator("pre.payload").last).to_contain_text("<script>")
    await assert_accessible(page)
    assert "hacked" not in await page.title()


async def test_the_live_tail_pauses_and_goes_on(console, system):
    """Paused, nothing is added; it keeps its rows through a refresh of the page."""
    topic = system.topology.topic(AUTH_REGISTERED).name
    page = await console.open(f"/console/topics/{topic}")
    tail = page.get_by_role("region", name="Live tail").locator("tbody tr")
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("[data-tail-state]")).to_contain_text("Waiting")
    await system.publish("77002")
    await expect(tail).to_have_count(1, timeout=30_000)
    await page.get_by_role("button", name="Pause").click()
    await page.keyboard.press("r")
    await system.publish("77003")
    records = page.get_by_role("region", name="Records").locator("tbody tr")
    await page.keyboard.press("r")
    await expect(records.first).to_contain_text("77003")
    await expect(tail).to_have_count(1)
    await page.get_by_role("button", name="Go on").click()
    await expect(page.locator("[data-tail-state]")).to_contain_text("Waiting")
    await system.publish("77004")
    await expect(tail.first).to_contain_text("77004", timeout=30_000)


async def test_a_topic_and_a_record_are_accessible_in_every_look(console, system):
    """axe-core has no serious finding, and nothing is wider than the window."""
    topic = system.topology.topic(AUTH_REGISTERED).name
    for look in LOOKS:
        page = await console.open(f"/console/topics/{topic}?partition=0&offset=0", look)
        await assert_accessible(page)
        await console.goto(page, f"{console.url}/console/topics/{topic}/0/0")
        await assert_accessible(page)
        await console.close()
