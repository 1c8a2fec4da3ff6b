"""One browser and one running system for all tests of this folder.

    scripts/test -n 0 tests/browser --pictures    # keeps pictures in docs/images

The tests are coroutines on one loop for the whole run: the browser belongs to it.
"""

from __future__ import annotations

import uuid

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.support.browser import Visitor, chromium
from tests.support.console_system import console_system

#: What a page shows is as old as the last report of a pod and the page's own refresh, on a busy
#: machine.
expect.set_options(timeout=20_000)


def pytest_addoption(parser):
    parser.addoption("--pictures", action="store_true", help="Keep pictures in docs/images.")


def pytest_collection_modifyitems(items):
    for item in items:
        if "/tests/browser/" in str(item.path):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
    # Its traffic leaves more failures than other tests count.
    items.sort(key=lambda item: item.name == "test_pictures")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser():
    """Debian's chromium."""
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(kafka, tmp_path_factory):
    """A running system with failing traffic; tests may add to it, and leave it working."""
    folder = tmp_path_factory.mktemp("console")
    async with console_system(kafka, f"console-{uuid.uuid4().hex[:6]}", folder) as system:
        yield system


@pytest_asyncio.fixture(loop_scope="session")
async def console(browser, system, request):
    """Opens pages of the running console; no script may fail, and no style be refused."""
    save = request.config.getoption("--pictures", default=False)
    visitor = Visitor(browser, system.url, save=save)
    yield visitor
    await visitor.close()
    assert not visitor.mistakes
