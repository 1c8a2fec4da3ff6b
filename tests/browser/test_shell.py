"""What every page does: looks, keys, filters in the address, a refresh that does not disturb."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.support.browser import LOOKS, assert_accessible


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{look.theme}-{look.width}")
async def test_every_page_of_the_navigation_is_accessible(console, look):
    """axe-core has no serious finding, and nothing is wider than the window."""
    page = await console.open("/console", look)
    links = await page.locator("nav.pages a").evaluate_all("all => all.map(a => a.pathname)")
    assert links
    for link in links:
        await console.goto(page, console.url + link)
        await assert_accessible(page)


async def test_keys_lead_around(console):
    """``/`` goes to the filter, Esc leaves it, ``g t`` goes to the topics, ``?`` shows the keys."""
    page = await console.open("/console/topics")
    await page.keyboard.press("/")
    await expect(page.locator("input[name=name]")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("input[name=name]")).not_to_be_focused()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    await console.goto(page, console.url + "/console/topics?name=dlq")
    await page.keyboard.press("g")
    await page.keyboard.press("t")
    await page.wait_for_url(console.url + "/console/topics")


async def test_filters_stand_in_the_address(console):
    """What one sees can be sent to a colleague; the way back leads back."""
    page = await console.open("/console/topics")
    rows = page.locator("tbody tr")
    everything = await rows.count()
    await page.fill("input[name=name]", "dlq.")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/console/topics?name=dlq.")
    await expect(rows.first).to_contain_text("dlq.")
    assert await rows.count() < everything
    await page.go_back()
    await expect(rows).to_have_count(everything)


async def test_the_refresh_waits_while_one_types_or_selects(console):
    """And while a dialog is open, or the button says so; it goes on after that."""
    page = await console.open("/console/topics")
    live = page.locator("#live-text")
    await expect(live).to_have_text("Live")
    await page.focus("input[name=name]")
    await expect(live).to_have_text("Held: typing")
    await page.keyboard.press("Escape")
    await expect(live).to_have_text("Live")
    await page.locator("h1").select_text()
    await expect(live).to_have_text("Held: selection")
    await page.evaluate("getSelection().removeAllRanges()")
    await page.keyboard.press("?")
    await expect(live).to_have_text("Held: dialog")
    await page.keyboard.press("Escape")
    await page.keyboard.press("p")
    await expect(live).to_have_text("Stopped")
    await page.keyboard.press("p")
    await expect(live).to_have_text("Live")


async def test_a_page_shows_what_is_new_without_being_loaded_again(console):
    """The same document, with other content."""
    page = await console.open("/console/topics")
    await page.evaluate("window.same = true; document.querySelector('tbody').innerHTML = ''")
    await page.keyboard.press("r")
    await expect(page.locator("tbody tr").first).to_be_visible()
    assert await page.evaluate("window.same")


async def test_a_lost_server_is_said(console):
    """The page stays, and says since when there is no answer."""
    page = await console.open("/console/topics")
    await page.route("**/console/**", lambda route: route.abort())
    await page.keyboard.press("r")
    await expect(page.locator("#live-text")).to_contain_text("No answer for")
    await expect(page.locator("tbody tr").first).to_be_visible()
    await console.close()  # it would go on asking
    console.mistakes.clear()  # the browser tells of the request that failed


async def test_an_error_is_a_page(console):
    """With where, what, and a way on."""
    page = await console.open("/console/topics?nam=x")
    await expect(page.get_by_text("Did you mean 'name'?")).to_be_visible()
    await assert_accessible(page)
