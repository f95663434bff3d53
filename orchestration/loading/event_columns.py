"""Events made of records by a mapping: whole columns at a time, and of every record that is none, why.

The rules, each with the reason that a reject carries, are listed in ``docs/importing.md``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from orchestration.loading.arrow_columns import constant_uuid, uuid_column
from orchestration.loading.copy_loader import NAMESPACE, Reject
from orchestration.loading.event_mapping import EventIdColumn, KeyColumn, Property, TextColumn, TimeColumn
from orchestration.loading.event_mapping import Mapping as EventMapping
from orchestration.loading.event_records import RecordBlock
from orchestration.realtime.event import MAX_DEVICE_TYPE_LENGTH, MAX_EVENT_TYPE_LENGTH, MAX_URL_LENGTH

# Nothing was clicked before there were pages. An earlier time is a missing or a mistaken one: year 1, 1900, 1970.
EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
# How much the clock of whoever wrote the file may be fast, or its zone mistaken.
AHEAD: Final = timedelta(days=1)

MAX_PROPERTIES_BYTES: Final = 256 * 1024
MAX_TEXT_LENGTH: Final = 32 * 1024

# Users of whom only a text is known get a number from here to 2^53: above all that loads, shops and files number, and
# exact as a double.
HASHED_USERS_FROM: Final = 2**52
_MAX_INTEGER: Final = 2**63 - 1

_Mask = npt.NDArray[np.bool_]
_UUID = r"^(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{32})$"
_JSON_NUMBER = r"^-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?$"
# What pandas makes of a column of whole numbers with gaps ends in .0
_INTEGER = r"^[+-]?[0-9]{1,19}(?:\.0+)?$"
_CLOCK = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_ZONE = r"(?:\+00:00|[+-][0-9]{2}:[0-9]{2})$"
_TRUE, _FALSE = ("true", "t", "1", "yes"), ("false", "f", "0", "no")


@dataclass(frozen=True)
class EventBlock:
    """Events of a block.

    Attributes:
        events: columns of ``analytics.events`` without origin and load_id.
        lines: of each, its line.
        rejects: of the block, lines that are no records included.
    """

    events: pa.Table
    lines: npt.NDArray[np.int64]
    rejects: list[Reject]


class _Judge:
    """Which records of a block are refused so far, each for the first reason that was found."""

    def __init__(self, block: RecordBlock) -> None:
        self.rows = len(block.lines)
        self._verdicts: npt.NDArray[np.int32] = np.zeros(self.rows, dtype=np.int32)
        self._reasons: list[tuple[str | None, str]] = []

    def refuse(self, wrong: pl.Series, column: str | None, reason: str) -> None:
        """Refuse the records where ``wrong`` is true."""
        mask: _Mask = wrong.fill_null(False).to_numpy() & (self._verdicts == 0)
        if mask.any():
            self._reasons.append((column, reason))
            self._verdicts[mask] = len(self._reasons)

    @property
    def kept(self) -> _Mask:
        kept: _Mask = self._verdicts == 0
        return kept

    def rejects(self, lines: npt.NDArray[np.int64]) -> list[Reject]:
        places = np.flatnonzero(self._verdicts)
        return [Reject(int(lines[at]), *self._reasons[int(self._verdicts[at]) - 1]) for at in places]


class EventColumns:
    """A mapping, applied to the blocks of one file.

    Args:
        mapping: what becomes what.
        tenant_id: whose events they are.
        digest: of the file's content, as hexadecimal: the identity of events that have none of their own rests on it.
        now: until when (and ``AHEAD``) events can have happened.
    """

    def __init__(self, mapping: EventMapping, tenant_id: UUID, digest: str, now: datetime) -> None:
        self._mapping, self._tenant_id, self._now = mapping, tenant_id, now
        self._line_ids = hashlib.sha256(f"line/{NAMESPACE}/{tenant_id}/{digest}".encode()).digest()[:8]

    def events(self, block: RecordBlock) -> EventBlock:
        """Return the events of the block, and what it holds of rejects."""
        judge = _Judge(block)
        mapping = self._mapping
        time = self._time(block, mapping.time, judge)
        kind = self._event_type(block, judge)
        text = {name: _text_column(block, name, getattr(mapping, name), judge) for name in _TEXTS}
        user = self._user(block, mapping.user_id, judge)
        session = self._key_uuid(block, mapping.session_id, "session", judge)
        properties = _properties(block, mapping, kind, judge)
        event_id = self._event_ids(block, mapping.event_id, judge)

        kept = judge.kept
        chosen = pl.Series(kept)
        frame = pl.DataFrame(
            {"time": time, "user_id": user, "event_type": kind, **text, "properties": properties}
        ).filter(chosen)
        lines = block.lines[kept]
        if event_id is None:
            identity = self._derived_ids(frame, session.filter(chosen), lines)
        else:
            identity = _fixed(event_id.filter(chosen))
        table = pa.table(
            {
                "time": frame["time"].to_arrow(),
                "tenant_id": constant_uuid(self._tenant_id, len(lines)),
                "event_id": identity,
                "session_id": _fixed(session.filter(chosen)),
                "user_id": frame["user_id"].to_arrow(),
                **{name: frame[name].to_arrow() for name in ("event_type", *_TEXTS, "properties")},
            }
        )
        return EventBlock(table, lines, sorted(block.rejects + judge.rejects(block.lines), key=lambda each: each.line))

    # --- time ---

    def _time(self, block: RecordBlock, column: TimeColumn, judge: _Judge) -> pl.Series:
        values = _values(block, column.column)
        judge.refuse(values.is_null(), column.column, "is missing")
        if values.dtype.is_temporal():
            time = self._native_time(values, column, judge)
        elif column.format != "iso":
            scale = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}[column.format]
            numbers = _integers(values)
            judge.refuse(values.is_not_null() & numbers.is_null(), column.column, "is not a whole number")
            far = (numbers > _MAX_INTEGER // scale) | (numbers < -(_MAX_INTEGER // scale))
            judge.refuse(far, column.column, "is out of range")
            time = (numbers.set(far.fill_null(False), 0) * scale).cast(pl.Datetime("us", "UTC"))
        else:
            time = _iso_time(values, column, judge)
        early, late = time < EARLIEST, time > self._now + AHEAD
        judge.refuse(early, column.column, f"lies before {EARLIEST.year}")
        judge.refuse(late, column.column, "lies in the future")
        return time.alias("time")

    def _native_time(self, values: pl.Series, column: TimeColumn, judge: _Judge) -> pl.Series:
        time = values.cast(pl.Datetime("us", getattr(values.dtype, "time_zone", None)))
        if getattr(values.dtype, "time_zone", None) is not None:
            return time.dt.convert_time_zone("UTC")
        if column.zone is None:
            judge.refuse(time.is_not_null(), column.column, _NO_ZONE)
            return time.dt.replace_time_zone("UTC")
        return _zoned(time, column, judge)

    # --- what happened ---

    def _event_type(self, block: RecordBlock, judge: _Judge) -> pl.Series:
        column = self._mapping.event_type
        kind = _texts(block, column.column)
        if column.otherwise is not None:
            kind = kind.zip_with(kind.is_not_null(), _texts(block, column.otherwise))
        judge.refuse(kind.is_null(), column.column, "is missing")
        if column.others == "reject":
            known = kind.is_in([*column.values, *column.values.values()])
            judge.refuse(kind.is_not_null() & ~known, column.column, "is no event that the mapping knows")
        if column.values:
            kind = kind.replace(column.values)
        judge.refuse(kind.str.len_chars() > MAX_EVENT_TYPE_LENGTH, column.column, _longer(MAX_EVENT_TYPE_LENGTH))
        return kind.alias("event_type")

    # --- who ---

    def _user(self, block: RecordBlock, column: KeyColumn | None, judge: _Judge) -> pl.Series:
        if column is None:
            return pl.Series("user_id", [None] * judge.rows, dtype=pl.Int64)
        if column.type == "integer":
            values = _either(block, column)
            numbers = _integers(values)
            judge.refuse(values.is_not_null() & numbers.is_null(), column.column, "is not a whole number")
            judge.refuse(numbers < 0, column.column, "is negative")
            return numbers.alias("user_id")
        words = _either(block, column).cast(pl.String)
        hashes = {
            word: HASHED_USERS_FROM | (int.from_bytes(self._hash("user", word)[:8], "big") & (HASHED_USERS_FROM - 1))
            for word in words.drop_nulls().unique().to_list()
        }
        return words.replace_strict(hashes, return_dtype=pl.Int64, default=None).alias("user_id")

    def _hash(self, what: str, word: str) -> bytes:
        return hashlib.sha256(f"{what}/{NAMESPACE}/{self._tenant_id}/{word}".encode()).digest()

    def _key_uuid(self, block: RecordBlock, column: KeyColumn | None, what: str, judge: _Judge) -> pl.Series:
        """Return UUIDs of 16 bytes."""
        if column is None:
            return pl.Series(what, [None] * judge.rows, dtype=pl.Binary)
        values = _either(block, column)
        if values.dtype == pl.Binary:
            judge.refuse(values.bin.size() != 16, column.column, "is not a UUID")
            return values
        words = values.cast(pl.String)
        if column.type == "uuid":
            judge.refuse(words.is_not_null() & ~words.str.contains(_UUID), column.column, "is not a UUID")
            return _decoded(words)
        if column.within is not None:
            words = words + "/" + _texts(block, column.within).fill_null("")
        return self._hashed_uuids(words, what)

    def _hashed_uuids(self, words: pl.Series, what: str) -> pl.Series:
        """Return the UUIDs that words are, and of other words UUIDs by a hash (version 8)."""
        own = words.str.contains(_UUID)
        others = words.filter(~own & words.is_not_null()).unique().to_list()
        hashes = {word: UUID(bytes=_versioned(self._hash(what, word)[:16])).hex for word in others}
        return _decoded(words.replace(hashes)) if hashes else _decoded(words)

    def _event_ids(self, block: RecordBlock, column: EventIdColumn, judge: _Judge) -> pl.Series | None:
        """Return the events' own ids, None where the mapping says that they have none."""
        if column.column is None:
            return None
        words = _texts(block, column.column)
        judge.refuse(words.is_null(), column.column, "is missing")
        return self._hashed_uuids(words, "event")

    def _derived_ids(
        self, frame: pl.DataFrame, session: pl.Series, lines: npt.NDArray[np.int64]
    ) -> pa.FixedSizeBinaryArray:
        """Return UUIDs (version 8): of the file and the line, or of all that the event says."""
        if self._mapping.event_id.source == "line":
            matrix = np.empty((len(lines), 16), dtype=np.uint8)
            matrix[:, :8] = np.frombuffer(self._line_ids, dtype=np.uint8)
            matrix[:, 8:] = lines.astype(">u8").view(np.uint8).reshape(-1, 8)
            matrix[:, 6] = (matrix[:, 6] & 0x0F) | 0x80
            matrix[:, 8] |= 0x80
            return uuid_column(matrix)
        prefix = f"content/{NAMESPACE}/{self._tenant_id}".encode()
        rows = zip(*(frame[name].cast(pl.String) for name in frame.columns), session, strict=True)
        digests = b"".join(
            _versioned(hashlib.blake2b(prefix + repr(row).encode(), digest_size=16).digest()) for row in rows
        )
        return uuid_column(np.frombuffer(digests, dtype=np.uint8).reshape(-1, 16))


