"""Tokens for OAUTHBEARER: from a file that is kept fresh, or from an OAuth 2.0 endpoint."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

_TIMEOUT = aiohttp.ClientTimeout(total=10)
#: A token is asked for anew when this share of its life is over.
_LIFE_USED = 0.8
_DEFAULT_LIFE_S = 60.0


class TokenError(KafkaError):
    """There is no token to show: the message says where it should come from."""


class TokenFile(AbstractTokenProvider):
    """The token that a file has, read for each connection."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """Return the token.

        Raises:
            TokenError: The file is not there, or empty.

        """
        try:
            token = self._path.read_text("utf-8").strip()  # a line, locally
        except OSError as error:
            raise TokenError(
                f"KAFKA_SASL_OAUTH_TOKEN_FILE={self._path}: cannot be read ({error.strerror})"
            ) from None
        if not token:
            raise TokenError(f"KAFKA_SASL_OAUTH_TOKEN_FILE={self._path}: the file is empty")
        return token


class ClientCredentials(AbstractTokenProvider):
    """Tokens for client credentials, each used until most of its life is over.

    It may serve clients in several event loops: nothing of it belongs to one.

    Args:
        url: The endpoint.
        client_id: Who asks.
        client_secret: Its secret; sent by HTTP Basic, as RFC 6749 wants every server to take.
        scope: What is asked for.
        context: How the endpoint is trusted.

    """

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        *,
        scope: str | None,
        context: ssl.SSLContext,
    ) -> None:
        self._url = url
        self._auth = aiohttp.encode_basic_auth(client_id, client_secret)
        self._scope = scope
        self._context = context
        self._token = ""
        self._use_until = 0.0

    async def token(self) -> str:
        """Return a token that is valid.

        Raises:
            TokenError: The endpoint is away, or gives none.

        """
        if time.monotonic() >= self._use_until:
            began = time.monotonic()
            self._token, life_s = await self._ask()
            self._use_until = began + life_s * _LIFE_USED
        return self._token

    def forget(self) -> None:
        """Ask for a new token next time: a broker has refused this one."""
        self._use_until = 0.0

    async def _ask(self) -> tuple[str, float]:
        form = {"grant_type": "client_credentials"}
        if self._scope:
            form["scope"] = self._scope
        headers = {"Authorization": self._auth}
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.post(
                    self._url, data=form, headers=headers, ssl=self._context, allow_redirects=False
                ) as answer,
            ):
                body = await answer.json(content_type=None)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise TokenError(f"No token from KAFKA_SASL_OAUTH_TOKEN_URL: {reason}") from None
        if not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
            # RFC 6749, section 5.2: a code such as invalid_client.
            code = body.get("error") if isinstance(body, dict) else None
            raise TokenError(
                f"No token from KAFKA_SASL_OAUTH_TOKEN_URL: it answers {status}"
                + (f" ({str(code)[:100]})" if code else "")
                + "; see KAFKA_SASL_OAUTH_CLIENT_ID and its secret"
            )
        return body["access_token"], float(body.get("expires_in") or _DEFAULT_LIFE_S)
