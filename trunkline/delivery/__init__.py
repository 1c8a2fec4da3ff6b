"""Delivery: from a fetched record to a committed offset, and nothing lost in between."""
