"""``/api/openapi.json``: the API's own description, made of the registry and its structs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from trunkline import __version__
from trunkline.console.jobs import Job
from trunkline.console.registry import Action, Page, Preview

_REFS = "#/components/schemas/{name}"
_PLACE = re.compile(r"\{(\w+)\}")
_ERRORS = {
    "400": "A parameter or the body is wrong: the message names it.",
    "401": "The token is missing or wrong.",
    "403": "Refused: read-only, or sent by another web site.",
    "404": "There is nothing of this name.",
    "409": "It cannot be done as things are.",
    "413": "The body is too large.",
    "415": "The body is no JSON by its Content-Type.",
    "421": "The server does not go by this name.",
    "503": "Kafka or a database is away, or too much runs already.",
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": {"type": "string", "description": "What, where, and what to do."},
                "status": {"type": "integer"},
                "what": {"type": "string"},
                "todo": {"type": "string"},
                "place": {"type": "string", "description": "What of the request is wrong."},
            },
        }
    },
}
#: A job's id is what an action answered.
_JOB_PATH = "jobs/{job}"


def openapi(pages: Sequence[Page], actions: Sequence[Action[Any]]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of all pages' data and all actions."""
    structs: list[Any] = [Job, Preview, *(a.body for a in actions), *(p.answer for p in pages)]
    schemas, components = msgspec.json.schema_components(
        structs, schema_hook=_schema_of, ref_template=_REFS
    )
    bodies = schemas[2 : 2 + len(actions)]
    answers = schemas[2 + len(actions) :]
    paths: dict[str, Any] = {}
    for page, answer in zip(pages, answers, strict=True):
        paths[f"/api/{page.path}"] = {"get": _page(page, answer)}
    for action, body in zip(actions, bodies, strict=True):
        item = paths.setdefault(f"/api/{action.path}", {})
        item["post"] = _action(action, _with_dry_run(body, components), schemas)
    paths[f"/api/{_JOB_PATH}"] = {"get": _job("job", "How far an action is.", schemas[0])}
    paths[f"/api/{_JOB_PATH}/cancel"] = {
        "post": _job("stop", "Stop an action at its next step.", schemas[0], body=True)
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trunkline's console",
            "version": __version__,
            "description": "The data of every page, and every action. Keys, payloads and messages "
            "come from anybody: treat them as text.",
        },
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _schema_of(kind: type[Any]) -> dict[str, Any]:
    if kind is object:
        return {"description": "Any JSON."}
    raise NotImplementedError  # by which msgspec hears that the type has no schema


def _page(page: Page, answer: Any) -> dict[str, Any]:
    return {
        "operationId": f"get {page.path}",
        "summary": page.summary or f"The data of the page {page.title}.",
        "parameters": [*_places(page.path), *_parameters(page.query)],
        "responses": {"200": _json("The data.", answer), **_errors()},
    }


def _action(action: Action[Any], body: Any, schemas: Sequence[Any]) -> dict[str, Any]:
    preview = {
        "type": "object",
        "required": ["preview"],
        "properties": {"preview": schemas[1]},
        "additionalProperties": False,
    }
    return {
        "operationId": f"do {action.path}",
        "summary": action.summary or f"{action.title}.",
        "parameters": _places(action.path),
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _json("The preview, or what was done.", {"anyOf": [preview, schemas[0]]}),
            "202": _json("It runs: ask for the job.", schemas[0]),
            **_errors(),
        },
    }


def _job(name: str, summary: str, schema: Any, *, body: bool = False) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "parameters": _places(_JOB_PATH),
        "responses": {"200": _json("The job.", schema), **_errors()},
    }
    if body:
        content = {"application/json": {"schema": {"type": "object"}}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _with_dry_run(body: Any, components: dict[str, Any]) -> dict[str, Any]:
    """Return the body's schema with the field that every action takes besides its own."""
    schema: dict[str, Any] = dict(components[body["$ref"].rpartition("/")[2]])
    dry_run = {"type": "boolean", "default": False, "description": "Only say what it would do."}
    return {**schema, "properties": {**schema["properties"], "dry_run": dry_run}}


def _places(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for name in _PLACE.findall(path)
    ]


def _parameters(query: type[msgspec.Struct]) -> list[dict[str, Any]]:
    _, components = msgspec.json.schema_components(
        [query], schema_hook=_schema_of, ref_template=_REFS
    )
    properties = components[query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": _in_url(schema)}
        for name, schema in properties.items()
    ]


def _in_url(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a field's schema as a URL can have it: what is left out is null."""
    choices = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    if len(choices) > 1:
        return {"anyOf": choices}
    one = {key: value for key, value in choices[0].items() if key != "default"}
    if None in one.get("enum", ()):
        one["enum"] = [value for value in one["enum"] if value is not None]
    return one


def _json(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _errors() -> dict[str, Any]:
    error = {"$ref": "#/components/schemas/Error"}
    return {status: _json(text, error) for status, text in _ERRORS.items()}
