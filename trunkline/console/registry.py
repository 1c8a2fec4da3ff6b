"""Pages and actions: what is declared once and becomes HTML, JSON and the OpenAPI document.

A section is one function ``(context) -> Section``; all of them stand in ``sections.py``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web

from trunkline.delivery.startstop import Startable
from trunkline.web.safety.caller import Caller

Body = TypeVar("Body", bound=msgspec.Struct)
Data = Callable[[web.Request], Awaitable[Mapping[str, Any]]]
#: Told how much is done, of how much (0: not known), and what is being done.
Progress = Callable[[int, int, str], None]


class NoQuery(msgspec.Struct, forbid_unknown_fields=True):
    """A page without parameters."""


@dataclass(frozen=True)
class Page:
    """One page: HTML under ``/console/<path>``, and the same data as JSON under ``/api/<path>``.

    Attributes:
        path: Below ``/console/`` and ``/api/``; may have places such as ``topics/{topic}``.
        title: In the browser's tab and as the page's heading.
        template: File in ``templates/``, which extends ``base.html``.
        data: Gives what the template shows and the API answers: builtins, msgspec structs and
            dataclasses. Raise :class:`trunkline.console.refusals.Refusal` for 404 and the like.
        query: The parameters of the URL; a wrong one is answered with 400. Read them by
            ``asked(request, Query)``.
        answer: Type of the data, for the OpenAPI document.
        nav: Its name in the navigation, ``""`` to be none there.
        key: Letter after ``g`` that goes there.
        refresh_s: How often an open page shows what is new; 0: never by itself.
        summary: One sentence for the OpenAPI document.

    """

    path: str
    title: str
    template: str
    data: Data
    query: type[msgspec.Struct] = NoQuery
    answer: Any = dict[str, Any]
    nav: str = ""
    key: str = ""
    refresh_s: float = 5.0
    summary: str = ""


class Preview(msgspec.Struct, frozen=True):
    """What an action would do: shown before it is done.

    Attributes:
        summary: One sentence in the future tense: "5 dead letters will go back to engine-group."
        details: More lines.
        count: How many things it is about, None where that is no number.
        confirm: What the button says.
        possible: False when there is nothing to do.
        danger: Whether it cannot be undone.

    """

    summary: str
    details: Sequence[str] = ()
    count: int | None = None
    confirm: str = "Do it"
    possible: bool = True
    danger: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """What an action did.

    Attributes:
        summary: One sentence in the past tense.
        details: More lines.
        count: How many things were done.
        failed: How many were not.

    """

    summary: str
    details: Sequence[str] = ()
    count: int | None = None
    failed: int = 0


@dataclass(frozen=True)
class Action(Generic[Body]):
    """Something that changes the system: ``POST /api/<path>`` with a JSON body.

    ``{"dry_run": true}`` beside the body's own fields answers the preview and does nothing.
    Otherwise ``perform`` runs as a job: what ends within a second is answered at once with 200,
    else 202 and ``{"job": …}``, to be asked for under ``/api/jobs/<id>``.

    Attributes:
        path: Below ``/api/``.
        title: The dialog's heading, as an order: "Redrive dead letters".
        body: Struct that the body must be; make it ``forbid_unknown_fields``.
        preview: Says what would happen. Raise :class:`Refusal` when it cannot.
        perform: Does it. It may be cancelled between two steps: do not leave one half-done.
        summary: One sentence for the OpenAPI document.
        max_body_bytes: Largest body.

    """

    path: str
    title: str
    body: type[Body]
    preview: Callable[[Body, Caller], Awaitable[Preview]]
    perform: Callable[[Body, Caller, Progress], Awaitable[Outcome]]
    summary: str = ""
    max_body_bytes: int = 64 * 1024


@dataclass(frozen=True)
class Section:
    """What one part of the console consists of.

    Attributes:
        pages: In the order of the navigation.
        actions: What can be done.
        routes: What is neither: streams and downloads. Guarded like all others.
        parts: What starts and stops with the console.

    """

    pages: Sequence[Page] = ()
    actions: Sequence[Action[Any]] = ()
    routes: Sequence[web.RouteDef] = ()
    parts: Sequence[Startable] = ()
