"""The drill of docs/operations.md, by clicks: break, see, find, mend, redrive, see it fall."""

from __future__ import annotations

import asyncio

from playwright.async_api import expect

from tests.browser.test_operating import kill_off
from tests.support.operating import PATIENCE_MS, PATIENCE_S, Handler, api, confirm
from tests.support.waiting import eventually


def tile(page, label):
    """Return a tile's value."""
    return page.locator(".tile", has=page.get_by_text(label, exact=True)).locator(".value")


async def test_the_drill(system, console):
    """From the Overview to the cause and back, until no dead letter of it is open."""
    handler = Handler(system, "drill")
    before = (await asyncio.to_thread(api, system, "dead-letters"))["overview"]["open"]

    handler.break_it()
    for number in range(1, 5):
        await system.publish(f"drill-{number}")

    # See it: the Overview's counts rise, and lead on.
    page = await console.open("/console/overview")
    await expect(tile(page, "Retries waiting")).not_to_have_text("0", timeout=PATIENCE_MS)
    await page.get_by_role("link", name="Retries waiting").click()
    await expect(page.locator("#waiting")).to_contain_text("drill-4", timeout=PATIENCE_MS)
    letters = await kill_off(system, "drill", 4)
    fingerprint = letters[0][1]["fingerprint"]
    await console.goto(page, f"{console.url}/console/overview")
    await expect(tile(page, "Dead letters")).to_have_text(str(before + 4), timeout=PATIENCE_MS)

    # Find the cause.
    await page.get_by_role("link", name="Dead letters").last.click()
    row = page.locator(f"#f-{fingerprint}")
    await expect(row).to_contain_text("quota exceeded")
    await row.get_by_role("link").click()
    await page.get_by_role("link", name=letters[0][0]).click()
    await expect(page.get_by_label("Stack trace")).to_contain_text("tables/users.py")

    # Mend it, and redrive: first one, then the others.
    handler.mend()
    await page.get_by_role("button", name="Redrive", exact=True).click()
    await confirm(
        page,
        "Redrive a dead letter",
        "1 dead letter will go back",
        "Redrive 1 dead letter",
        "1 dead letter was redriven",
    )
    await handler.wait_for_rows(1)
    await page.get_by_role("link", name="All of this cause").click()
    await page.get_by_role("button", name="Redrive …").click()
    await confirm(page, "Redrive dead letters", "will go back", "Redrive ", "redriven")
    await handler.wait_for_rows(4)

    # See it fall.
    await expect(tile(page, "Open")).to_have_text("0", timeout=PATIENCE_MS)

    async def as_before():
        found = (await asyncio.to_thread(api, system, "dead-letters"))["overview"]["open"]
        return found <= before

    await eventually(as_before, PATIENCE_S, "no open dead letter of the drill")
    await console.goto(page, f"{console.url}/console/overview")
    await expect(tile(page, "Dead letters")).to_have_text(str(before), timeout=PATIENCE_MS)
