"""A broker is heard that refuses a token (RFC 7628, section 3.2.3).

It answers with a challenge, which is no error yet, and says what it has against the token when the
client has acknowledged that with one byte. aiokafka 0.14.0 takes the challenge for a welcome: its
next request is then taken for SASL, and the connection closed without a word, again and again.
"""

from __future__ import annotations

from typing import Any

from aiokafka import conn

_ACKNOWLEDGED = b"\x01"


class OAuthAuthenticator(conn.OAuthAuthenticator):
    """Acknowledges the challenge, so that the broker's error comes."""

    _acknowledged = False

    async def step(self, payload: bytes | None) -> Any:
        """Return what to send next, and whether an answer comes; None when all is said."""
        if self._token_sent and payload and not self._acknowledged:
            self._acknowledged = True
            return _ACKNOWLEDGED, True
        return await super().step(payload)


def hear_refusals() -> None:
    """Let this process's connections acknowledge challenges; may be called again."""
    conn.OAuthAuthenticator = OAuthAuthenticator
