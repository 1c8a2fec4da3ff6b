"""The console's AsyncAPI page: the document for people, as JSON and as YAML."""

from __future__ import annotations

import re

import yaml

from tests.support.console import served
from trunkline.asyncapi import asyncapi_document
from trunkline.console.pages.asyncapi import asyncapi
from trunkline.settings import load_settings
from trunkline.topology import Topology


async def test_shows_the_document_in_three_forms():
    """Every channel and message on the page; JSON and YAML are the document itself."""
    document = asyncapi_document(Topology(), load_settings().connection)
    async with served(asyncapi) as client:
        page = await client.get("/console/asyncapi")
        text = await page.text()
        assert page.status == 200
        for name in document["channels"]:
            assert f'id="channel-{name}"' in text
        for name in document["components"]["messages"]:
            assert f'id="message-{name}"' in text
        assert "db-server, engine" in text
        prose = re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)
        assert "`" not in prose
        assert "(topic <code>auth.registered</code>)" in prose
        assert await (await client.get("/api/asyncapi")).json() == document
        answer = await client.get("/api/asyncapi.yaml")
        assert answer.content_type == "application/yaml"
        assert yaml.safe_load(await answer.text()) == document
