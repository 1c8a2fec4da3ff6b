"""Read what a request asks for: parameters of the URL and JSON bodies, into structs."""

from __future__ import annotations

import difflib
from typing import Any, TypeVar, get_args

import msgspec
from aiohttp import web

from trunkline.console.refusals import Refusal

Asked = TypeVar("Asked", bound=msgspec.Struct)

_MAX_TEXT = 2_000
_SHOWN = 100


def asked(request: web.Request, query: type[Asked]) -> Asked:
    """Return the parameters of the request's URL; empty ones count as not given.

    Raises:
        Refusal: One is unknown, twice there, too long, or not of its type.

    """
    known = {field.encode_name: field for field in msgspec.structs.fields(query)}
    given: dict[str, Any] = {}
    for name, value in request.query.items():
        _check_parameter(name, value, known, given)
        if value:
            given[name] = value
    try:
        return msgspec.convert(given, query, strict=False)
    except msgspec.ValidationError as error:
        what, place = _split(str(error))
        parameter = place.removeprefix("$.") or "?"
        hint = _hint_for(known.get(parameter))
        raise Refusal(
            400, f"{parameter}={_quoted(given.get(parameter))}: {what}.", hint, f"?{parameter}"
        ) from None


def _check_parameter(name: str, value: str, known: dict[str, Any], given: dict[str, Any]) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        names = ", ".join(known) or "none"
        hint = f"Did you mean {close[0]!r}?" if close else f"Known: {names}."
        raise Refusal(400, f"Unknown parameter {_quoted(name)}.", hint, "?")
    if name in given:
        raise Refusal(400, f"Parameter {name!r} is there twice.", "Give it once.", f"?{name}")
    if "\0" in value or len(value) > _MAX_TEXT:
        raise Refusal(
            400,
            f"Parameter {name!r} has a NUL character or more than {_MAX_TEXT} characters.",
            "Shorten it.",
            f"?{name}",
        )


async def read_body(request: web.Request, max_bytes: int) -> dict[str, Any]:
    """Return the JSON object in the request's body.

    Raises:
        Refusal: It is too large, late, or no JSON object.

    """
    if request.content_type != "application/json":
        raise Refusal(
            415, f"Content-Type {request.content_type!r} is not taken.", "Send application/json."
        )
    raw = bytearray()
    async for part in request.content.iter_any():
        raw += part
        if len(raw) > max_bytes:
            raise Refusal(413, f"The body is larger than {max_bytes} bytes.", "Ask for less.")
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"The body is no JSON: {error}.", "Send a JSON object.", "$") from None
    if not isinstance(body, dict):
        raise Refusal(400, "The body is JSON, but no object.", 'Send {"…": …}.', "$")
    return body


def body_as(body: dict[str, Any], struct: type[Asked]) -> Asked:
    """Return a body as the struct that it must be.

    Raises:
        Refusal: It is not; the message names the field.

    """
    try:
        return msgspec.convert(body, struct)
    except msgspec.ValidationError as error:
        what, place = _split(str(error))
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(struct))
        raise Refusal(400, f"{place}: {what}.", f"Its fields are: {known}.", place) from None


def _split(message: str) -> tuple[str, str]:
    """Take msgspec's message apart into what is wrong, and the path to it."""
    what, _, place = message.partition(" - at `")
    return what[:_MAX_TEXT], place.rstrip("`") or "$"


def _hint_for(field: Any) -> str:
    choices = get_args(field.type) if field is not None else ()
    texts = [str(choice) for choice in choices if isinstance(choice, str)]
    return f"Give one of {', '.join(texts)}." if texts else "Correct it, or leave it out."


def _quoted(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
