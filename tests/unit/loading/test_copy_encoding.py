"""The binary COPY format, checked by an independent decoder of its rows."""

import json
import struct
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.loading.copy_encoding import ColumnEncodingError, TableColumn, encode

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def fields_of(payload: bytes) -> list[list[bytes | None]]:
    """Split rows of the format, as the documentation of COPY describes it, into their fields."""
    rows, at = [], 0
    while at < len(payload):
        (count,) = struct.unpack_from(">h", payload, at)
        at += 2
        row: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", payload, at)
            at += 4
            row.append(None if length < 0 else payload[at : at + length])
            at += max(length, 0)
        rows.append(row)
    return rows


def numeric(field: bytes) -> Decimal:
    digits, weight, sign, scale = struct.unpack_from(">hhHh", field)
    groups = struct.unpack_from(f">{digits}h", field, 8)
    value = Decimal(0)
    for place, group in enumerate(groups):
        value += Decimal(group) * Decimal(10_000) ** (weight - place)
    return Decimal(round(-value if sign == 0x4000 else value, scale))


def encoded(kind: str, values: list[Any], arrow: pa.DataType, *, nullable: bool = True) -> list[bytes | None]:
    table = pa.table({"column": pa.array(values, arrow)})
    payload = b"".join(bytes(buffer) for buffer in encode([TableColumn("column", kind, nullable)], table))
    return [row[0] for row in fields_of(payload)]


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | strategy, max_size=30)


@settings(deadline=None)
@given(optional(st.integers(-(2**63), 2**63 - 1)))
def test_whole_numbers_are_sent_as_they_are(values: list[int | None]) -> None:
    sent = encoded("int8", values, pa.int64())
    assert [None if field is None else struct.unpack(">q", field)[0] for field in sent] == values


@settings(deadline=None)
@given(optional(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"))))
def test_texts_are_sent_as_they_are_dictionary_or_not(values: list[str | None]) -> None:
    sent = encoded("text", values, pa.string())
    assert [None if field is None else field.decode() for field in sent] == values
    assert encoded("text", values, pa.dictionary(pa.int32(), pa.string())) == sent
    versioned = encoded("jsonb", values, pa.string())
    assert [None if field is None else (field[0], field[1:].decode()) for field in versioned] == [
        None if value is None else (1, value) for value in values
    ]


@settings(deadline=None)
@given(optional(st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False)))
def test_amounts_are_sent_exactly(values: list[Decimal | None]) -> None:
    sent = encoded("numeric", values, pa.decimal128(14, 2))
    assert [None if field is None else numeric(field) for field in sent] == values


@settings(deadline=None)
@given(optional(st.datetimes(timezones=st.just(UTC))), optional(st.dates()), optional(st.uuids()))
def test_times_days_and_uuids_are_sent_as_they_are(
    instants: list[datetime | None], days: list[date | None], ids: list[UUID | None]
) -> None:
    def microseconds(instant: datetime) -> int:
        passed = instant - EPOCH
        return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds

    sent = encoded("timestamptz", instants, pa.timestamp("us", "UTC"))
    assert [None if field is None else struct.unpack(">q", field)[0] for field in sent] == [
        None if instant is None else microseconds(instant) for instant in instants
    ]
    sent = encoded("date", days, pa.date32())
    assert [None if field is None else struct.unpack(">i", field)[0] for field in sent] == [
        None if day is None else (day - date(2000, 1, 1)).days for day in days
    ]
    sent = encoded("uuid", [None if value is None else value.bytes for value in ids], pa.binary(16))
    assert sent == [None if value is None else value.bytes for value in ids]


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.none() | st.text("ab", max_size=3), st.integers(-9, 9)), min_size=1))
def test_columns_of_a_row_stay_together_in_slices_too(rows: list[tuple[bool, str | None, int]]) -> None:
    flags, texts, numbers = zip(*rows, strict=True)
    table = pa.table(
        {
            "flag": pa.array(flags, pa.bool_()),
            "text": pa.array(texts, pa.string()),
            "number": pa.array(numbers, pa.int16()),
        }
    ).slice(len(rows) // 3)
    columns = [
        TableColumn("flag", "bool", False),
        TableColumn("text", "text", True),
        TableColumn("number", "int4", False),
    ]
    sent = fields_of(b"".join(bytes(buffer) for buffer in encode(columns, table)))
    assert sent == [
        [bytes([flag]), None if text is None else text.encode(), struct.pack(">i", number)]
        for flag, text, number in rows[len(rows) // 3 :]
    ]


def test_a_sliced_uuid_and_amount_column_is_read_from_its_own_place() -> None:
    ids = [UUID(int=number) for number in range(5)]
    table = pa.table(
        {
            "id": pa.array([value.bytes for value in ids], pa.binary(16)),
            "amount": pa.array([Decimal(number) for number in range(5)], pa.decimal128(14, 2)),
        }
    ).slice(3)
    columns = [TableColumn("id", "uuid", False), TableColumn("amount", "numeric", False)]
    sent = fields_of(b"".join(bytes(buffer) for buffer in encode(columns, table)))
    assert [(row[0] or b"", numeric(row[1] or b"")) for row in sent] == [
        (ids[3].bytes, Decimal(3)),
        (ids[4].bytes, Decimal(4)),
    ]


@pytest.mark.parametrize(
    ("kind", "values", "arrow", "message"),
    [
        ("int4", [2**31], pa.int64(), r"'column' \(int4\): a value is outside"),
        ("int8", ["1"], pa.string(), "cannot be loaded from Arrow type string"),
        ("timestamptz", [datetime(2026, 1, 1)], pa.timestamp("us"), "without a time zone"),  # noqa: DTZ001 - the mistake
        ("point", ["1"], pa.string(), "'column' is point"),
        ("uuid", [b"short"], pa.binary(), "a value does not fit"),
    ],
)
def test_what_does_not_fit_is_refused_by_column(kind: str, values: list[Any], arrow: pa.DataType, message: str) -> None:
    with pytest.raises(ColumnEncodingError, match=message):
        encoded(kind, values, arrow)


def test_a_null_where_none_is_taken_is_refused_without_any_value() -> None:
    with pytest.raises(ColumnEncodingError, match=r"'column' takes no NULL, and 1 rows") as caught:
        encoded("text", [json.dumps({"secret": 1}), None], pa.string(), nullable=False)
    assert "secret" not in str(caught.value)
