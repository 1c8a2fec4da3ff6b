"""Debian's chromium, driven by Playwright: pages of the console in every look."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from playwright.async_api import Error as PlaywrightError

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images"
EXECUTABLE = shutil.which("chromium") or ""
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
)
#: Chromium drops what it loads when a network interface comes or goes, also on loopback.
_NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
_TIMEOUT_MS = 15_000
_SERIOUS = frozenset({"serious", "critical"})

Theme = Literal["light", "dark"]


class Look(NamedTuple):
    """One way to look at a page."""

    theme: Theme
    width: int

    @property
    def height(self) -> int:
        """A telephone is high."""
        return 780 if self.width < 700 else 1000


#: What a test gets that does not care.
USUAL = Look("light", 1280)
#: Light and dark, narrow and wide: every page is to work in all of them.
LOOKS = (Look("light", 360), Look("dark", 360), Look("light", 1920), Look("dark", 1920))


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Give a browser; nothing is downloaded for it."""
    assert EXECUTABLE, "There is no chromium: apt-get install chromium (scripts/ci/packages)"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


class Visitor:
    """Opens pages of one server, and keeps what goes wrong in them.

    Attributes:
        url: Where the server is.
        mistakes: Errors of scripts, refused styles and scripts, missing files.

    """

    def __init__(self, browser: Browser, url: str, *, save: bool = False) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._save = save
        self._network_changed = False
        self.url = url
        self.mistakes: list[str] = []

    async def open(self, path: str, look: Look = USUAL) -> Page:
        """Open a page in a window of its own; it is complete, but charts may be on their way."""
        context = await self._browser.new_context(
            color_scheme=look.theme,
            viewport={"width": look.width, "height": look.height},
            reduced_motion="reduce",
        )
        context.set_default_timeout(_TIMEOUT_MS)
        self._contexts.append(context)
        page = await context.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.mistakes.append(f"{path}: {error}"))
        await self.goto(page, f"{self.url}{path}")
        return page

    async def goto(self, page: Page, url: str) -> None:
        """Open a URL, again when the machine's network changed meanwhile (containers started)."""
        for _ in range(5):
            self._network_changed = False
            try:
                await page.goto(url)
            except PlaywrightError as error:
                if _NETWORK_CHANGED not in str(error):
                    raise
            else:
                if not self._network_changed:
                    return

    async def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            await context.close()
        self._contexts.clear()

    async def picture(self, page: Page, name: str, *, full: bool = True) -> None:
        """Keep a picture as ``docs/images/<name>.png``, when pytest was told ``--pictures``."""
        if self._save:
            IMAGES.mkdir(parents=True, exist_ok=True)
            await page.screenshot(path=IMAGES / f"{name}.png", full_page=full)

    def _note(self, message: object) -> None:
        kind, text = message.type, message.text  # type: ignore[attr-defined]
        if _NETWORK_CHANGED in text:
            self._network_changed = True
            return
        # A refused request is what some tests ask for; they look at the answer themselves.
        if kind == "error" and "the server responded with a status of" not in text:
            self.mistakes.append(text)


async def assert_accessible(page: Page, *, ignore: Sequence[str] = ()) -> None:
    """Check a page with axe-core: no serious finding, and nothing wider than the window."""
    results = await Axe().run(page)
    found = [
        f"{violation['id']}: {violation['help']}: "
        + "; ".join(str(node["html"])[:200] for node in violation["nodes"][:5])
        for violation in results.response["violations"]
        if violation["impact"] in _SERIOUS and violation["id"] not in ignore
    ]
    assert not found, f"{page.url}:\n" + "\n".join(found)
    await assert_fits(page)


async def assert_fits(page: Page) -> None:
    """Check that nothing makes the page scroll sideways."""
    wide = await page.evaluate(
        """() => {
          const width = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= width) return [];
          return [...document.querySelectorAll("body *")]
            .filter((e) => e.getBoundingClientRect().right > width + 1)
            .filter((e) => !e.closest(".scroll, nav"))
            .slice(0, 5).map((e) => e.outerHTML.slice(0, 150));
        }"""
    )
    assert not wide, f"{page.url} is wider than its window: {wide}"
