"""The oracle of the chaos test: silent about a good history, and sure of every broken promise."""

from __future__ import annotations

import pytest

from tests.chaos.events import POISON
from tests.chaos.fates import MAX_ATTEMPTS, Place, fate, verdict
from tests.chaos.groups import GROUPS, KEYS, ROWS
from tests.chaos.history import History
from tests.chaos.journals import BROKE, END, START, JournalFile, Line, read_journals
from tests.chaos.oracle import counts, judge
from trunkline.delivery import failure
from trunkline.topology import AUTH_REGISTERED, ORDER_CREATED

SEED = 7


@pytest.fixture
def evidence():
    """A history without any fault."""
    return History(SEED, events=1_000, keys=20).evidence


def kinds(evidence):
    """Return the kinds of violations that the oracle finds."""
    return {violation.kind for violation in judge(evidence)}


def find(evidence, group, **wanted):
    """Return the first keyed event of a group with such a fate."""
    return next(
        event
        for event in evidence.read_by(group).values()
        if event.key is not None
        and evidence.fate_of(group, event)._asdict().items() >= wanted.items()
    )


def handled_pair(evidence, group):
    """Return two events of one key, one after the other, both handled at once."""
    last = {}
    for event in evidence.read_by(group).values():
        if event.key is None or evidence.fate_of(group, event) != (True, 1, ""):
            continue
        lane = (event.place.topic, event.place.partition, event.key)
        if lane in last:
            return last[lane], event
        last[lane] = event
    raise AssertionError("no such pair")


def at(line, *, seconds):
    """Return a line as if it had been written so much later."""
    return line._replace(at_ns=line.at_ns + int(seconds * 1e9))


def test_finds_nothing_wrong_with_a_good_history(evidence):
    """All of it was done as its fate says."""
    assert judge(evidence) == []
    told = counts(evidence)["chaos-keys"]
    assert (told["events"], told["repeats"]) == (1_000, 0)
    assert told["handled"] + told["dead"] == 1_000


def test_fates_are_as_the_issue_wants_them():
    """Three tenths of the attempts fail; some events never succeed, some fail for good."""
    places = [Place("t", 0, offset) for offset in range(20_000)]
    failed = sum(verdict(SEED, "g", place, 1) == "transient" for place in places)
    assert 0.29 < failed / len(places) < 0.33
    fates = [fate(SEED, "g", place) for place in places]
    assert {f.attempts for f in fates if f.handled} == set(range(1, MAX_ATTEMPTS + 1))
    assert {f.attempts for f in fates if f.kind == "transient"} == {MAX_ATTEMPTS}
    assert 0.02 < sum(f.kind == "transient" for f in fates) / len(places) < 0.04
    assert 0.005 < sum(f.kind == "permanent" for f in fates) / len(places) < 0.015


def test_a_repetition_is_no_fault(evidence):
    """At least once: the same attempt may come again after a crash."""
    event = list(evidence.read_by(KEYS).values())[-1]
    again = [line for line in evidence.lines["chaos-keys"] if line.place == event.place][:2]
    evidence.lines["chaos-keys"] += [at(line, seconds=9) for line in again]
    assert kinds(evidence) <= {"count lost"}  # unless it was a retried one's first attempt
    assert counts(evidence)["chaos-keys"]["repeats"] == 1


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_sees_a_lost_event(evidence, group):
    """Nobody handled it, and it is in no dead letter."""
    place = find(evidence, group, handled=True).place
    lines = evidence.lines[group.name]
    evidence.lines[group.name] = [line for line in lines if line.place != place]
    assert "lost" in kinds(evidence)


def test_sees_a_lost_retry(evidence):
    """It failed, and was never tried again."""
    place = find(evidence, KEYS, handled=True, attempts=3).place
    lines = evidence.lines["chaos-keys"]
    evidence.lines["chaos-keys"] = [x for x in lines if x.place != place or x.attempt == 1]
    assert kinds(evidence) == {"lost", "attempts"}


def test_sees_a_lost_dead_letter(evidence):
    """Poison that nobody saw must be somewhere."""
    letters = evidence.letters["chaos-rows"]
    letters.remove(next(letter for letter in letters if letter.header(POISON)))
    assert kinds(evidence) == {"lost"}


def test_sees_a_dead_letter_twice(evidence):
    """Exactly one for an event and a group."""
    evidence.letters["chaos-keys"].append(evidence.letters["chaos-keys"][0])
    assert kinds(evidence) == {"dead twice"}


def test_sees_an_event_that_is_handled_and_dead(evidence):
    """Exactly one of both."""
    dead = next(x for x in evidence.letters["chaos-keys"] if not x.header(POISON)).origin
    last = [line for line in evidence.lines["chaos-keys"] if line.place == dead][-1]
    evidence.lines["chaos-keys"].append(last._replace(what=END))
    assert kinds(evidence) >= {"both", "wrong end"}


def test_sees_an_attempt_too_many(evidence):
    """A dead event had all its attempts and one more."""
    place = find(evidence, KEYS, handled=False, attempts=4).place
    more = [
        line._replace(attempt=5) for line in evidence.lines["chaos-keys"] if line.place == place
    ]
    evidence.lines["chaos-keys"] += more[-2:]
    assert "attempts" in kinds(evidence)


