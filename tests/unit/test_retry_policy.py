"""When a failed event is tried again, and when it is given up."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import ConfigurationError, DependencyDown, InvalidEventError, Permanent
from trunkline.retries.backoff import (
    LONGEST_DELAY_S,
    ExponentialBackoff,
    FixedBackoff,
    ListBackoff,
    parse_backoff,
)
from trunkline.retries.policy import RetryPolicy, check_policies, policy_for
from trunkline.settings import Settings, load_settings

TOPICS = ("auth.registered", "order.created", "user.activity")
ATTEMPTS = st.integers(1, 100_000)
SEEDS = st.integers().map(random.Random)
SECONDS = st.floats(0.001, 1e6)
EXPONENTIALS = st.builds(
    lambda first_s, factor, more_s: ExponentialBackoff(first_s, factor, first_s + more_s),
    SECONDS,
    st.floats(1, 1000),
    SECONDS,
)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in ("MAX_RETRIES", *(f"TRUNKLINE_{key.upper()}" for key in Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)


# -- delays


@given(EXPONENTIALS, ATTEMPTS, SEEDS)
def test_jitter_keeps_half_of_the_delay(backoff, attempts, rng):
    """Never negative, never above the limit, never below half of what it would be."""
    ceiling_s = backoff.ceiling_s(attempts)
    assert ceiling_s / 2 <= backoff.delay_s(attempts, rng) <= ceiling_s <= backoff.longest_s


@given(EXPONENTIALS, ATTEMPTS)
def test_exponential_delays_grow_up_to_their_limit(backoff, attempts):
    """No later attempt waits less (jitter aside), and the first is as it was set."""
    assert backoff.ceiling_s(1) == backoff.first_s
    assert backoff.ceiling_s(attempts) <= backoff.ceiling_s(attempts + 1)


def test_the_default_doubles_from_a_second_to_a_minute():
    """1, 2, 4 … 60 s."""
    ceilings = [ExponentialBackoff().ceiling_s(attempts) for attempts in range(1, 9)]
    assert ceilings == [1, 2, 4, 8, 16, 32, 60, 60]


def test_jitter_spreads_events_that_failed_together():
    """A thousand events come back over the whole second half of the delay."""
    rng = random.Random(4)
    delays = [RetryPolicy().delay_s(2, rng) for _ in range(1000)]
    assert min(delays) < 1.05
    assert max(delays) > 1.95
    assert len(set(delays)) > 990


@given(st.lists(st.floats(0, LONGEST_DELAY_S), min_size=1), ATTEMPTS, SEEDS)
def test_the_last_delay_of_a_list_repeats(delays_s, attempts, rng):
    """Each retry has its delay; those behind the end have the last one."""
    backoff = ListBackoff(tuple(delays_s))
    expected = delays_s[attempts - 1] if attempts <= len(delays_s) else delays_s[-1]
    assert backoff.delay_s(attempts, rng) == expected


@given(st.floats(0, LONGEST_DELAY_S), ATTEMPTS, SEEDS)
def test_a_fixed_delay_is_always_the_same(seconds, attempts, rng):
    """Without jitter."""
    assert FixedBackoff(seconds).delay_s(attempts, rng) == seconds


@pytest.mark.parametrize(
    ("text", "backoff"),
    [
        ("fixed:5", FixedBackoff(5)),
        ("fixed:0", FixedBackoff(0)),
        (" Fixed : 0.25 ", FixedBackoff(0.25)),
        ("exponential:1,2,60", ExponentialBackoff(1, 2, 60)),
        ("exponential: 0.1, 1.5, 10", ExponentialBackoff(0.1, 1.5, 10)),
        ("list:1,10,60", ListBackoff((1, 10, 60))),
        ("list:3", ListBackoff((3,))),
    ],
)
def test_backoffs_are_written_as_documented(text, backoff):
    """What is read is what it says, and is written the same way."""
    assert parse_backoff(text) == backoff
    assert parse_backoff(str(backoff)) == backoff


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "write 'fixed:5'"),
        ("5", "write 'fixed:5'"),
        ("fixed", "write 'fixed:5'"),
        ("fixed:1,2", "write 'fixed:5'"),
        ("linear:1", "write 'fixed:5'"),
        ("list:", "write 'fixed:5'"),
        ("list:1,,2", "write 'fixed:5'"),
        ("exponential:1,2", "write 'fixed:5'"),
        ("fixed:-1", "a delay is -1 s; it must be from 0 to 2592000 (30 days)"),
        ("fixed:nan", "a delay is nan s"),
        ("list:1,inf", "a delay is inf s"),
        ("fixed:5000000", "a delay is 5e+06 s"),
        ("exponential:0,2,60", "begins above 0 s; use 'fixed:0'"),
        ("exponential:1,0.5,60", "the factor is 0.5; it must be from 1 to 1000"),
        ("exponential:1,nan,60", "the factor is nan"),
        ("exponential:5,2,1", "the longest delay (1 s) is below the first (5 s)"),
    ],
)
def test_a_wrong_backoff_is_refused(text, reason):
    """With the reason, and with how to write one."""
    with pytest.raises(ConfigurationError) as refused:
        parse_backoff(text)
    assert reason in str(refused.value)
    assert "write 'fixed:5', 'exponential:1,2,60'" in str(refused.value)


# -- giving up


def test_three_retries_follow_the_first_attempt():
    """The seed's MAX_RETRIES: the fourth failed attempt is the last."""
    policy = RetryPolicy()
    assert [policy.is_exhausted(n, 0, 0) for n in range(6)] == [False] * 4 + [True] * 2


