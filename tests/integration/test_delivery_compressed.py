"""Whatever a client or a topic's own setting compresses with, its events are read."""

from __future__ import annotations

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.support.journal import journal_group
from tests.support.kafka import admin

pytestmark = pytest.mark.kafka


async def test_reads_every_kind_of_compression(kafka, namespace, tmp_path):
    """gzip, snappy, lz4 and zstd, one after the other in one partition."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            # The broker compresses anew what comes in another way: no client of ours needs to.
            async with admin(kafka) as client:
                setting = {"compression.type": codec}
                await client.alter_configs(
                    [ConfigResource(ConfigResourceType.TOPIC, group.topic, setting)]
                )
            await group.publish((codec, "ok") for _ in range(50))
        group.start()
        await group.wait_handled(200)
        await group.wait_committed()
