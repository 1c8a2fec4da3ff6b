"""What an operator's tests do to a running system besides clicking."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from contextlib import closing
from typing import Any

from playwright.async_api import Page, expect

from tests.support.console_system import ConsoleSystem
from tests.support.waiting import eventually

#: A busy machine is slow; what is wrong stays wrong.
PATIENCE_MS = 40_000
PATIENCE_S = PATIENCE_MS / 1000


class Handler:
    """The db-server's handler, which fails for users whose id begins so while it is broken."""

    def __init__(self, system: ConsoleSystem, users: str) -> None:
        self.system = system
        self.users = users

    def break_it(self) -> None:
        """Let the database refuse their rows."""
        self._sql(
            f'CREATE TRIGGER IF NOT EXISTS "{self.users}" BEFORE INSERT ON registered_users '
            f"WHEN NEW.user_id LIKE '{self.users}%' "
            "BEGIN SELECT RAISE(ABORT, 'quota exceeded'); END"
        )

    def mend(self) -> None:
        """Let it take them again."""
        self._sql(f'DROP TRIGGER IF EXISTS "{self.users}"')

    def rows(self) -> list[tuple[str, str]]:
        """Return their rows: user and address."""
        query = "SELECT user_id, email FROM registered_users WHERE user_id LIKE ? ORDER BY 1, 2"
        with closing(sqlite3.connect(self.system._database, timeout=10)) as connection:
            return connection.execute(query, (f"{self.users}%",)).fetchall()

    async def wait_for_rows(self, count: int) -> None:
        """Wait until so many are there."""

        async def there() -> bool:
            return len(self.rows()) == count

        await eventually(there, PATIENCE_S, f"{count} rows of {self.users}")

    def _sql(self, statement: str) -> None:
        with closing(sqlite3.connect(self.system._database, timeout=10)) as connection:
            connection.execute(statement)
            connection.commit()


def api(system: ConsoleSystem, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the console's API, or order something of it."""
    request = urllib.request.Request(
        f"{system.url}/api/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


async def confirm(page: Page, title: str, says: str, button: str, result: str) -> None:
    """Read an action's dialog, confirm it, wait for its result, and close it."""
    dialog = page.get_by_role("dialog", name=title)
    await expect(dialog).to_contain_text(says, timeout=PATIENCE_MS)
    await dialog.get_by_role("button", name=button).click()
    await expect(dialog).to_contain_text(result, timeout=PATIENCE_MS)
    # What was done is not offered a second time.
    await expect(dialog.get_by_role("button")).to_have_text(["Close"])
    assert await dialog.locator("#action-confirm").is_disabled()
    await dialog.get_by_role("button", name="Close").click()
    await expect(dialog).to_be_hidden()
