"""The API's own description."""

from __future__ import annotations

from trunkline.console import Console, ConsoleContext
from trunkline.console.openapi import openapi
from trunkline.settings import load_settings
from trunkline.topology import Topology
from trunkline.web.safety.access import Access


def described():
    settings = load_settings()
    console = Console(ConsoleContext(settings, Topology(), Access(settings)))
    return console, openapi(console.pages, console.actions)


def test_every_page_and_action_is_described():
    """As registered; parameters and bodies are those of the structs."""
    console, document = described()
    for page in console.pages:
        operation = document["paths"][f"/api/{page.path}"]["get"]
        names = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
        assert names == set(page.query.__struct_fields__)
    for action in console.actions:
        operation = document["paths"][f"/api/{action.path}"]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]) == {*action.body.__struct_fields__, "dry_run"}


def test_references_lead_somewhere():
    """Each $ref has its schema, and each operation a name of its own."""
    _, document = described()
    known = document["components"]["schemas"]
    refs: list[str] = []
    names: list[str] = []

    def walk(node):
        if isinstance(node, dict):
            refs.extend([node["$ref"]] if "$ref" in node else [])
            names.extend([node["operationId"]] if "operationId" in node else [])
            for child in node.values():
                walk(child)
        elif isinstance(node, list | tuple):
            for child in node:
                walk(child)

    walk(document)
    assert {ref.removeprefix("#/components/schemas/") for ref in refs} <= set(known)
    assert len(names) == len(set(names))


def test_actions_refuse_fields_that_they_do_not_know():
    """A misspelt filter must not widen what is acted on."""
    console, _ = described()
    assert [
        a.path for a in console.actions if not a.body.__struct_config__.forbid_unknown_fields
    ] == []
    assert [
        p.path for p in console.pages if not p.query.__struct_config__.forbid_unknown_fields
    ] == []
