"""What dead letters of one cause have in common: topic, group, exception, and where it was raised.

The message is no part of it, for it names values (of an invalid event's no more than the field and
what kind of mistake it is); neither are line numbers and folders of an
installation, for a small edit or another machine must not split a group.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import NamedTuple

from trunkline.dead_letters.reading import DeadLetter
from trunkline.topology import DEAD_LETTERS_PREFIX, Topology

_HEX_DIGITS = 12

#: Longer lines are no frames; what is matched stays short, whoever wrote it.
_MAX_LINE = 2_000
#: A frame of a Python traceback; the bars are those of an exception group.
_PYTHON_FRAME = re.compile(r'[ |]*File "(?P<file>[^"]+)", line \d+, in (?P<function>.+)')
_PYTHON_TRACEBACK = "Traceback (most recent call last)"
#: What calls the handlers, in a clone.
_RAILS = re.compile(r"(?:^|/)trunkline/(?:delivery|retries)/[a-z_]+\.py$")
_JAVA_FRAME = re.compile(r"\s*at (?P<function>[^\s()]+)\((?P<file>[^():]*)(?::\d+)?\)")
_JAVA_CAUSE = "Caused by: "
_INSTALLED = re.compile(r"^.*/(?:site-packages|dist-packages|python3\.\d+|python3\d+\.zip)/")
#: What Java makes up anew for each run or build: proxies, hidden classes, numbers of lambdas.
_MADE_UP = (
    (re.compile(r"/0x[0-9a-f]+"), ""),
    (re.compile(r"\$\$.*(?=\.[^.]+$)"), ""),
    (re.compile(r"\$\d+(?=\.|$)"), ""),
    (re.compile(r"^.*/"), ""),  # the module and the class loader
)
_INDEX = re.compile(r"\[\d+\]")
#: What decoders say of an invalid event, and what of it is said of all of its kind: names and types
#: of the model, and no value.
_MISTAKES = (
    (re.compile(r"Object missing required field `([^`]+)`"), r"\1 is missing"),
    (re.compile(r"Expected `([^`]+)`, got `([^`]+)`"), r"expected \1, got \2"),
    (re.compile(r"Expected `([^`]+)` .*", re.DOTALL), r"disallowed \1"),
    (re.compile(r"Object contains unknown field .*", re.DOTALL), "unknown field"),
    (re.compile(r"Invalid enum value .*", re.DOTALL), "unknown choice"),
    (re.compile(r"JSON is malformed: .*", re.DOTALL), "malformed JSON"),
    (re.compile(r"Input data was truncated"), "truncated JSON"),
    (re.compile(r"the value is null; .*", re.DOTALL), "null"),
    (re.compile(r"Invalid UTF-8 .*|.* (?:can't decode|is not UTF-8).*", re.DOTALL), "not UTF-8"),
)
_MAX_REASON = 200


class Fingerprint(NamedTuple):
    """Which dead letters belong together.

    Attributes:
        topic: Plain name of the event's topic.
        group: Plain name of the group that failed it, ``""`` when it is not told.
        exception: Qualified class of the error.
        place: ``file:function`` of the innermost frame that is in no installed package, else of the
            innermost; for an invalid event ``field: mistake``; ``""`` when neither is told.

    """

    topic: str
    group: str
    exception: str
    place: str

    @property
    def former(self) -> Fingerprint:
        """Return what it was before mistakes were told apart: indexes and people still have it."""
        return self._replace(place=self.place.partition(": ")[0])

    @property
    def digest(self) -> str:
        """Return it as 12 hexadecimal digits, the same ones for ever."""
        # JSON: a separator of our own could stand in one of the parts.
        text = json.dumps(list(self), ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS]


def fingerprint_of(letter: DeadLetter, topology: Topology) -> Fingerprint:
    """Return a dead letter's fingerprint; the same one in every namespace."""
    return Fingerprint(
        topic_of(letter, topology),
        topology.plain_name(letter.group or ""),
        letter.exception,
        raising_place(letter),
    )


def topic_of(letter: DeadLetter, topology: Topology) -> str:
    """Return the plain name of the event's topic; without an origin its dead letters' topic's."""
    if letter.origin is not None:
        return topology.plain_name(letter.origin.topic)
    return topology.plain_name(letter.topic).removeprefix(DEAD_LETTERS_PREFIX)


def raising_place(letter: DeadLetter) -> str:
    """Return where the error was raised, ``""`` when it is not told."""
    if letter.kind == "invalid" and not letter.stacktrace:
        # "$.items[3].price: Expected `int`, got `str`"; every index is the same field.
        field, _, reason = letter.message.partition(": ")
        return ": ".join(filter(None, (_INDEX.sub("[...]", field), _mistake(reason))))
    lines = [line for line in letter.stacktrace.splitlines() if len(line) <= _MAX_LINE]
    return _python_place(lines) or _java_place(lines)


def _mistake(reason: str) -> str:
    """Return what kind of mistake it is, without a value of the event; "" when unknown."""
    told = reason[:_MAX_REASON]
    for pattern, kind in _MISTAKES:
        match = pattern.fullmatch(told)
        if match:
            return match.expand(kind)
    return ""


def _python_place(lines: list[str]) -> str:
    """Return the innermost frame of the code that is somebody's own, else the innermost.

    What a library raises is told apart by who called it: all errors of a database come from the
    same line of its driver.
    """
    innermost = ""
    # The last traceback is that of the error itself: its causes come before it.
    for line in reversed(lines):
        if innermost and _PYTHON_TRACEBACK in line:
            break
        frame = _PYTHON_FRAME.fullmatch(line)
        if frame is None:
            continue
        place = f"{_without_folders(frame['file'])}:{frame['function'].strip()}"
        innermost = innermost or place
        path = frame["file"].replace("\\", "/")
        if not _INSTALLED.match(path) and not _RAILS.search(path):
            return place
    return innermost


def _without_folders(file: str) -> str:
    path = file.replace("\\", "/")
    installed = _INSTALLED.sub("", path)
    if installed != path:
        return installed
    # Our own code: its folder differs from machine to machine, its package does not.
    return "/".join(path.split("/")[-2:])


def _java_place(lines: list[str]) -> str:
    """Return the first frame of the last cause: Java tells the innermost frame first."""
    place, wanted = "", True
    for line in lines:
        if line.lstrip().startswith(_JAVA_CAUSE):
            wanted = True
        frame = _JAVA_FRAME.fullmatch(line) if wanted else None
        if frame:
            place, wanted = f"{frame['file']}:{_java_function(frame['function'])}", False
    return place


def _java_function(function: str) -> str:
    for pattern, instead in _MADE_UP:
        function = pattern.sub(instead, function)
    return function
