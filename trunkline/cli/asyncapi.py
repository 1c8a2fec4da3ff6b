"""``trunkline asyncapi``: the AsyncAPI 3 document of the topology and the models."""

from __future__ import annotations

import json

import click

from trunkline.asyncapi import as_yaml, asyncapi_document
from trunkline.settings import load_settings
from trunkline.topology import Topology


@click.command()
@click.option("--yaml", "form", flag_value="yaml", default="yaml", help="Print YAML (the default).")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
def asyncapi(form: str) -> None:
    """Print the AsyncAPI 3 document: every topic, its messages, and who sends and receives.

    \b
    trunkline asyncapi > asyncapi.yaml

    It is made of the topology and the models; no broker is asked.
    """  # noqa: D301  # click wants a real backspace
    settings = load_settings()
    document = asyncapi_document(Topology(settings.namespace), settings.connection)
    text = as_yaml(document) if form == "yaml" else json.dumps(document, indent=2) + "\n"
    click.echo(text, nl=False)
