"""A broker is heard that refuses a token (RFC 7628, section 3.2.3).

It answers with a challenge, which is no error yet, and says what it has against the token when the
client has acknowledged that with one byte. aiokafka 0.14.0 takes the challenge for a welcome: its
next request is then taken for SASL, and the connection closed without a word, again and again.
"""

from __future__ import annotations

from typing import Any

from aiokafka import conn
from aiokafka.errors import SaslAuthenticationFailed

_ACKNOWLEDGED = b"\x01"


class OAuthAuthenticator(conn.OAuthAuthenticator):
    """Acknowledges the challenge, so that the broker's error comes."""

    _challenge: bytes | None = None

    async def step(self, payload: bytes | None) -> Any:
        """Return what to send next, and whether an answer comes; None when all is said.

        Raises:
            SaslAuthenticationFailed: The broker challenged the token, and said no more.

        """
        if self._challenge is not None:
            raise SaslAuthenticationFailed(self._challenge.decode(errors="replace"))
        if not self._token_sent or not payload:
            return await super().step(payload)
        self._challenge = payload
        # One that is kept for a while is asked for anew: its keys may have been changed.
        forget = getattr(self._sasl_oauth_token_provider, "forget", None)
        if forget is not None:
            forget()
        return _ACKNOWLEDGED, True


def hear_refusals() -> None:
    """Let this process's connections acknowledge challenges; may be called again."""
    conn.OAuthAuthenticator = OAuthAuthenticator
