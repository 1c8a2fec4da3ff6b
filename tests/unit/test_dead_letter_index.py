"""The index of dead letters on SQLite: counts are exact whatever comes how often and when."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.dead_letter_index import apply_actions, index_dead_letters
from tables.database import Database
from tables.dead_letter_queries import DeadLetterQueries
from tables.dead_letter_rows import MAX_MESSAGE_CHARS, MAX_NAME_CHARS
from tables.dead_letters import DeadLetters
from tests.support.dead_letters import SPRING, trunkline_headers
from trunkline.dead_letters.actions import Action, action_record
from trunkline.dead_letters.index import STATUSES, Overview, Place
from trunkline.delivery.handler import Context, Subscription
from trunkline.errors import DependencyDown
from trunkline.topology import Topology

TOPIC = "dlq.order.created"
AT_MS = 1_700_000_000_000
CAUSES = ("builtins.ValueError", "builtins.KeyError", "shop.Sold")


def letter(offset, partition=0, *, cause=0, topic=TOPIC, timestamp_ms=AT_MS, **headers):
    """Return a dead letter as its handler gets it."""
    headers = trunkline_headers(exception=CAUSES[cause], **headers)
    return Context(topic, partition, offset, timestamp_ms, b"12345", b"{}", headers)


def action(number, place, kind="redriven", timestamp_ms=AT_MS):
    """Return a record of the actions topic as its handler gets it; kind None takes back."""
    letter_id = "{}[{}]@{}".format(*place)
    value = None
    if kind is not None:
        value = action_record("actions", letter_id, Action(kind, AT_MS, timestamp_ms)).value
    return Context("dlq-consumer-group.actions", 0, number, AT_MS, letter_id.encode(), value)


class Index:
    """The two handlers, and the questions, on one database."""

    def __init__(self, database):
        table = DeadLetters(database)
        self._index = index_dead_letters(table, Topology())
        self._apply = apply_actions(table)
        self.queries = DeadLetterQueries(database)

    async def letters(self, *contexts):
        await self._index([None] * len(contexts), list(contexts))

    async def actions(self, *contexts):
        await self._apply([None] * len(contexts), list(contexts))

    async def counts(self):
        """Return open, redriven and discarded by exception, with the sum of each."""
        rows = await self.queries.fingerprints()
        return {
            row.exception: (row.open, row.redriven, row.discarded)
            for row in rows
            if row.count == row.open + row.redriven + row.discarded
        }

    async def all_letters(self):
        found = []
        for row in await self.queries.fingerprints():
            found += [(row, each) for each in await self.queries.letters(row.fingerprint)]
        return found


@pytest.fixture
async def index(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/dlq.sqlite") as database:
        yield Index(database)


async def test_counts_each_letter_once_however_often_it_is_delivered(index):
    """Again, in part, beside new ones, and twice in one batch."""
    await index.letters(letter(0), letter(1))
    await index.letters(letter(1), letter(2), letter(2, cause=0))
    await index.letters(letter(0), letter(1), letter(2))
    assert await index.counts() == {CAUSES[0]: (3, 0, 0)}


async def test_two_equal_letters_are_two(index):
    """Equal ones elsewhere, or of a topic that was made anew, count by themselves."""
    await index.letters(
        letter(0), letter(1), letter(0, 1), letter(0, topic="dlq.x"), letter(0, timestamp_ms=7)
    )
    assert await index.counts() == {CAUSES[0]: (5, 0, 0)}


async def test_an_action_moves_a_letter_from_count_to_count(index):
    """Redriven, then discarded, then taken back; the others stay."""
    await index.letters(letter(0), letter(1), letter(2, cause=1))
    await index.actions(action(0, (TOPIC, 0, 0)))
    assert await index.counts() == {CAUSES[0]: (1, 1, 0), CAUSES[1]: (1, 0, 0)}
    await index.actions(action(1, (TOPIC, 0, 0), "discarded"), action(2, (TOPIC, 0, 2)))
    assert await index.counts() == {CAUSES[0]: (1, 0, 1), CAUSES[1]: (0, 1, 0)}
    await index.actions(action(3, (TOPIC, 0, 0), None))
    assert await index.counts() == {CAUSES[0]: (2, 0, 0), CAUSES[1]: (0, 1, 0)}


async def test_an_action_may_come_before_its_letter(index):
    """They stand in two topics, whose readers know nothing of each other."""
    await index.actions(action(0, (TOPIC, 0, 5)))
    assert await index.counts() == {}
    await index.letters(letter(4), letter(5))
    assert await index.counts() == {CAUSES[0]: (1, 1, 0)}


async def test_an_older_action_changes_nothing(index):
    """A pod that has lost its partition may deliver what a newer one has gone past."""
    await index.letters(letter(0))
    await index.actions(action(7, (TOPIC, 0, 0), "discarded"))
    await index.actions(action(6, (TOPIC, 0, 0), "redriven"))
    assert await index.counts() == {CAUSES[0]: (0, 0, 1)}


async def test_an_action_on_a_topic_that_was_made_anew_concerns_the_old_letter(index):
    """Offsets count from 0 again: the new letter in the same place is open."""
    await index.letters(letter(0), letter(0, timestamp_ms=AT_MS + 9))
    await index.actions(action(0, (TOPIC, 0, 0)))
    assert await index.counts() == {CAUSES[0]: (1, 1, 0)}
    by_time = {each.timestamp_ms: each.status for _, each in await index.all_letters()}
    assert by_time == {AT_MS: "redriven", AT_MS + 9: "open"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"nonsense", b"{}"),
        (b"dlq.x[0]@1", b"no json"),
        (b"dlq.x[0]@1", b'{"action":"redriven","at_ms":1,"timestamp_ms":18446744073709551615}'),
        (b"dlq.x[0]@9999999999999999999", None),
        (b"x" * 5000 + b"[0]@1", None),
    ],
)
async def test_passes_over_what_is_no_action(index, key, value, caplog):
    """It is logged with its place, and the actions beside it count."""
    await index.letters(letter(0))
    bad = Context("the.actions", 0, 3, AT_MS, key, value)
    await index.actions(bad, action(4, (TOPIC, 0, 0)))
    assert await index.counts() == {CAUSES[0]: (0, 1, 0)}
    assert "the.actions[0]@3 is no action" in caplog.text


async def test_remembers_what_a_letter_says_of_itself(index):
    """All that its headers tell but the payload and the stack trace."""
    await index.letters(letter(17, 1, redrives=2))
    [(fingerprint, row)] = await index.all_letters()
    assert fingerprint.topic == "order.created"
    assert fingerprint.group == "engine-group"
    assert fingerprint.place == "agents/engine.py:add_up"
    assert (fingerprint.first_seen_ms, fingerprint.last_seen_ms) == (AT_MS + 1000, AT_MS + 1000)
    assert row.id == "dlq.order.created[1]@17"
    assert (row.origin, row.origin_timestamp_ms) == ("order.created[1]@42", AT_MS)
    assert (row.exception, row.message, row.kind) == (CAUSES[0], "o-1", "transient")
    assert (row.key, row.attempts, row.redrives, row.source) == ("12345", 4, 2, "trunkline")
    assert (row.at_ms, row.first_failed_at_ms) == (AT_MS + 1000, AT_MS + 1000)


async def test_takes_letters_that_others_wrote_or_that_say_nothing(index):
    """Spring's headers are read; without any headers the topic is all that is known."""
    await index.letters(
        Context(TOPIC, 0, 0, AT_MS, None, None, SPRING), Context(TOPIC, 0, 1, -1, b"\xff\0", b"")
    )
    rows = {row.source: row for _, row in await index.all_letters()}
    assert rows["spring"].origin == "order.created[3]@1099511627783"
    assert rows["unknown"].origin is None
    assert rows["unknown"].key == "\ufffd\ufffd"


