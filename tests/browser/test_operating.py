"""An operator at the console: every action on retries and dead letters, by clicks, and its audit.

Each test has users of its own, whose events fail while the test says so.
"""

from __future__ import annotations

import asyncio
import csv
import json
import re
from urllib.parse import quote

from playwright.async_api import expect

from tests.support.browser import Look, assert_accessible
from tests.support.dlq import Dlq
from tests.support.operating import PATIENCE_MS, PATIENCE_S, Handler, api, confirm
from tests.support.waiting import eventually

RTL = "\u202egnp.exe"
SCRIPT = "<script>alert('owned')</script><img src=x onerror=alert(1)>"


async def waiting(system, key, count):
    """Wait until so many events of a key wait, the head for its next attempt."""

    async def there():
        found = await asyncio.to_thread(api, system, f"retries?key={key}")
        late = [event for event in found["events"] if event["status"] == "later"]
        return found if found["matching"] == count and late and late[0]["attempts"] == 2 else None

    return await eventually(there, PATIENCE_S, f"{count} waiting events of {key}")


def look_up(system, text, status="open"):
    """Return the dead letters that have a text in their key: ids, and their fingerprints."""
    found = []
    for group in api(system, "dead-letters?status=any")["fingerprints"]:
        path = f"dead-letters/by/{group['fingerprint']}?status={status}&limit=1000"
        letters = api(system, path)["letters"]
        found += [(letter["id"], group) for letter in letters if text in (letter["key"] or "")]
    return sorted(found, key=lambda each: each[0])


async def letters_of(system, text, count, status="open"):
    """Wait until so many dead letters have a text in their key; return them."""

    async def there():
        found = await asyncio.to_thread(look_up, system, text, status)
        return (True, found) if len(found) == count else None

    return (await eventually(there, PATIENCE_S, f"{count} {status} dead letters of {text}"))[1]


async def noted(page, console, action, text):
    """Look an action up on the Audit page."""
    await console.goto(page, f"{console.url}/console/audit?action={action}&text={quote(text)}")
    row = page.locator("#audit tbody tr").first
    await expect(row).to_contain_text(action, timeout=PATIENCE_MS)
    await expect(row).to_contain_text("loopback")
    await expect(row).to_contain_text("done")


async def test_retries_a_waiting_event_and_its_key_follows(system, console):
    """The head counts down, two are parked; mended and retried, all three are handled in order."""
    handler = Handler(system, "hurry")
    handler.break_it()
    for number in range(3):
        await system.publish("hurry-1", email=f"{number}@example.com")
    await waiting(system, "hurry-1", 3)

    page = await console.open("/console/retries?key=hurry-1")
    await expect(page.locator("#waiting tbody tr")).to_have_count(3)
    await expect(page.locator("#waiting tbody tr").first).to_contain_text("in ")
    await expect(page.locator("#waiting tbody tr").nth(1)).to_contain_text("parked")
    await expect(page.locator("#lanes tbody tr").first).to_contain_text("hurry-1")
    await assert_accessible(page)
    await console.picture(page, "console-retries")
    handler.mend()
    await page.get_by_role("button", name="Retry all 3 now").click()
    await confirm(
        page, "Retry now", "1 event will be tried at once", "Retry 1 event now", "1 command sent"
    )
    await handler.wait_for_rows(3)
    await expect(page.locator("main")).to_contain_text(
        "is meant by this filter", timeout=PATIENCE_MS
    )
    await noted(page, console, "retries.now", "hurry-1")


async def test_discards_a_waiting_event_from_its_page(system, console):
    """Its payload and error are there to be read; then it is neither handled nor a dead letter."""
    handler = Handler(system, "drop")
    handler.break_it()
    await system.publish("drop-1", note=SCRIPT)
    found = await waiting(system, "drop-1", 1)
    event_id = found["events"][0]["id"]

    page = await console.open("/console/retries?key=drop-1")
    await page.get_by_role("link", name=event_id).first.click()
    await expect(page.locator("pre.payload").last).to_be_visible()
    await expect(page.locator("main")).to_contain_text("quota exceeded")
    await expect(page.locator("main")).to_contain_text("<script>alert('owned')</script>")
    await assert_accessible(page)
    await page.get_by_role("button", name="Discard").click()
    await confirm(
        page,
        "Discard waiting events",
        "dropped for good",
        "Discard 1 event",
        "1 command sent",
    )

    async def gone():
        return not (await asyncio.to_thread(api, system, "retries?key=drop-1"))["matching"]

    await eventually(gone, PATIENCE_S, "the event to be dropped")
    handler.mend()
    assert handler.rows() == []
    assert await letters_of(system, "drop-1", 0) == []
    await noted(page, console, "retries.discard", event_id)


