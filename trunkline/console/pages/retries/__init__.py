"""Retries: the failed events that wait, the keys that wait behind them, and what to do."""

from trunkline.console.pages.retries.section import retries

__all__ = ["retries"]