_TEXTS = ("page_url", "referrer", "device_type", "country")
_LONGEST: Mapping[str, int] = {
    "page_url": MAX_URL_LENGTH,
    "referrer": MAX_URL_LENGTH,
    "device_type": MAX_DEVICE_TYPE_LENGTH,
    "country": 2,
}
_NO_ZONE = "has no time zone: say in the mapping which is meant (`zone`)"


def _longer(length: int) -> str:
    return f"is longer than {length} characters"


def _versioned(digest: bytes) -> bytes:
    """Return 16 bytes with the version and variant of a UUID whose content is the application's (RFC 9562)."""
    value = bytearray(digest)
    value[6] = (value[6] & 0x0F) | 0x80
    value[8] = (value[8] & 0x3F) | 0x80
    return bytes(value)


def _fixed(values: pl.Series) -> pa.Array:
    return values.to_arrow().cast(pa.binary()).cast(pa.binary(16))


def _decoded(words: pl.Series) -> pl.Series:
    return words.str.replace_all("-", "", literal=True).str.decode("hex", strict=False)


def _values(block: RecordBlock, column: str) -> pl.Series:
    """Return a column's values; all missing where the file has no such column."""
    found = block.columns.get(column)
    if found is None:
        return pl.Series(column, [None] * len(block.lines), dtype=pl.String)
    if found.dtype == pl.String:
        stripped = found.str.strip_chars(" \t\r")
        return stripped.set(stripped == "", None)
    return found


