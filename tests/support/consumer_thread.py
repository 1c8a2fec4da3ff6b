"""A consumer's thread that has no client, for tests of what its thread does."""

from __future__ import annotations

from mode.threads import QueueServiceThread

from trunkline.delivery.consumer_thread import ConsumerThread


class ClientlessThread(ConsumerThread):
    """It starts, takes calls and stops; subclasses say what its client would."""

    def __init__(self) -> None:
        # Without the consumer that the classes between want.
        QueueServiceThread.__init__(self)
        self._fetching = set()

    def __post_init__(self) -> None:
        """Have nothing to do with the consumer that Faust wants here."""

    async def on_start(self) -> None:
        """Start no client."""

    async def on_thread_stop(self) -> None:
        """Stop the queue alone."""
        await self.method_queue.stop()
