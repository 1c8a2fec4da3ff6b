"""A payload that somebody edited is checked before it goes."""

from __future__ import annotations

import pytest

from tests.support.dead_letters import dead_letter, trunkline_headers
from trunkline.dead_letters.edit import EditedSource, check_edited
from trunkline.dead_letters.fingerprint import fingerprint_of
from trunkline.dead_letters.redrive import redrive_record
from trunkline.dead_letters.scan import Found
from trunkline.errors import InvalidEventError
from trunkline.topology import Topology

GOOD = b'{"orderId":"o-1","userId":"12345","amountCents":1999}'


@pytest.fixture
def found():
    """A dead letter of order.created whose amount is missing."""
    letter = dead_letter(trunkline_headers())
    return Found(letter, fingerprint_of(letter, Topology()), None)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (b'{"orderId":"o-1","userId":"12345"}', "amountCents"),
        (b'{"orderId":"o-1","userId":"12345","amountCents":"12"}', r"\$\.amountCents"),
        (b"not json", "JSON"),
        (b"\xff", "JSON|invalid"),
        (b"", "truncated"),
        (b"[" * 100_000, "."),
        (b'{"x":"' + b"x" * 2_000_000 + b'"}', "too large"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(found, value, place):
    """By the same model as the handler's."""
    with pytest.raises(InvalidEventError, match=place):
        check_edited(found, value, Topology())


def test_what_fits_passes(found):
    """Without a word when there is nothing to know."""
    assert check_edited(found, GOOD, Topology()) == []


def test_a_changed_key_field_is_told(found):
    """The record's key stays: it decides the partition and the order."""
    [note] = check_edited(found, GOOD.replace(b"12345", b"777"), Topology())
    assert "Its key stays '12345', though user_id is now '777'" in note


async def test_it_goes_with_its_identity_and_the_new_payload(found):
    """The audit trail has the digests of both payloads, and which dead letter has the old one."""
    source = EditedSource(found, GOOD)
    [candidate] = [each async for each in source.candidates(lambda *_: None)]
    assert candidate.key == "dlq.order.created[1]@17"
    record = redrive_record(candidate.found.letter, "engine-group.failures")
    assert (record.value, record.key) == (GOOD, b"12345")
    assert dict(record.headers)["__streams.errors.offset"] == b"42"
    said = source.to_dict()
    assert said["ids"] == ["dlq.order.created[1]@17"]
    assert said["before"] != said["after"]
    assert said["before"].startswith("sha256:")