def test_no_retries_means_one_attempt():
    """max_retries=0 gives up at the first failure, but not an event that was never tried."""
    policy = RetryPolicy(max_retries=0)
    assert not policy.is_exhausted(0, 0, 0)
    assert policy.is_exhausted(1, 0, 0)


def test_no_limit_never_gives_up():
    """max_retries=None, as for the dlq service."""
    assert not RetryPolicy(max_retries=None).is_exhausted(10**9, 0, 10**15)


def test_the_deadline_counts_from_the_first_failure():
    """In seconds; retries that are left do not matter then."""
    policy = RetryPolicy(max_retries=None, deadline_s=1.5)
    assert not policy.is_exhausted(2, 10_000, 11_499)
    assert policy.is_exhausted(2, 10_000, 11_500)
    assert not policy.is_exhausted(0, 0, 11_500)  # parked: it has not failed yet


def test_a_handler_that_cannot_be_retried_fails_once():
    """retryable=False: dead at the first failure, whatever the rest says."""
    assert RetryPolicy(max_retries=None, retryable=False).is_exhausted(1, 0, 0)


# -- classification


class CardError(Exception):
    pass


class CardRefused(CardError):  # noqa: N818  # read as in the documentation's example
    pass


class CardSystemBusy(CardError):  # noqa: N818  # same
    pass


def raised(error, *causes):
    """Return an error whose causes are these, one behind the other."""
    for outer, inner in zip((error, *causes), causes, strict=False):
        outer.__cause__ = inner
    return error


LISTS = RetryPolicy(permanent=(CardError, LookupError), transient=(CardSystemBusy, OSError))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError(), "transient"),
        (DependencyDown(), "transient"),
        (SystemExit(), "transient"),
        (Permanent(), "permanent"),
        (InvalidEventError("is missing"), "permanent"),
        (CardError(), "permanent"),
        (CardRefused(), "permanent"),
        (KeyError(), "permanent"),
        # The nearest base class decides, as the first matching "except" would be written.
        (CardSystemBusy(), "transient"),
        (ConnectionError(), "transient"),
        # The outermost match decides.
        (raised(RuntimeError(), CardRefused()), "permanent"),
        (raised(RuntimeError(), RuntimeError(), Permanent()), "permanent"),
        (raised(ConnectionError(), CardRefused()), "transient"),
        (raised(CardRefused(), ConnectionError()), "permanent"),
        (raised(OSError(), Permanent()), "transient"),
    ],
)
def test_an_error_and_its_causes_are_looked_up(error, kind):
    """Permanent or transient, by both lists and by what is permanent always."""
    assert LISTS.kind_of(error) == kind


def test_permanent_stays_so_when_a_base_class_is_transient():
    """transient=(Exception,) takes nothing back of what a handler says itself."""
    assert RetryPolicy(transient=(Exception,)).kind_of(Permanent()) == "permanent"


def test_what_was_being_handled_is_no_cause():
    """Only ``raise … from …`` counts: ``__context__`` may be unrelated."""
    error = RuntimeError()
    error.__context__ = Permanent()
    assert RetryPolicy().kind_of(error) == "transient"


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_cycle_of_causes_ends(length):
    """An error that causes itself, directly or through others, is classified."""
    errors = [RuntimeError() for _ in range(length)]
    assert RetryPolicy().kind_of(raised(*errors, errors[0])) == "transient"


def test_causes_are_followed_to_a_limit():
    """Twenty deep, so that a chain of any length costs little."""
    far = raised(*(RuntimeError() for _ in range(20)), Permanent())
    near = raised(*(RuntimeError() for _ in range(19)), Permanent())
    assert RetryPolicy().kind_of(far) == "transient"
    assert RetryPolicy().kind_of(near) == "permanent"


