"""Settings in force: what each pod runs with, secrets masked on the pod already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from trunkline.console.acting import needed
from trunkline.console.asking import asked
from trunkline.console.context import ConsoleContext
from trunkline.console.registry import Page, Section
from trunkline.system.masking import OWN
from trunkline.system.report import SettingsReport


class SettingsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What is shown.

    Attributes:
        service: Name of a service; ``""``: all.
        name: Part of a variable's name.
        all: Also what has its default everywhere.

    """

    service: str = ""
    name: str = ""
    all: bool = False


class SettingValue(msgspec.Struct):
    """A value, and the pods that have it."""

    value: Any
    pods: list[str]
    is_default: bool


class SettingRow(msgspec.Struct):
    """A variable.

    Attributes:
        name: The environment variable.
        values: One when all pods agree.
        differs: Whether pods differ that should not.

    """

    name: str
    values: list[SettingValue]
    differs: bool


class ServiceSettings(msgspec.Struct):
    """A service's pods and their settings."""

    service: str
    pods: list[str]
    rows: list[SettingRow]


class SettingsAnswer(msgspec.Struct):
    """The settings that were asked for."""

    asked: SettingsQuery
    ready: bool
    services: list[ServiceSettings]


def settings_of(reports: Sequence[SettingsReport], query: SettingsQuery) -> list[ServiceSettings]:
    """Return the settings by service; pods of one service side by side."""
    by_service: dict[str, list[SettingsReport]] = {}
    for report in reports:
        if query.service in ("", report.service):
            by_service.setdefault(report.service, []).append(report)
    return [
        ServiceSettings(service, [pod.pod for pod in pods], _rows(pods, query))
        for service, pods in by_service.items()
    ]


def _rows(pods: Sequence[SettingsReport], query: SettingsQuery) -> list[SettingRow]:
    names = dict.fromkeys(name for pod in pods for name in pod.values)
    rows = [_row(name, pods) for name in names if query.name.upper() in name.upper()]
    return [row for row in rows if query.all or not all(v.is_default for v in row.values)]


def _row(name: str, pods: Sequence[SettingsReport]) -> SettingRow:
    values: list[SettingValue] = []
    for pod in pods:
        value = pod.values.get(name)
        known = next((each for each in values if each.value == value), None)
        if known is None:
            known = SettingValue(value, [], is_default=name not in pod.changed)
            values.append(known)
        known.pods.append(pod.pod)
    return SettingRow(name, values, differs=len(values) > 1 and name not in OWN)


def settings_in_force(context: ConsoleContext) -> Section:
    """Return the section."""

    async def data(request: web.Request) -> Mapping[str, Any]:
        query = asked(request, SettingsQuery)
        view = needed(context.view, "view of the system")
        found = settings_of(view.workers.settings(), query)
        return {"asked": query, "ready": view.caught_up, "services": found}

    page = Page(
        "settings",
        "Settings in force",
        "system/settings.html",
        data,
        query=SettingsQuery,
        answer=SettingsAnswer,
        nav="Settings",
        key="e",
        refresh_s=30.0,
        summary="What each pod runs with, by environment variable; secrets are masked.",
    )
    return Section(pages=[page])