def _texts(block: RecordBlock, column: str) -> pl.Series:
    values = _values(block, column)
    return values if values.dtype == pl.String else values.cast(pl.String)


def _either(block: RecordBlock, column: KeyColumn) -> pl.Series:
    values = _values(block, column.column)
    if column.otherwise is None:
        return values
    return values.cast(pl.String).zip_with(values.is_not_null(), _texts(block, column.otherwise))


def _integers(values: pl.Series) -> pl.Series:
    """Return whole numbers, NULL where a value is none."""
    if values.dtype.is_integer():
        return values.cast(pl.Int64, strict=False)
    if values.dtype.is_float():
        whole = values.cast(pl.Int64, strict=False)
        return whole.set((whole.cast(pl.Float64) != values).fill_null(False), None)
    words = values.cast(pl.String)
    plain = words.cast(pl.Int64, strict=False)
    odd = words.is_not_null() & plain.is_null()
    if odd.any():
        mended = words.set(~words.str.contains(_INTEGER).fill_null(False), None).str.replace(r"\.0+$", "")
        plain = mended.cast(pl.Int64, strict=False)
    return plain


def _zoned(time: pl.Series, column: TimeColumn, judge: _Judge) -> pl.Series:
    """Return local times of the mapping's zone as instants."""
    zone = column.zone or "UTC"
    if zone == "UTC":
        return time.dt.replace_time_zone("UTC")
    frame = time.to_frame("t")
    instants = frame.select(
        pl.col("t").dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
    )["t"]
    judge.refuse(
        time.is_not_null() & instants.is_null(), column.column, f"is twice or never in {zone}, when clocks are changed"
    )
    return instants