async def kill_off(system, users, count):
    """Take the attempts of waiting events away, until they are dead letters."""

    async def dead():
        found = (await asyncio.to_thread(api, system, "retries?status=later"))["events"]
        ids = [event["id"] for event in found if (event["key"] or "").startswith(users)]
        if ids:
            await asyncio.to_thread(api, system, "retries/now", {"ids": ids})
        letters = await asyncio.to_thread(look_up, system, users)
        return letters if len(letters) == count else None

    return await eventually(dead, 2 * PATIENCE_S, f"{count} dead letters of {users}")


async def test_redrives_one_and_then_its_whole_cause(system, console):
    """The dialog says what goes where; the count of open ones falls to zero, the rows are there."""
    handler = Handler(system, "quota")
    handler.break_it()
    for number in range(4):
        await system.publish(f"quota-{number}")
    await kill_off(system, "quota", 4)
    # Once more: the counts of the causes were read before the letters.
    letters = await letters_of(system, "quota", 4)
    group = letters[0][1]
    handler.mend()

    page = await console.open("/console/dead-letters")
    await assert_accessible(page)
    await console.picture(page, "console-dead-letters")
    row = page.locator(f"#f-{group['fingerprint']}")
    await expect(row).to_contain_text("IntegrityError")
    await row.get_by_role("link").click()
    await expect(page.locator("#letters tbody tr")).to_have_count(group["open"])
    await page.get_by_role("button", name=f"Redrive {letters[0][0]}").click()
    await confirm(
        page,
        "Redrive a dead letter",
        "1 dead letter will go back",
        "Redrive 1 dead letter",
        "1 dead letter was redriven",
    )
    await handler.wait_for_rows(1)
    await letters_of(system, "quota", 3)

    await page.get_by_label("Most a second").fill("50")
    await page.get_by_role("button", name="Redrive …").click()
    await confirm(
        page,
        "Redrive dead letters",
        "dead letters will go back",
        "Redrive ",
        "were redriven",
    )
    await handler.wait_for_rows(4)
    await letters_of(system, "quota", 0)
    await expect(page.locator(".tile", has_text="Open")).to_contain_text("0", timeout=PATIENCE_MS)
    await expect(page.locator("#runs")).to_contain_text("done")
    await noted(page, console, "dlq.redrive", group["fingerprint"])


async def test_a_long_redrive_is_seen_and_stopped_from_another_browser(system, console):
    """What it had done stays done; the same order goes on with the rest, and none goes twice."""
    dlq = Dlq(system.servers, system.topology.namespace)
    await dlq.put(dlq.letters(120))
    before = len(await dlq.redriven())
    body = {"topic": "order.created", "rate": 2}
    job = await asyncio.to_thread(api, system, "dead-letters/redrive", body)

    page = await console.open("/console/dead-letters")
    run = page.locator("#runs tbody tr").first
    await expect(run).to_contain_text("running", timeout=PATIENCE_MS)
    await expect(run).to_contain_text("topics: order.created")
    await expect(run).not_to_contain_text("{")
    await run.get_by_role("button", name="Stop").click()
    await confirm(page, "Stop a run", "stay done", "Stop it", "told to stop")

    async def stopped():
        found = await asyncio.to_thread(api, system, f"jobs/{job['job']}")
        return found["state"] == "stopped"

    await eventually(stopped, PATIENCE_S, "the run to stop")
    await expect(run).to_contain_text("stopped", timeout=PATIENCE_MS)
    done = len(await dlq.redriven()) - before
    assert 0 <= done < 120
    outcome = await asyncio.to_thread(
        api, system, "dead-letters/redrive", {"topic": "order.created"}
    )

    async def over():
        found = await asyncio.to_thread(api, system, f"jobs/{outcome['job']}")
        return found if found["state"] != "running" else None

    assert (await eventually(over, PATIENCE_S))["outcome"]["count"] == 120 - done
    values = sorted(int(record.value) for record in await dlq.redriven())
    assert values == list(range(120))
    await noted(page, console, "dlq.stop", "dlq.redrive")
    page = await console.open("/console/audit?action=dlq.redrive&outcome=interrupted")
    await expect(page.locator("#audit tbody tr").first).to_contain_text("order.created")


