"""Where a page of dead letters ended, as a word that a URL can carry."""

from __future__ import annotations

import base64
import binascii

import msgspec

from trunkline.dead_letters.index import LetterRow, Place

_decoder = msgspec.json.Decoder(Place)


def after_token(last: LetterRow) -> str:
    """Return what stands for the end of a page whose last row this is."""
    place = Place(*(getattr(last, name) for name in Place._fields))
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def place_after(token: str) -> Place | None:
    """Return the place that a token stands for, None when it is no token."""
    try:
        place = _decoder.decode(base64.b64decode(token.encode(), b"-_", validate=True))
    except (binascii.Error, msgspec.MsgspecError, UnicodeError):
        return None
    return place if _fits(place) else None


def _fits(place: Place) -> bool:
    """Return whether a database takes these numbers and this text."""
    numbers = (place.at_ms, place.partition, place.offset, place.timestamp_ms)
    return place.partition < 2**31 and max(map(abs, numbers)) < 2**63 and "\0" not in place.topic