async def test_what_no_database_can_store_is_made_to_fit(index):
    """A letter is indexed whatever it says: nothing is refused, and what is long is cut."""
    huge = "9" * 19
    headers = dict(trunkline_headers(message="\0" + "m" * 5000, exception="e\0" * 5000))
    headers |= {"trunkline.attempts": huge.encode(), "trunkline.timestamp-ms": huge.encode()}
    headers |= {"trunkline.first-failed-at-ms": huge.encode(), "trunkline.group": b"\xff" * 5000}
    await index.letters(Context(TOPIC, 0, 0, AT_MS, b"k" * 9999, b"", tuple(headers.items())))
    [(fingerprint, row)] = await index.all_letters()
    assert row.attempts == row.origin_timestamp_ms == row.at_ms == 2**63 - 1
    assert len(row.message) == MAX_MESSAGE_CHARS
    assert {len(row.exception), len(row.group), len(row.key)} == {MAX_NAME_CHARS}
    assert "\0" not in row.message + row.exception + fingerprint.exception


async def test_shows_the_last_message_and_both_ends_of_time(index):
    """Whatever the order in which letters come."""

    def failed(offset, at_ms, message):
        headers = dict(trunkline_headers(message=message))
        headers["trunkline.first-failed-at-ms"] = str(at_ms).encode()
        return Context(TOPIC, 0, offset, AT_MS, None, None, tuple(headers.items()))

    await index.letters(failed(0, 200, "second"), failed(1, 300, "third"))
    await index.letters(failed(2, 100, "first"))
    [row] = await index.queries.fingerprints()
    assert (row.message, row.first_seen_ms, row.last_seen_ms) == ("third", 100, 300)


