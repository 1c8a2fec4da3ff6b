"""Topics: partitions, offsets and rates; browsing, and the live tail of one."""

from trunkline.console.pages.topics.section import topics

__all__ = ["topics"]
