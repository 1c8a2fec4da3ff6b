"""No password or token is logged; with ``-l debug`` aiokafka logs all requests that it sends."""

from __future__ import annotations

import logging


class _Redaction(logging.Filter):
    """Takes the content out of what authenticates a connection."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True; the record may be another afterwards."""
        arguments = record.args
        if isinstance(arguments, tuple):
            record.args = tuple(
                f"{type(argument).__name__} (not shown)"
                if type(argument).__name__.startswith("SaslAuthenticateRequest")
                else argument
                for argument in arguments
            )
        return True


_REDACTION = _Redaction()


def hide_credentials() -> None:
    """Keep credentials out of the client's log; may be called again."""
    logging.getLogger("aiokafka.conn").addFilter(_REDACTION)
