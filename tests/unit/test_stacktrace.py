"""Stack traces read as Python prints them, however they are made."""

from __future__ import annotations

import traceback

from trunkline.delivery.stacktrace import stacktrace_of

LIMIT = 16_000


def raised(work):
    try:
        work()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def plain():
    raise ValueError("bad")


def caused():
    try:
        plain()
    except ValueError as error:
        raise RuntimeError("worse") from error


def in_passing():
    try:
        plain()
    except ValueError:
        raise RuntimeError("worse")  # noqa: B904


def suppressed():
    try:
        plain()
    except ValueError:
        raise RuntimeError("worse") from None


def grouped():
    raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])


def test_reads_as_python_prints_it():
    """The first time and, from memory, the second."""
    for work in (plain, caused, in_passing, suppressed, grouped) * 2:
        error = raised(work)
        assert stacktrace_of(error, LIMIT) == "".join(traceback.format_exception(error))


def noted():
    error = ValueError("bad")
    error.add_note("of two\nlines")
    raise error


def unknown_name():
    return plian()  # noqa: F821


def unknown_attribute():
    return traceback.format_excetpion


def no_code():
    compile("1 +", "some.py", "exec")


def silent():
    raise ValueError


class MainError(Exception):
    """As one that stands in the script that is run."""


MainError.__module__ = "__main__"


class NowhereError(Exception):
    """Whose class was made by hand."""


NowhereError.__module__ = None


def test_the_last_line_reads_as_python_prints_it_whatever_the_exception():
    """Suggestions, notes, code that cannot be parsed, no text, classes of any module."""

    def throw(error):
        raise error

    errors = [raised(work) for work in (noted, unknown_name, unknown_attribute, no_code, silent)]
    errors += [raised(lambda e=e: throw(e)) for e in (MainError("m"), NowhereError("n"))]
    errors += [raised(lambda: throw(KeyError("k"))), raised(lambda: throw(UnicodeError("a\nb")))]
    for error in errors:
        assert stacktrace_of(error, LIMIT) == "".join(traceback.format_exception(error))


def test_tells_different_messages_of_one_place_apart():
    """Only the stack is remembered."""

    def fail(text):
        raise ValueError(text)

    first, second = raised(lambda: fail("one")), raised(lambda: fail("two"))
    assert stacktrace_of(first, LIMIT).endswith("ValueError: one\n")
    assert stacktrace_of(second, LIMIT).endswith("ValueError: two\n")


def test_keeps_the_end_of_a_long_one():
    """Cut in bytes, never in the middle of a character."""
    error = raised(lambda: (_ for _ in ()).throw(ValueError("é" * 1000)))
    text = stacktrace_of(error, 101)
    assert text == "é" * 50 + "\n"


def test_survives_causes_that_go_round():
    """A cycle ends."""
    error = raised(caused)
    error.__cause__.__cause__ = error
    assert "worse" in stacktrace_of(error, LIMIT)


def test_survives_an_exception_that_cannot_be_printed():
    """Whatever its text does."""

    class Hostile(Exception):  # noqa: N818
        def __str__(self):
            raise SystemError

    assert "Hostile" in stacktrace_of(raised(lambda: (_ for _ in ()).throw(Hostile())), LIMIT)
