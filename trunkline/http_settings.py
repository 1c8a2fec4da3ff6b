"""Types of the settings of every worker's web server, and what is derived from them."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

#: Shorter ones can be guessed.
MIN_TOKEN_LENGTH = 16


def http_token(token: SecretStr, token_file: Path | None) -> str:
    """Return the token that requests must show, ``""`` when none is set. Never print it."""
    return token.get_secret_value() or (_read(token_file) if token_file else "")


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ValueError(f"the token cannot be read from this file: {reason}") from None


def _check(token: str) -> None:
    if len(token) < MIN_TOKEN_LENGTH:
        raise ValueError(
            f"the token has {len(token)} characters, and must have at least {MIN_TOKEN_LENGTH}: "
            "make one with 'openssl rand -hex 24'"
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("the token must be ASCII, without spaces and line breaks")


def _checked_token(token: SecretStr) -> SecretStr:
    if token:
        _check(token.get_secret_value())
    return token


def _checked_file(path: Path | None) -> Path | None:
    if path is not None:
        _check(_read(path))
    return path


def _checked_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    for text in networks:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(f"write networks, as 10.0.0.0/8 or 192.0.2.7: {error}") from None
    return networks


Token = Annotated[SecretStr, AfterValidator(_checked_token)]
TokenFile = Annotated[Path | None, AfterValidator(_checked_file)]
#: ``a,b`` in the environment.
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
#: The same, of networks and addresses.
Networks = Annotated[CommaSeparated, AfterValidator(_checked_networks)]
