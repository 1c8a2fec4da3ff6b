"""Why something was not published."""

from __future__ import annotations

from trunkline.errors import InvalidEventError, PublishError


class RejectedEventError(InvalidEventError):
    """An event of a post is wrong, so that nothing of the post is published.

    Attributes:
        index: Its place in a JSON array, from 0.
        line: Its line in NDJSON, from 1.
        too_large: Whether its size is what is wrong.

    """

    def __init__(
        self,
        reason: str,
        field: str = "$",
        *,
        index: int | None = None,
        line: int | None = None,
        too_large: bool = False,
    ) -> None:
        super().__init__(reason, field)
        self.index = index
        self.line = line
        self.too_large = too_large
        place = "" if line is None else f"line {line}: "
        place = place if index is None else f"event {index}: "
        self.args = (f"{place}{field}: {reason}",)


class UnavailableError(PublishError):
    """Nothing was tried, because it cannot succeed now: Kafka is away, or there is too much to do.

    Attributes:
        retry_after_s: When to try again.

    """

    def __init__(self, reason: str, retry_after_s: int = 1) -> None:
        super().__init__(f"{reason} Nothing was published: send it again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s