def _iso_time(values: pl.Series, column: TimeColumn, judge: _Judge) -> pl.Series:
    words = values.cast(pl.String)
    known = words.drop_nulls()
    # The whole block in the form that most files have, recognised by what follows the seconds.
    tails = known.str.slice(19).unique().to_list() if len(known) else []
    utc = len(tails) == 1 and tails[0] in (" UTC", "UTC", "Z", "+00:00", " +0000")
    if utc:
        heads = words.str.slice(0, 19).str.replace("T", " ", literal=True)
        time = heads.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
        if time.null_count() == words.null_count():
            return time.dt.replace_time_zone("UTC")
    mended = (
        words.str.replace(r"\s*(?:UTC|GMT|[Zz])$", "+00:00")
        .str.replace(r"\s+([+-][0-9]{2}:?[0-9]{2})$", "$1")
        .str.replace(r"([0-9:.][+-][0-9]{2})$", "${1}:00")
        .str.replace(r"([+-][0-9]{2})([0-9]{2})$", "$1:$2")
        .str.replace("T", " ", literal=True)
        .str.replace(r"^(\S+ [0-9]{2}:[0-9]{2})([+-][0-9:]*$|$)", "$1:00$2")
    )
    clock = mended.str.contains(_CLOCK + "(?:" + _ZONE[:-1] + ")?$")
    mended = mended.set(~clock.fill_null(False), None)
    zoned = mended.str.contains(_ZONE).fill_null(False)
    instants = mended.set(~zoned, None).str.to_datetime(
        "%Y-%m-%d %H:%M:%S%.f%:z", time_unit="us", time_zone="UTC", strict=False
    )
    naive = mended.set(zoned, None).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    judge.refuse(
        words.is_not_null() & instants.is_null() & naive.is_null(),
        column.column,
        "is no time such as 2026-03-01T09:30:00Z",
    )
    if column.zone is None:
        judge.refuse(naive.is_not_null(), column.column, _NO_ZONE)
        return instants
    return instants.zip_with(instants.is_not_null(), _zoned(naive, column, judge)) if naive.count() else instants


def _text_column(block: RecordBlock, name: str, column: TextColumn | None, judge: _Judge) -> pl.Series:
    if column is None:
        return pl.Series(name, [None] * judge.rows, dtype=pl.String)
    words = _texts(block, column.column)
    if column.values:
        if column.others != "keep":
            known = words.is_in([*column.values, *column.values.values()])
            if column.others == "reject":
                judge.refuse(words.is_not_null() & ~known, column.column, "is no word that the mapping knows")
            words = words.set((~known).fill_null(False), None)
        words = words.replace(column.values)
    if name == "country":
        words = words.str.to_uppercase()
        bad = ~words.str.contains("^[A-Z]{2}$")
        if column.others == "drop":
            words = words.set(bad.fill_null(False), None)
        judge.refuse(bad, column.column, "is no country code of two letters")
    elif name == "device_type":
        words = words.str.to_lowercase()
    judge.refuse(words.str.len_chars() > _LONGEST[name], column.column, _longer(_LONGEST[name]))
    return words.alias(name)


# --- properties -----------------------------------------------------------------------------------------------------


