"""All parts of the console, in the order of the navigation: the one list of pages and actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trunkline.console.context import ConsoleContext
from trunkline.console.pages.asyncapi import asyncapi
from trunkline.console.pages.audit import audit
from trunkline.console.pages.dead_letters import dead_letters
from trunkline.console.pages.retries import retries
from trunkline.console.pages.system import (
    overview,
    services,
    settings_in_force,
    tables,
    topology_picture,
)
from trunkline.console.pages.topics import topics
from trunkline.console.registry import Section

SECTIONS: Sequence[Callable[[ConsoleContext], Section]] = (
    overview,
    services,
    topics,
    retries,
    dead_letters,
    topology_picture,
    tables,
    settings_in_force,
    audit,
    asyncapi,
)