async def test_pages_letters_newest_first(index):
    """Pages follow each other without a gap or a repetition, also within one moment."""
    await index.letters(*(letter(offset, partition) for partition in (0, 1) for offset in range(6)))
    await index.actions(action(0, (TOPIC, 1, 3)))
    [row] = await index.queries.fingerprints()
    found, after = [], None
    while page := await index.queries.letters(row.fingerprint, after=after, limit=5):
        found += page
        after = Place(*(getattr(page[-1], name) for name in Place._fields))
    places = [tuple(getattr(each, name) for name in Place._fields) for each in found]
    assert len(places) == 12
    assert all(newer > older for newer, older in pairwise(places))
    redriven = await index.queries.letters(row.fingerprint, status="redriven")
    assert [each.id for each in redriven] == [f"{TOPIC}[1]@3"]


async def test_filters_fingerprints(index):
    """By topic, by group, by what has become of at least one letter, and by number."""
    await index.letters(letter(0), letter(1, cause=1, group="db-server-group", topic="dlq.x"))
    await index.letters(letter(2, cause=2, group="db-server-group"))
    await index.actions(action(0, (TOPIC, 0, 0), "discarded"))

    async def found(**wanted):
        return {CAUSES.index(r.exception) for r in await index.queries.fingerprints(**wanted)}

    assert await found() == {0, 1, 2}
    assert await found(topic="order.created") == {0, 1, 2}
    assert await found(topic="user.activity") == set()
    assert await found(group="db-server-group") == {1, 2}
    assert await found(status="discarded") == {0}
    assert await found(status="open", group="engine-group") == set()
    assert len(await found(limit=2)) == 2


async def test_sums_up(index):
    """Counts over all, and the fingerprints with the most open letters."""
    assert await index.queries.overview() == Overview()
    await index.letters(letter(0), letter(1, cause=1), letter(2, cause=1), letter(3, cause=2))
    await index.actions(action(0, (TOPIC, 0, 3)))
    overview = await index.queries.overview(top=1)
    assert (overview.open, overview.redriven, overview.discarded) == (3, 1, 0)
    assert overview.fingerprints == 3
    assert [row.exception for row in overview.top] == [CAUSES[1]]


