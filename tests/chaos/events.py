"""The events of a run: mostly good ones of few hot keys, some poison, some without a key."""

from __future__ import annotations

import json
from random import Random

from trunkline.delivery.producer import OutRecord
from trunkline.topology import AUTH_REGISTERED, ORDER_CREATED, Topology

NUMBER = "chaos-number"
#: Header of an event that no handler can be given, with the reason.
POISON = "chaos-poison"

_ORDERS = 0.2
_KEYLESS = 0.01
_POISONED = 0.01
#: Half of the events are of a few keys, so that events meet a held key; which ones changes.
_HOT_SHARE = 0.5
_HOT_EVENTS = 400

_POISONS: dict[str, bytes | None] = {
    "tombstone": None,
    "empty": b"",
    "no-json": b"{",
    "binary": b"\xff\xfe\x00\x01",
    "wrong-shape": b"[]",
    "wrong-types": b'{"userId": 7, "orderId": 7, "email": true, "amountCents": "a lot"}',
    "not-utf-8": b'{"userId": "\xff", "orderId": "o", "email": "a@b.c", "amountCents": 1}',
}
_BAD_KEY = "bad-key"


class Events:
    """Makes event number ``n`` of a seed, always the same one."""

    def __init__(self, topology: Topology, seed: int, keys: int) -> None:
        self._names = {name: topology.topic(name).name for name in (AUTH_REGISTERED, ORDER_CREATED)}
        self._seed = seed
        self._keys = keys

    def make(self, number: int) -> OutRecord:
        """Return an event, with headers that are not easy to keep as they are."""
        random = Random(f"{self._seed}|{number}")
        is_order = random.random() < _ORDERS
        user = self._user(random, number)
        value: bytes | None = _order(number, user) if is_order else _registration(number, user)
        key = None if random.random() < _KEYLESS else user.encode()
        headers = _headers(random, number)
        if random.random() < _POISONED:
            poison = random.choice([*_POISONS, _BAD_KEY])
            headers.append((POISON, poison.encode()))
            if poison == _BAD_KEY:
                key = b"\xff" + user.encode()
            else:
                value = _POISONS[poison]
        topic = self._names[ORDER_CREATED if is_order else AUTH_REGISTERED]
        return OutRecord(topic, value, key, headers)

    def _user(self, random: Random, number: int) -> str:
        chosen = random.randrange(self._keys)
        if random.random() < _HOT_SHARE:
            hot = max(5, self._keys // 50)
            chosen = (number // _HOT_EVENTS * hot + random.randrange(hot)) % self._keys
        return f"user-{chosen}"


def _headers(random: Random, number: int) -> list[tuple[str, bytes | None]]:
    trace = f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-01"
    return [
        (NUMBER, str(number).encode()),
        ("traceparent", trace.encode()),
        ("x-twice", b"one"),
        ("x-null", None),
        ("x-raw", b"\x00\xff"),
        ("x-twice", b"two"),
    ]


def _registration(number: int, user: str) -> bytes:
    event = {"userId": user, "email": f"n-{number}@example.com", "unknown": "é"}
    return json.dumps(event, ensure_ascii=False).encode()


def _order(number: int, user: str) -> bytes:
    return json.dumps({"orderId": f"o-{number}", "userId": user, "amountCents": number}).encode()
