"""The console: pages, their JSON twins under ``/api/``, and actions (docs/console.md)."""

from trunkline.console.console import Console
from trunkline.console.context import ConsoleContext

__all__ = ["Console", "ConsoleContext"]