async def test_a_database_that_fails_is_a_dependency_that_is_down(tmp_path):
    """The batch waits for it: a dead letter is never handed over as failed."""
    async with Database(f"sqlite:///{tmp_path}/dlq.sqlite") as database:
        index = Index(database)
        (tmp_path / "dlq.sqlite").rename(tmp_path / "away")
        (tmp_path / "dlq.sqlite").mkdir()
        await database.stop()
        with pytest.raises(DependencyDown, match=r"dlq\.sqlite"):
            await index.letters(letter(0))
        with pytest.raises(DependencyDown):
            await index.actions(action(0, (TOPIC, 0, 0)))
        with pytest.raises(DependencyDown):
            await index.queries.overview()


def test_handlers_fit_a_subscription_without_a_model():
    """They can be bound to topics of raw records in batch shape, and want contexts."""
    for handler in (index_dead_letters(None, Topology()), apply_actions(None)):
        assert Subscription(TOPIC, None, handler, "batch").wants_context


# -- any order, any repetition

PLACES = [(partition, offset) for partition in (0, 1) for offset in range(4)]
LETTERS = {
    (partition, offset): letter(offset, partition, cause=(partition + offset) % 2)
    for partition, offset in PLACES
}


@st.composite
def histories(draw):
    """Draw actions as they stand in their topic, and deliveries of them and of the letters."""
    kinds = st.sampled_from([("redriven", AT_MS), ("discarded", AT_MS), (None, 0), ("redriven", 7)])
    drawn = draw(st.lists(st.tuples(st.sampled_from(PLACES), kinds), max_size=8))
    actions = [
        action(number, (TOPIC, *place), kind, timestamp_ms)
        for number, (place, (kind, timestamp_ms)) in enumerate(drawn)
    ]
    some_letters = st.lists(st.sampled_from(sorted(LETTERS)), max_size=6)
    deliveries = [some_letters.map(lambda places: ("letters", [LETTERS[p] for p in places]))]
    if actions:
        some = st.lists(st.sampled_from(actions), max_size=4)
        deliveries.append(some.map(lambda batch: ("actions", batch)))
    middle = draw(st.lists(st.one_of(deliveries), max_size=8))
    # In the end each was delivered at least once: that is what Kafka does.
    rest = [("letters", list(LETTERS.values())), ("actions", actions)]
    return actions, [*middle, *draw(st.permutations(rest))]


def counts_by(outcome_of):
    """Return what the counts must be, when each letter's fate is known."""
    expected = Counter()
    for place, context in LETTERS.items():
        exception = dict(context.headers)["__streams.errors.exception"].decode()
        expected[exception, outcome_of(place)] += 1
    return {
        exception: tuple(expected[exception, status] for status in STATUSES)
        for exception in {exception for exception, _ in expected}
    }


def fate(actions, place):
    mine = [each for each in actions if each.key.decode().endswith("[{}]@{}".format(*place))]
    if not mine or mine[-1].value is None or b'"timestamp_ms":7' in mine[-1].value:
        return "open"
    return "redriven" if b"redriven" in mine[-1].value else "discarded"


@given(histories())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_and_repetition_gives_the_same_counts(history):
    """After each delivery the counts are those of the rows, and in the end those of the topics."""
    actions, deliveries = history

    async def run():
        with tempfile.TemporaryDirectory() as folder:
            async with Database(f"sqlite:///{folder}/dlq.sqlite") as database:
                index = Index(database)
                for kind, batch in deliveries:
                    await getattr(index, kind)(*batch)
                    found = await index.all_letters()
                    recounted = Counter((row.exception, each.status) for row, each in found)
                    assert await index.counts() == {
                        row.exception: tuple(recounted[row.exception, s] for s in STATUSES)
                        for row, _ in found
                    }
                return await index.counts()

    assert asyncio.run(run()) == counts_by(lambda place: fate(actions, place))
