"""Events from a file of JSON lines ``{t, user, type, props?}``, as blocks of Arrow columns.

Every line is checked. A line that cannot be read as it was meant is rejected with its number and never guessed at: a
time without a zone could be any of twenty-five, and a user "5" is not the user 5.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

# Rows handed on at once: large enough for the columns to be built quickly, a few MB.
BLOCK_ROWS = 50_000

# Rejected lines that a message lists; the count tells of the others.
LISTED_LINES = 20

# PostgreSQL holds a value of 1 GB at most, and a longer line is hardly an event.
MAX_LINE_BYTES = 16 * 1024**2

_FIELDS = frozenset({"t", "user", "type", "props"})
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d(:?\d\d)?)", re.ASCII)
_TIME_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d*)?)?)?", re.ASCII)
_TOO_FINE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d\.\d{7,}.*", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MICROSECOND = -62_135_596_800_000_000
_LAST_MICROSECOND = 253_402_300_799_999_999
_LEAST_USER, _GREATEST_USER = -(2**63), 2**63 - 1

SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("occurred_at", pa.timestamp("us", "UTC")),
        ("event_type", pa.string()),
        ("properties", pa.string()),
    ]
)


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


def _microseconds(text: Any) -> int:
    """Return an ISO 8601 time with a zone as microseconds since 1970."""
    if not isinstance(text, str):
        raise _RejectedLineError("t must be a text, an ISO 8601 time with a zone")
    if _TIME.fullmatch(text) is None:
        if _TIME_WITHOUT_ZONE.fullmatch(text):
            raise _RejectedLineError(f"t {text!r} has no zone: end it with Z or an offset such as +02:00")
        if _TOO_FINE.fullmatch(text):
            raise _RejectedLineError(f"t {text[:60]!r} is finer than a microsecond: six digits at most")
        raise _RejectedLineError(f"t {text[:60]!r} is not an ISO 8601 time such as 2026-03-01T09:30:00.000001Z")
    try:
        since = datetime.fromisoformat(text.upper()) - _EPOCH
    except ValueError as error:
        raise _RejectedLineError(f"t {text!r} is no time: {error}") from None
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if not _FIRST_MICROSECOND <= microseconds <= _LAST_MICROSECOND:
        raise _RejectedLineError(f"t {text!r} lies outside the years 1 to 9999 (UTC)")
    return microseconds


def _props(value: Any) -> str | None:
    """Return properties as JSON text, None for none."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _RejectedLineError("props must be an object")
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise _RejectedLineError(f"props cannot be stored: {error}") from None
    if "\\u0000" in text and "\\u0000" in text.replace("\\\\", ""):
        raise _RejectedLineError("props hold a null character, which cannot be stored")
    return text if value else None


def _event(line: bytes) -> tuple[int | None, int, str, str | None]:
    """Return a line's user, microseconds, type and properties.

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
    return user, _microseconds(at), kind, _props(event.get("props"))


def read_events(path: Path, rejections: Rejections) -> Iterator[pa.Table]:
    """Yield the file's events in blocks with the columns of :data:`SCHEMA`; rejected lines go to ``rejections``.

    Empty lines are no events and no mistakes.

    Raises:
        EventsFileError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from _blocks(file, rejections)
    except OSError as error:
        raise EventsFileError(f"{path}: cannot be read: {error.strerror}") from None


def _blocks(file: Any, rejections: Rejections) -> Iterator[pa.Table]:
    rows: list[tuple[int | None, int, str, str | None]] = []
    number = 0
    for line in file:
        number += 1
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901 -- a mark that some programs write before UTF-8
        try:
            rows.append(_event(line))
        except _RejectedLineError as error:
            if line.strip():
                rejections.add(number, str(error))
            continue
        if len(rows) == BLOCK_ROWS:
            yield _table(rows)
            rows = []
    if rows:
        yield _table(rows)


def _table(rows: list[tuple[int | None, int, str, str | None]]) -> pa.Table:
    users, times, types, props = zip(*rows, strict=True)
    columns = [
        pa.array(users, pa.int64()),
        pa.array(times, pa.int64()).cast(SCHEMA.field("occurred_at").type),
        pa.array(types, pa.string()),
        pa.array(props, pa.string()).fill_null("{}"),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