async def test_edits_a_payload_and_redrives_it(system, console):
    """What does not fit the model is refused with the field's name; what fits is handled."""
    await system.publish("edit-1", email="no-address")
    [(letter, _)] = await letters_of(system, "edit-1", 1)

    page = await console.open(f"/console/dead-letters/message?id={quote(letter)}")
    await assert_accessible(page)
    await console.picture(page, "console-dead-letter")
    await expect(page.locator("tr.selected")).to_contain_text("this one")
    origin = await page.locator("dl.facts a").first.get_attribute("href")
    topic = await console.open(origin)
    await expect(topic.locator("main")).to_contain_text("no-address")
    await page.get_by_role("button", name="Check, and redrive …").click()
    dialog = page.get_by_role("dialog", name="Edit and redrive")
    await expect(dialog).to_contain_text("$.email", timeout=PATIENCE_MS)
    await dialog.get_by_role("button", name="Close").click()

    await page.locator("textarea[name=value]").fill(
        '{"userId": "edit-1", "email": "tim@example.com"}'
    )
    await page.get_by_role("button", name="Check, and redrive …").click()
    await confirm(
        page,
        "Edit and redrive",
        "The payload fits its model",
        "Redrive 1 dead letter",
        "1 dead letter was redriven",
    )
    handler = Handler(system, "edit")
    await handler.wait_for_rows(1)
    assert handler.rows() == [("edit-1", "tim@example.com")]
    await page.reload()
    await expect(page.locator("h1")).to_contain_text("redriven")
    await expect(page.locator("#audit")).to_contain_text("dlq.edit")
    await noted(page, console, "dlq.edit", letter)


async def test_discards_a_dead_letter_that_cannot_be_edited(system, console):
    """Why not, and that redriving is in vain, is said; it stays readable, and counts as done."""
    await system.publish_raw(b"bin-1", b'{"userId": "bin')
    [(letter, _)] = await letters_of(system, "bin-1", 1)

    page = await console.open(f"/console/dead-letters/message?id={quote(letter)}")
    await assert_accessible(page)
    edit = page.get_by_role("button", name="Edit and redrive")
    await expect(edit).to_be_disabled()
    await expect(edit).to_have_accessible_description(re.compile("its payload is no JSON"))
    await page.get_by_role("button", name="Redrive", exact=True).click()
    dialog = page.get_by_role("dialog", name="Redrive a dead letter")
    await expect(dialog).to_contain_text("1 does not fit the model", timeout=PATIENCE_MS)
    await dialog.get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Discard").click()
    await confirm(
        page,
        "Discard a dead letter",
        "will count as done",
        "Discard 1 dead letter",
        "1 dead letter was discarded",
    )
    await page.reload()
    await expect(page.locator("h1")).to_contain_text("discarded")
    await letters_of(system, "bin-1", 1, "discarded")
    await noted(page, console, "dlq.discard", letter)


async def test_exports_what_a_spreadsheet_does_not_run(system, console):
    """CSV cells that begin like a formula are text; JSON lines have all bytes."""
    await system.publish_raw(b"=cmd|'/c calc'!A1", b'{"userId": "=1+1"}')
    [(letter, group)] = await letters_of(system, "=cmd", 1)

    page = await console.open(f"/console/dead-letters/by/{group['fingerprint']}")
    async with page.expect_download() as begun:
        await page.get_by_role("link", name="CSV").click()
    file = await (await begun.value).path()
    rows = {row["id"]: row for row in csv.DictReader(file.read_text().splitlines())}
    assert rows[letter]["key"] == "'=cmd|'/c calc'!A1"
    async with page.expect_download() as begun:
        await page.get_by_role("link", name="JSON lines").click()
    file = await (await begun.value).path()
    lines = {line["id"]: line for line in map(json.loads, file.read_text().splitlines())}
    assert lines[letter]["key"] == "=cmd|'/c calc'!A1"
    await noted(page, console, "dlq.export", group["fingerprint"])


async def test_hostile_payloads_are_only_read(system, console):
    """Script tags, right-to-left marks, binary, a huge value: text, and no wider than a phone."""
    values = [
        json.dumps({"userId": SCRIPT, "email": RTL}).encode(),
        b"\x00\xff\xfe" + SCRIPT.encode(),
        json.dumps({"userId": "x" * 900_000}).encode(),
        f"{RTL}{SCRIPT}".encode(),
    ]
    for value in values:
        await system.publish_raw(f"evil-{SCRIPT}{RTL}".encode(), value)
    letters = await letters_of(system, "evil-", 4)
    opened = []
    for letter, group in letters:
        for path in (
            f"/console/dead-letters/message?id={quote(letter)}",
            f"/console/dead-letters/by/{group['fingerprint']}",
        ):
            page = await console.open(path, Look("dark", 360))
            page.on("dialog", lambda dialog: opened.append(dialog.message))
            await expect(page.locator("h1")).to_be_visible()
            await assert_accessible(page)
            assert await page.locator("main script, main img").count() == 0
            assert "\u202e" not in await page.locator("main").inner_text()
    assert opened == []