# -- settings


def test_the_default_is_the_seed_s():
    """Three retries, growing delays, in order."""
    assert policy_for(load_settings(), "order.created") == RetryPolicy()


@pytest.mark.parametrize("variable", ["MAX_RETRIES", "TRUNKLINE_MAX_RETRIES"])
def test_max_retries_goes_by_both_names(monkeypatch, variable):
    """The seed's name, and the one that all other settings have."""
    monkeypatch.setenv(variable, "7")
    assert policy_for(load_settings(), "order.created").max_retries == 7


def test_the_environment_sets_what_all_topics_have(monkeypatch):
    """Back-off and deadline."""
    monkeypatch.setenv("TRUNKLINE_RETRY_BACKOFF", "list:1,2")
    monkeypatch.setenv("TRUNKLINE_RETRY_DEADLINE_S", "90")
    expected = RetryPolicy(backoff=ListBackoff((1, 2)), deadline_s=90)
    assert policy_for(load_settings(), "order.created") == expected


def test_a_topic_overrides_single_fields(monkeypatch):
    """The example of the documentation, for its topic only."""
    monkeypatch.setenv("MAX_RETRIES", "9")
    monkeypatch.setenv("TRUNKLINE_RETRY_DEADLINE_S", "90")
    monkeypatch.setenv(
        "TRUNKLINE_RETRY",
        '{"order.created": {"max_retries": 5, "backoff": "fixed:2", "deadline_s": null, '
        '"permanent": ["json.JSONDecodeError", "KeyError"], '
        '"transient": ["trunkline.errors.BrokerError"], '
        '"ordered": false, "when_dead": "follow", "retryable": false}, '
        '"user.activity": {"max_retries": null}}',
    )
    settings = load_settings()
    check_policies(settings, TOPICS)
    from json import JSONDecodeError

    from trunkline.errors import BrokerError

    assert policy_for(settings, "order.created") == RetryPolicy(
        max_retries=5,
        backoff=FixedBackoff(2),
        permanent=(JSONDecodeError, KeyError),
        transient=(BrokerError,),
        ordered=False,
        when_dead="follow",
        retryable=False,
    )
    assert policy_for(settings, "user.activity") == RetryPolicy(max_retries=None, deadline_s=90)
    assert policy_for(settings, "auth.registered") == RetryPolicy(max_retries=9, deadline_s=90)


def test_a_topic_overrides_what_its_code_says(monkeypatch):
    """A default of the wiring replaces the global one, and gives way to the topic's settings."""
    monkeypatch.setenv("MAX_RETRIES", "9")
    monkeypatch.setenv("TRUNKLINE_RETRY", '{"order.created": {"backoff": "fixed:2"}}')
    default = RetryPolicy(max_retries=None, ordered=False)
    policy = policy_for(load_settings(), "order.created", default)
    assert policy == RetryPolicy(max_retries=None, ordered=False, backoff=FixedBackoff(2))
    assert policy_for(load_settings(), "user.activity", default) is not None


_FIELD_PROBLEMS = [
    ('"max_retrys": 1', "max_retrys=1: unknown field. Did you mean 'max_retries'?"),
    ('"wait": 1', "wait=1: unknown field. Known: max_retries, backoff,"),
    ('"max_retries": -1', "max_retries=-1: write a whole number, 0 or more, or null for no limit"),
    ('"max_retries": 1.5', "max_retries=1.5: write a whole number"),
    ('"max_retries": true', "max_retries=true: write a whole number"),
    ('"max_retries": "3"', 'max_retries="3": write a whole number'),
    ('"deadline_s": -1', "deadline_s=-1: write seconds, above 0, or null for no limit"),
    ('"deadline_s": NaN', "deadline_s=NaN: write seconds"),
    ('"deadline_s": "1h"', 'deadline_s="1h": write seconds'),
    ('"backoff": "fixed:-2"', 'backoff="fixed:-2": a delay is -2 s; it must be from 0'),
    ('"backoff": 5', "backoff=5: write 'fixed:5'"),
    ('"ordered": "no"', 'ordered="no": write true or false'),
    ('"retryable": 0', "retryable=0: write true or false"),
    ('"when_dead": "stop"', "when_dead=\"stop\": write 'continue' (the key's later events"),
    ('"permanent": "KeyError"', 'permanent="KeyError": write a list of exception classes'),
    ('"permanent": [1]', "permanent=[1]: write a list of exception classes"),
    ('"permanent": ["os..path"]', "'os..path' is no dotted name of a class"),
    ('"permanent": ["nowhere.to.Be"]', "there is no module 'nowhere'"),
    ('"permanent": ["string.errors.CardRefused"]', "'string' has nothing of this name"),
    ('"permanent": ["json.JSONDecodeErr"]', "Did you mean 'json.JSONDecodeError'?"),
    ('"permanent": ["KeyEror"]', "Did you mean 'KeyError'?"),
    ('"permanent": ["CardRefused"]', "name a class with its module, such as 'myapp.errors."),
    ('"permanent": ["os.path"]', "'os.path' is no exception class"),
    ('"permanent": ["collections.OrderedDict"]', "'collections.OrderedDict' is no exception class"),
    ('"transient": ["broken_module.Error"]', "module 'broken_module' failed with ZeroDivisionErr"),
    (
        '"permanent": ["KeyError"], "transient": ["KeyError"]',
        "order.created: KeyError is in both 'permanent' and 'transient'; take it out of one",
    ),
    (
        '"transient": ["trunkline.errors.Permanent"]',
        "order.created: Permanent is always permanent; take it out of 'transient'",
    ),
]


