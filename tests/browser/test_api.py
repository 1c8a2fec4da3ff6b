"""The JSON API keeps to its own OpenAPI document, whatever it is sent."""

from __future__ import annotations

import asyncio
import time

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)


def no_mistake_of_ours(ctx, response, case):
    """503 is described, and tells that something is away; 500 is never right."""
    assert response.status_code != 500, response.text


CHECKS = [
    no_mistake_of_ours,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_EXAMPLES = 12
#: For all operations together; those that come late get fewer examples.
_BUDGET_S = 45.0


async def test_the_api_keeps_to_its_document(system):
    """Every page's data and every action's preview: no 500, only what is described."""
    await asyncio.to_thread(_play, f"{system.url}/api/openapi.json")


def _play(url: str) -> None:
    config = schemathesis.Config.from_dict({"warnings": False})
    schema = schemathesis.openapi.from_url(url, config=config)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 5
    ends_at = time.monotonic() + _BUDGET_S
    for number, operation in enumerate(operations):
        _play_operation(operation, (ends_at - time.monotonic()) / (len(operations) - number))


def _play_operation(operation, budget_s: float) -> None:
    ends_at = time.monotonic() + budget_s

    @seed(20_261_126)
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case):
        if time.monotonic() > ends_at:
            return
        if operation.method.upper() == "POST" and isinstance(case.body, dict):
            # The system is that of other tests as well: nothing is done to it.
            case.body["dry_run"] = True
        case.call_and_validate(checks=CHECKS, timeout=60)

    check()