def test_sees_a_count_that_was_not_durable(evidence):
    """Attempt 2 cannot come after attempt 3."""
    place = find(evidence, KEYS, handled=True, attempts=3).place
    lines = [line for line in evidence.lines["chaos-keys"] if line.place == place]
    again = [at(line, seconds=1) for line in lines if line.attempt > 1]
    evidence.lines["chaos-keys"] += again
    assert "count lost" in kinds(evidence)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_sees_events_of_a_key_out_of_order(evidence, group):
    """The later one was handled, and then the earlier one."""
    earlier, _ = handled_pair(evidence, group)
    evidence.lines[group.name] = [
        at(line, seconds=99) if line.place == earlier.place else line
        for line in evidence.lines[group.name]
    ]
    assert "order" in kinds(evidence)


def test_sees_two_events_of_a_key_at_once(evidence):
    """The later one began before the earlier one had ended."""
    earlier, later = handled_pair(evidence, KEYS)
    begin = next(x for x in evidence.lines["chaos-keys"] if x.place == later.place)
    evidence.lines["chaos-keys"] = [
        x._replace(at_ns=begin.at_ns + 1) if (x.place, x.what) == (earlier.place, END) else x
        for x in evidence.lines["chaos-keys"]
    ]
    assert kinds(evidence) >= {"at once", "order"}


def test_an_attempt_that_a_kill_cut_off_ends_with_its_pod(evidence):
    """Its place in the journal has no end; another pod does it again."""
    earlier, _ = handled_pair(evidence, KEYS)
    lines = evidence.lines["chaos-keys"]
    first = next(line for line in lines if line.place == earlier.place)
    cut_off = first._replace(pid=2, at_ns=first.at_ns - 1)
    evidence.lines["chaos-keys"] = sorted([*lines, cut_off], key=lambda line: line.at_ns)
    assert kinds(evidence) == set()


@pytest.mark.parametrize(
    "change",
    [
        {"value": b"{}"},
        {"key": b"other"},
        {"timestamp_ms": 5},
        {"headers": ()},
    ],
    ids=str,
)
def test_sees_a_dead_letter_that_is_not_byte_for_byte(evidence, change):
    """Key, value, headers and timestamp are those of the event."""
    letter = evidence.letters["chaos-keys"][0]
    if change == {"headers": ()}:
        change = {"headers": [x for x in letter.headers if x[0] != "x-twice"]}
    evidence.letters["chaos-keys"][0] = letter._replace(**change)
    assert kinds(evidence) == {"letter"}


def test_sees_a_dead_letter_that_reports_too_few_attempts(evidence):
    """Four for one whose retries are used up."""
    letters = evidence.letters["chaos-keys"]
    index = next(i for i, x in enumerate(letters) if x.header(failure.ATTEMPTS) == "4")
    headers = [
        (name, b"3" if name == failure.ATTEMPTS else value)
        for name, value in letters[index].headers
    ]
    letters[index] = letters[index]._replace(headers=headers)
    assert kinds(evidence) == {"letter"}


def test_sees_wrong_rows(evidence):
    """One is missing, one is of a dead event, and a sum is wrong."""
    rows = evidence.rows
    rows.registered.popitem()
    rows.ordered.add(next(p for p in evidence.events if p.topic == AUTH_REGISTERED))
    user, (orders, cents) = rows.totals.popitem()
    rows.totals[user] = orders, cents + 1
    violations = judge(evidence)
    assert [violation.kind for violation in violations] == ["rows"] * 3


def test_sees_what_the_broker_lost(evidence):
    """It was acknowledged, and is not in its topic."""
    place = next(p for p in evidence.events if p.topic == ORDER_CREATED)
    del evidence.events[place]
    assert "not published" in kinds(evidence)


def test_sees_an_event_that_was_never_published(evidence):
    """A handler was given an identity that no topic has."""
    evidence.lines["chaos-rows"].append(
        Line("chaos-rows-1", 1, START, 1, Place(AUTH_REGISTERED, 0, 99_999), 1, 1, "-")
    )
    assert "unknown" in kinds(evidence)


def test_sees_a_handler_that_failed_by_itself(evidence):
    """The database was away: no fate foresees that."""
    line = evidence.lines["chaos-rows"][0]
    evidence.lines["chaos-rows"].append(line._replace(what=BROKE))
    assert "broke" in kinds(evidence)


def test_a_journal_is_read_as_it_was_written(tmp_path):
    """The last line of a pod that was killed may be cut."""
    place = Place("auth.registered", 2, 41)
    for number in (1, 2):
        file = tmp_path / f"chaos-keys-{number}.journal"
        JournalFile(str(file)).write(START, place, 5, 2, "a key")
        with file.open("a") as cut:
            cut.write("77 end 12")
    first, second = read_journals(tmp_path, KEYS.name)
    assert (first.pod, second.pod) == ("chaos-keys-1", "chaos-keys-2")
    assert first[2:3] + first[4:] == (START, place, 5, 2, "a key")
    assert read_journals(tmp_path, ROWS.name) == []
