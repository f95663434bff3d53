"""Events from a file of JSON lines ``{t, user, type, props?}``, checked line by line.

Every line is checked. A line that cannot be read as it was meant is rejected with its number and never guessed at: a
time without a zone could be any of twenty-five, and a user "5" is not the user 5.

The rows are text for COPY: Arrow columns would be sent faster, but importing Arrow takes longer than most files.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

# Rows handed on at once: about 1 MB.
BLOCK_ROWS = 10_000

# Rejected lines that a message lists; the count tells of the others.
LISTED_LINES = 20

# PostgreSQL holds a value of 1 GB at most, and a longer line is hardly an event.
MAX_LINE_BYTES = 16 * 1024**2

_FIELDS = frozenset({"t", "user", "type", "props"})
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d(:?\d\d)?)", re.ASCII)
_TIME_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d*)?)?)?", re.ASCII)
_TOO_FINE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d\.\d{7,}.*", re.ASCII)
_LEAST_USER, _GREATEST_USER = -(2**63), 2**63 - 1

# Columns of a row of COPY, in order.
COLUMNS = ("user_id", "occurred_at", "event_type", "properties")

# What COPY's text format escapes.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

_NULL = "\\N"

# A user, a time with a zone as PostgreSQL reads it, a type, and properties as JSON.
Event = tuple[int | None, str, str, str]


class EventsFileError(ValueError):
    """A file of events cannot be used; the message names the file, and the lines that are wrong."""


class _RejectedLineError(ValueError):
    pass


@dataclass
class Rejections:
    """Lines that were rejected: how many, and the first of them as (number, reason)."""

    count: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, reason: str) -> None:
        """Note a rejected line."""
        self.count += 1
        if len(self.first) < LISTED_LINES:
            self.first.append((line, reason))

    def listed(self, path: Path) -> str:
        """Return the message that lists them."""
        lines = [f"{path}:{line}: {reason}" for line, reason in self.first]
        more = self.count - len(self.first)
        if more:
            lines.append(f"… and {more} more")
        return "\n".join(lines)


def _time(text: Any) -> str:
    """Return an ISO 8601 time with a zone as it is sent."""
    if not isinstance(text, str):
        raise _RejectedLineError("t must be a text, an ISO 8601 time with a zone")
    if _TIME.fullmatch(text) is None:
        if _TIME_WITHOUT_ZONE.fullmatch(text):
            raise _RejectedLineError(f"t {text!r} has no zone: end it with Z or an offset such as +02:00")
        if _TOO_FINE.fullmatch(text):
            raise _RejectedLineError(f"t {text[:60]!r} is finer than a microsecond: six digits at most")
        raise _RejectedLineError(f"t {text[:60]!r} is not an ISO 8601 time such as 2026-03-01T09:30:00.000001Z")
    try:
        moment = datetime.fromisoformat(text.upper())
        # PostgreSQL knows smaller offsets only than ISO 8601 allows.
        return text if text[-1] in "Zz" else moment.astimezone(UTC).isoformat()
    except ValueError as error:
        raise _RejectedLineError(f"t {text!r} is no time: {error}") from None
    except OverflowError:
        raise _RejectedLineError(f"t {text!r} lies outside the years 1 to 9999 (UTC)") from None


def _props(value: Any) -> str:
    """Return properties as JSON text."""
    if not value and (value is None or isinstance(value, dict)):
        return "{}"
    if not isinstance(value, dict):
        raise _RejectedLineError("props must be an object")
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise _RejectedLineError(f"props cannot be stored: {error}") from None
    if "\\u0000" in text and "\\u0000" in text.replace("\\\\", ""):
        raise _RejectedLineError("props hold a null character, which cannot be stored")
    return text


def _event(line: bytes) -> Event:
    """Return the event of a line.

    Raises:
        _RejectedLineError: says what is wrong with the line.
    """
    if len(line) > MAX_LINE_BYTES:
        raise _RejectedLineError(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _RejectedLineError(f"not JSON: {error.msg} (column {error.colno})") from None
    if not isinstance(event, dict):
        raise _RejectedLineError("a JSON object is needed")
    if not event.keys() <= _FIELDS:
        unknown = sorted(event.keys() - _FIELDS)
        raise _RejectedLineError(f"unknown field {unknown[0][:60]!r} (allowed: t, user, type, props)")
    try:
        at, user, kind = event["t"], event["user"], event["type"]
    except KeyError as error:
        raise _RejectedLineError(f"field {error} is missing") from None
    if user is not None and (type(user) is not int or not _LEAST_USER <= user <= _GREATEST_USER):
        raise _RejectedLineError("user must be an integer of 64 bits, or null")
    if not isinstance(kind, str):
        raise _RejectedLineError("type must be a text")
    if "\0" in kind:
        raise _RejectedLineError("type holds a null character, which cannot be stored")
    return user, _time(at), kind, _props(event.get("props"))


def read_events(path: Path, rejections: Rejections) -> Iterator[list[Event]]:
    """Yield the file's events in blocks; rejected lines go to ``rejections``.

    Empty lines are no events and no mistakes.

    Raises:
        EventsFileError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from _blocks(file, rejections)
    except OSError as error:
        raise EventsFileError(f"{path}: cannot be read: {error.strerror}") from None


def _blocks(file: Iterable[bytes], rejections: Rejections) -> Iterator[list[Event]]:
    events: list[Event] = []
    for number, line in enumerate(file, 1):
        try:
            # Some programs write a mark before UTF-8.
            events.append(_event(line if number > 1 else line.removeprefix(b"\xef\xbb\xbf")))
        except _RejectedLineError as error:
            if line.strip():
                rejections.add(number, str(error))
            continue
        if len(events) == BLOCK_ROWS:
            yield events
            events = []
    if events:
        yield events


def copy_text(events: Iterable[Event]) -> bytes:
    """Return events as rows of COPY's text format with :data:`COLUMNS`."""
    rows = [
        f"{_NULL if user is None else user}\t{at}\t{kind.translate(_ESCAPES)}\t{props.translate(_ESCAPES)}\n"
        for user, at, kind, props in events
    ]
    return "".join(rows).encode()
