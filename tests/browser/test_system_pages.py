"""Overview, Services, Topology, Tables and Settings on a running system, and what one can order."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import expect

from tests.support.browser import Look, assert_accessible, assert_fits
from trunkline.topology import AUTH_REGISTERED

PAGES = ("overview", "services", "topology", "tables", "settings")
PICTURES = (
    ("overview", Look("light", 1280)),
    ("overview", Look("dark", 360)),
    ("services", Look("dark", 1280)),
    ("topology", Look("light", 1920)),
)


async def test_the_overview_says_what_is_wrong(console, system):
    """In one look: health, the worst first, and a way to each cause."""
    page = await console.open("/console/overview")

    # Only db-server runs here: the engine's events wait, and nobody is there to handle them.
    await expect(page.locator("#health")).to_contain_text("has no worker", timeout=30_000)
    await expect(page.locator("#health .badge")).to_have_text("failing")
    alarm = page.locator(".alarms a", has_text="became dead letters")
    await expect(alarm).to_be_visible()
    await expect(page.locator(".tile", has_text="Retries waiting").locator(".value")).to_have_text(
        "3"
    )
    await expect(page.locator(".plot canvas").first).to_be_visible()
    row = page.locator("tr", has_text="db-server-group")
    await expect(row).to_contain_text("works")
    await alarm.click()
    await page.wait_for_url("**/console/dead-letters")


async def test_a_partition_is_paused_and_resumed(console, system):
    """The dialog says what will happen; the pods say that it did; the events go on."""
    group = system.topology.service("db-server").group
    page = await console.open("/console/services?service=db-server")
    row = page.locator("details tbody tr").first
    handled = await _handled(system)

    await row.get_by_role("button", name="Pause").click()
    dialog = page.locator("dialog#action")
    await expect(dialog).to_contain_text("nothing of it is handled until it is resumed")
    await dialog.get_by_role("button", name="Pause it").click()
    await expect(dialog).to_contain_text("is paused: 1 of 1 pod say so", timeout=20_000)
    await page.keyboard.press("Escape")
    await expect(row.locator(".badge", has_text="paused")).to_be_visible()
    for number in range(20):
        await system.publish(f"3{number}")
    await expect(row.locator("td.num").nth(2)).not_to_have_text("0", timeout=20_000)
    overview = await console.open("/console/overview")
    await expect(overview.locator("#notes")).to_contain_text(f"{group} is paused on")

    await row.get_by_role("button", name="Resume").click()
    await expect(dialog).to_contain_text("will go on where it was")
    await dialog.get_by_role("button", name="Resume it").click()
    await expect(dialog).to_contain_text("goes on: 1 of 1 pod say so", timeout=20_000)
    await page.keyboard.press("Escape")
    await expect(row.locator(".badge", has_text="paused")).to_be_hidden()
    await expect(row.locator("td.num").nth(2)).to_have_text("0", timeout=20_000)
    assert await _handled(system) >= handled + 20


async def test_a_pod_is_drained_and_resumed(console, system):
    """The preview warns that nobody else is there; the pod leaves, and comes back."""
    page = await console.open("/console/services?service=db-server")
    pod = page.locator("tr#db-server\\.1")

    await pod.get_by_role("button", name="Drain").click()
    dialog = page.locator("dialog#action")
    await expect(dialog).to_contain_text("no other pod takes them")
    await dialog.get_by_role("button", name="Drain it").click()
    await expect(dialog).to_contain_text("db-server.1 is drained.", timeout=20_000)
    await page.keyboard.press("Escape")
    await expect(pod.locator(".badge").first).to_have_text("drained")
    status, body = await system.workers["db-server"].get("/health/ready")
    assert (status, body["reason"]) == (503, "drained by an operator")

    await pod.get_by_role("button", name="Resume").click()
    await dialog.get_by_role("button", name="Resume it").click()
    await expect(dialog).to_contain_text("db-server.1 works again.", timeout=20_000)
    await page.keyboard.press("Escape")
    await expect(pod.locator(".badge").first).to_have_text("working")
    await system.workers["db-server"].wait_ready()


async def test_the_picture_has_everything_and_scrolls_on_a_telephone(console):
    """Services and topics by their names, each leading somewhere; nothing is cut off."""
    page = await console.open("/console/topology", Look("light", 360))
    picture = page.locator("svg.topology")

    for name in ("auth-service", "order.created", "db-server", "dlq.user.activity", "dlq"):
        await expect(picture.get_by_text(name, exact=True).first).to_be_attached()
    await assert_fits(page)
    await expect(page.get_by_text("scroll it sideways")).to_be_visible()
    region = page.locator(".scroll.picture")
    assert await region.evaluate("e => e.scrollWidth > e.clientWidth")
    await region.evaluate("e => e.scrollLeft = e.scrollWidth")
    await picture.get_by_text("dlq", exact=True).click()
    await page.wait_for_url("**/console/services?service=dlq")


async def test_on_a_telephone_a_row_is_a_block_with_its_heads(console):
    """Nothing is to be looked for sideways; the heads stand beside the figures."""
    for path in ("overview", "services", "topics", "retries", "dead-letters", "tables"):
        page = await console.open(f"/console/{path}", Look("light", 360))
        await expect(page.locator("main table").first).to_be_visible()
        wide = """all => all.filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) =>
          e.ariaLabel + ": " + [...e.querySelectorAll("*")].filter((x) =>
            x.getBoundingClientRect().right > e.getBoundingClientRect().right + 1)
            .map((x) => x.outerHTML.slice(0, 120)).slice(0, 3))"""
        assert await page.locator(".scroll:not(.picture)").evaluate_all(wide) == [], path
        await assert_accessible(page)
    page = await console.open("/console/overview", Look("light", 360))
    cell = page.locator("tr", has_text="db-server-group").locator("td").nth(1)
    assert await cell.evaluate("e => getComputedStyle(e, '::before').content") == '"Lag "'


async def test_charts_with_two_lines_have_a_legend(console):
    """Within the figure, and told apart without colours; a single line needs none."""
    page = await console.open("/console/overview")
    await expect(page.locator("#chart-events canvas")).to_be_visible(timeout=30_000)
    legend = page.locator("#chart-waiting .legend .line")
    await expect(legend).to_have_text(["retries waiting", "dead letters"])
    inside = """e => {
      const [a, b] = [e, e.closest("figure")].map((x) => x.getBoundingClientRect());
      return a.height > 0 && a.top >= b.top && a.bottom <= b.bottom && a.right <= b.right;
    }"""
    assert await legend.evaluate_all(f"all => all.map({inside})") == [True, True]
    await expect(legend.nth(1)).to_have_class("line bad dashed")
    await expect(page.locator("#chart-lag .legend")).to_have_count(0)
    page = await console.open("/console/overview", Look("light", 360))
    canvas = page.locator("#chart-events canvas")
    await expect(canvas).to_be_visible(timeout=30_000)
    assert (await canvas.bounding_box())["width"] > 250


async def test_a_wide_picture_says_that_it_scrolls(console):
    """On a usual screen; on a wide one all of it is there."""
    page = await console.open("/console/topology")
    await expect(page.get_by_text("scroll it sideways")).to_be_visible()
    page = await console.open("/console/topology", Look("dark", 1920))
    await expect(page.get_by_text("scroll it sideways")).to_be_hidden()
    assert await page.locator(".scroll.picture").evaluate("e => e.scrollWidth <= e.clientWidth")
    wide = """all => all.filter((g) => g.querySelector(".name").getBBox().width + 20
      > g.querySelector("rect").getBBox().width).map((g) => g.textContent)"""
    assert await page.locator("svg.topology .node").evaluate_all(wide) == []


async def test_tables_and_settings_say_what_pods_say(console, system):
    """What waits, where it is stored, and what the pods were told."""
    page = await console.open("/console/tables")
    row = page.locator("tr", has_text="db-server-group")
    await expect(row.locator("td").first).to_have_text("3")
    await expect(page.get_by_text("db-server.sqlite")).to_be_visible()

    await console.goto(page, f"{console.url}/console/settings?service=db-server")
    await expect(page.locator("tbody")).to_contain_text("TRUNKLINE_RETRY_BACKOFF")
    await console.goto(page, f"{console.url}/console/settings?name=stuck&all=true")
    await expect(page.locator("tbody").first).to_contain_text("TRUNKLINE_STUCK_AFTER_S")


async def test_each_page_has_a_twin_in_json(console):
    """The same figures for a script as for eyes, and no secret in them."""
    page = await console.open("/console/overview")
    for path in PAGES:
        answer = await page.request.get(f"{console.url}/api/{path}")
        body = await answer.json()
        assert answer.status == 200, path
        assert body["ready"] is True
        assert "password" not in re.sub(r"(TRUNKLINE|KAFKA)_\w+", "", str(body)).lower()


async def test_pictures_for_the_documentation(console, system, request):
    """Only when asked for; that each page is accessible in every look, test_shell.py sees."""
    if not request.config.getoption("--pictures"):
        pytest.skip("--pictures keeps them")
    for path, look in PICTURES:
        page = await console.open(f"/console/{path}", look)
        await expect(page.locator("main")).to_be_visible()
        await page.wait_for_function("document.querySelectorAll('.plot:empty').length === 0")
        await console.picture(page, f"console-{path}-{look.theme}-{look.width}")
    topic = system.topology.topic(AUTH_REGISTERED).name
    for number in range(100):  # its chart needs some points
        await system.publish(str(30_000 + number))
        await asyncio.sleep(0.4)
    page = await console.open(f"/console/topics/{topic}", Look("dark", 1280))
    await expect(page.locator(".plot canvas").first).to_be_visible()
    await console.picture(page, "console-topic-dark-1280")


async def _handled(system):
    return (await system.workers["db-server"].stats())["handled"]