def _escaped(words: pl.Series) -> pl.Series:
    """Return texts as JSON strings, without the quotes around them."""
    words = words.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    if words.str.contains("[\x00-\x1f]").any():
        for code in range(1, 0x20):
            words = words.str.replace_all(chr(code), f"\\u{code:04x}", literal=True)
    return words


def _member(block: RecordBlock, name: str, wanted: Property, kind: pl.Series, judge: _Judge) -> pl.Series:
    """Return ``"name": value`` of each record that has a value, else NULL."""
    rows = len(block.lines)
    if wanted.column is None:
        values = pl.Series(name, [_quoted(wanted.constant or "")]).new_from_index(0, rows)
        return _named(name, _only_when(values, wanted.when, kind))
    source = _values(block, wanted.column)
    words = _only_when(source.cast(pl.String), wanted.when, kind)
    if wanted.type == "integer":
        numbers = _integers(source)
        judge.refuse(words.is_not_null() & numbers.is_null(), wanted.column, "is not a whole number")
        words = numbers.cast(pl.String).set(words.is_null(), None)
    elif wanted.type == "number":
        words = _numbers(words, wanted.column, judge)
    elif wanted.type == "boolean":
        low = words.str.to_lowercase()
        judge.refuse(words.is_not_null() & ~low.is_in([*_TRUE, *_FALSE]), wanted.column, "is neither true nor false")
        words = low.replace(dict.fromkeys(_TRUE, "true") | dict.fromkeys(_FALSE, "false"))
    elif wanted.type == "text":
        judge.refuse(words.str.len_chars() > MAX_TEXT_LENGTH, wanted.column, _longer(MAX_TEXT_LENGTH))
        words = pl.select(pl.format('"{}"', pl.lit(_escaped(words)))).to_series()
    else:
        judge.refuse(~words.str.contains(r"^[\[{]"), wanted.column, "is neither an object nor a list")
    return _named(name, words)


def _numbers(words: pl.Series, column: str, judge: _Judge) -> pl.Series:
    plain = words.str.contains(_JSON_NUMBER)
    if not (~plain).fill_null(False).any():
        return words
    # Written otherwise (+1, .5, 1e3): as a double says it, if it is a finite one.
    doubles = words.cast(pl.Float64, strict=False)
    judge.refuse(words.is_not_null() & (doubles.is_null() | ~doubles.is_finite()), column, "is not a number")
    short = pl.Series(words.name, [None if each is None else repr(each) for each in doubles.to_list()], dtype=pl.String)
    return words.zip_with(plain.fill_null(False), short)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _only_when(words: pl.Series, when: Sequence[str], kind: pl.Series) -> pl.Series:
    return words.set(~kind.is_in(list(when)).fill_null(False), None) if when else words


def _named(name: str, words: pl.Series) -> pl.Series:
    if words.null_count() == len(words):
        return pl.Series(name, [None] * len(words), dtype=pl.String)
    return pl.select((pl.lit(f"{_quoted(name)}: ") + pl.lit(words)).alias(name)).to_series()


def _properties(block: RecordBlock, mapping: EventMapping, kind: pl.Series, judge: _Judge) -> pl.Series:
    members: list[pl.Series] = []
    if mapping.properties_from is not None:
        words = _texts(block, mapping.properties_from)
        wrong = words.is_not_null() & ~words.str.contains(r"^\{")
        # An empty list of {key, value} is nothing to take members from.
        judge.refuse(wrong & (words != "[]"), mapping.properties_from, "is no object")
        inner = words.set((wrong | (words == "{}")).fill_null(False), None)
        # Of two members with one name the last counts, in JSON as PostgreSQL keeps it: those named by the mapping.
        members.append(inner.str.slice(1).str.head(-1))
    members += [_member(block, name, wanted, kind, judge) for name, wanted in mapping.properties.items()]
    if not members:
        return pl.Series("properties", ["{}"] * judge.rows, dtype=pl.String)
    frame = pl.DataFrame([series.alias(str(index)) for index, series in enumerate(members)])
    joined: Any = frame.select(
        (pl.lit("{") + pl.concat_str(pl.all(), separator=", ", ignore_nulls=True) + pl.lit("}")).alias("properties")
    )["properties"]
    judge.refuse(
        joined.str.len_bytes() > MAX_PROPERTIES_BYTES, None, f"has properties of more than {MAX_PROPERTIES_BYTES} bytes"
    )
    return joined  # type: ignore[no-any-return]