@pytest.mark.parametrize(("fields", "message"), _FIELD_PROBLEMS)
def test_a_wrong_field_is_refused_at_the_start(monkeypatch, tmp_path, fields, message):
    """The message names the variable, the topic, the field, its value and what to do."""
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TRUNKLINE_RETRY", f'{{"order.created": {{{fields}}}}}')
    settings = load_settings()
    for check in (
        lambda: check_policies(settings, TOPICS),
        lambda: policy_for(settings, TOPICS[1]),
    ):
        with pytest.raises(ConfigurationError) as refused:
            check()
        assert message in str(refused.value)
        assert "TRUNKLINE_RETRY, order.created" in str(refused.value)


@pytest.mark.parametrize(
    ("retry", "message"),
    [
        (
            '{"order.create": {}}',
            "TRUNKLINE_RETRY, order.create: unknown topic. Did you mean 'order",
        ),
        ('{"x": {}}', "TRUNKLINE_RETRY, x: unknown topic. Known: auth.registered, order.created"),
        ('{"order.created": 5}', "TRUNKLINE_RETRY, order.created=5: write an object, such as {"),
    ],
)
def test_a_wrong_topic_is_refused_at_the_start(monkeypatch, retry, message):
    """Unknown, or with something else than fields."""
    monkeypatch.setenv("TRUNKLINE_RETRY", retry)
    with pytest.raises(ConfigurationError, match="Wrong settings:") as refused:
        check_policies(load_settings(), TOPICS)
    assert message in str(refused.value)


def test_all_that_is_wrong_is_said_at_once(monkeypatch):
    """A line for each."""
    monkeypatch.setenv(
        "TRUNKLINE_RETRY", '{"x": {}, "order.created": {"max_retries": -1, "ordered": 2}}'
    )
    with pytest.raises(ConfigurationError) as refused:
        check_policies(load_settings(), TOPICS)
    assert len(str(refused.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MAX_RETRIES", "-1", "  MAX_RETRIES='-1': Input should be greater than or equal to 0"),
        ("TRUNKLINE_MAX_RETRIES", "many", "  TRUNKLINE_MAX_RETRIES='many': "),
        ("TRUNKLINE_RETRY_BACKOFF", "5", "  TRUNKLINE_RETRY_BACKOFF='5': write 'fixed:5'"),
        ("TRUNKLINE_RETRY_DEADLINE_S", "-1", "  TRUNKLINE_RETRY_DEADLINE_S='-1': "),
        ("TRUNKLINE_RETRY_DEADLINE_S", "nan", "  TRUNKLINE_RETRY_DEADLINE_S='nan': "),
        ("TRUNKLINE_RETRY", "{", "  TRUNKLINE_RETRY='{': is no JSON (Expecting"),
        ("TRUNKLINE_RETRY", "[]", "  TRUNKLINE_RETRY='[]': write a JSON object: {"),
    ],
)
def test_a_wrong_variable_is_refused(monkeypatch, variable, value, message):
    """The message names the variable that was set."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_retries": -1},
        {"deadline_s": 0},
        {"deadline_s": float("nan")},
        {"permanent": (KeyError,), "transient": (OSError, KeyError)},
        {"transient": (InvalidEventError,)},
    ],
)
def test_a_wrong_policy_in_code_is_refused(fields):
    """By the policy itself: the wiring makes them too."""
    with pytest.raises(ConfigurationError):
        RetryPolicy(**fields)
