"""Sign in and out in a browser, and act from a page; what the policy and the cookie allow."""

from __future__ import annotations

from playwright.async_api import expect

from tests.support.browser import LOOKS, Visitor, assert_accessible
from tests.support.console import TOKEN, Deeds, served


async def test_signing_in_acting_and_signing_out(browser):
    """The form takes the token, an action has the name that was given, and the way out works."""
    deeds = Deeds()
    async with served(deeds, token=TOKEN) as client:
        visitor = Visitor(browser, f"http://127.0.0.1:{client.port}")
        page = await visitor.open("/console/deeds")
        await page.get_by_label("Token").fill("wrong-token")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_label("Your name").fill("Ada")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page).to_have_url(f"{visitor.url}/console/deeds")
        status = await page.evaluate(
            """async () => (await fetch("/api/deeds/note", {method: "POST",
               headers: {"Content-Type": "application/json"}, body: '{"text": "hi"}'})).status"""
        )
        assert status == 200
        assert deeds.done == [("Ada", "hi")]
        assert await page.evaluate("document.cookie") == ""
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Token")).to_be_visible()
        await visitor.goto(page, f"{visitor.url}/console/deeds")
        await expect(page.get_by_label("Token")).to_be_visible()
        await visitor.close()


async def test_the_sign_in_page_is_accessible(browser):
    """In every look."""
    async with served(Deeds(), token=TOKEN) as client:
        visitor = Visitor(browser, f"http://127.0.0.1:{client.port}")
        for look in LOOKS:
            await assert_accessible(await visitor.open("/console/deeds", look))
        await visitor.close()
