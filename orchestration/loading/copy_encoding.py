"""Arrow columns as PostgreSQL's binary COPY format, without a Python step per row.

Every column becomes one Arrow binary array whose values carry their own length word, exactly as the format wants
them; one element-wise join in Arrow's C++ then lays out all rows behind each other, and the data buffer of the
result is what goes over the wire. The format: https://www.postgresql.org/docs/15/sql-copy.html#id-1.9.3.55.9.4
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bytes = npt.NDArray[np.uint8]

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TRAILER = b"\xff\xff"

# Rows encoded at once: about 6 MB of events, so that encoding and sending overlap and memory stays flat; larger
# batches measured no faster.
ENCODE_ROWS = 20_000

# Microseconds and days between 1970-01-01 (Arrow) and 2000-01-01 (PostgreSQL).
_EPOCH_MICROSECONDS = 946_684_800_000_000
_EPOCH_DAYS = 10_957

_NULL_LENGTH = np.frombuffer(b"\xff\xff\xff\xff", dtype=np.uint8)
# Base 10,000 digits sent for a numeric: 12 digits before the point and 4 behind it.
_NUMERIC_DIGITS = 4
_NUMERIC_LIMIT = 10**12


class ColumnEncodingError(ValueError):
    """A column's Arrow type or values do not fit the table's column; names both, never a value."""


@dataclass(frozen=True)
class TableColumn:
    """A column of the target table.

    Attributes:
        name: its name.
        type_name: its type as ``pg_type.typname`` spells it: ``int8``, ``timestamptz``, ``jsonb`` …
        nullable: whether it takes NULL.
        required: whether it must be given: it takes no NULL and has no default.
    """

    name: str
    type_name: str
    nullable: bool
    required: bool = False


def _big_endian(values: npt.NDArray[Any], dtype: str) -> Bytes:
    """Return ``values`` as an (n, width) matrix of big-endian bytes."""
    swapped = np.ascontiguousarray(values.astype(dtype))
    return swapped.view(np.uint8).reshape(len(values), swapped.dtype.itemsize)


def _with_length(payload: Bytes) -> Bytes:
    """Return the (n, width) payload with its length word before each row."""
    rows, width = payload.shape
    matrix = np.empty((rows, 4 + width), dtype=np.uint8)
    matrix[:, :4] = np.frombuffer(width.to_bytes(4, "big"), dtype=np.uint8)
    matrix[:, 4:] = payload
    return matrix


def _binary_array(matrix: Bytes, valid: npt.NDArray[np.bool_] | None = None) -> pa.BinaryArray:
    """Return one binary value per row of ``matrix``; a row that is not valid becomes the NULL length word."""
    rows, width = matrix.shape
    if valid is None:
        offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
        data = np.ascontiguousarray(matrix)
    else:
        matrix = matrix.copy()
        matrix[~valid, :4] = _NULL_LENGTH
        keep = np.ones((rows, width), dtype=np.bool_)
        keep[~valid, 4:] = False
        data = matrix[keep]
        offsets = np.zeros(rows + 1, dtype=np.int32)
        np.cumsum(np.where(valid, width, 4), out=offsets[1:])
    return pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def _valid(column: pa.Array) -> npt.NDArray[np.bool_] | None:
    if column.null_count == 0:
        return None
    return cast("npt.NDArray[np.bool_]", column.is_valid().to_numpy(zero_copy_only=False))


def _numbers(column: pa.Array) -> npt.NDArray[Any]:
    """Return the column's values as numpy, with something harmless in the place of NULL."""
    if column.null_count:
        column = column.fill_null(0)
    return cast("npt.NDArray[Any]", column.to_numpy(zero_copy_only=False))


def _integer(dtype: str, column: pa.Array) -> Bytes:
    values = _numbers(column)
    limits = np.iinfo(np.dtype(dtype))
    if len(values) and (values.min() < limits.min or values.max() > limits.max):
        raise ColumnEncodingError(f"a value is outside {limits.min} … {limits.max}")
    return _big_endian(values, dtype)


def _float(column: pa.Array) -> Bytes:
    return _big_endian(_numbers(column.cast(pa.float64())), ">f8")


def _boolean(column: pa.Array) -> Bytes:
    return _numbers(column.cast(pa.uint8())).astype(np.uint8).reshape(len(column), 1)


def _timestamp(column: pa.Array) -> Bytes:
    if column.type.tz is None:
        raise ColumnEncodingError("a timestamp without a time zone is ambiguous: give it one (UTC)")
    microseconds = _numbers(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()))
    return _big_endian(microseconds - _EPOCH_MICROSECONDS, ">i8")


def _date(column: pa.Array) -> Bytes:
    return _big_endian(_numbers(column.cast(pa.int32())) - _EPOCH_DAYS, ">i4")


def _uuid(column: pa.Array) -> Bytes:
    if not pa.types.is_fixed_size_binary(column.type):
        column = column.cast(pa.binary(16))
    if column.null_count:
        column = column.fill_null(bytes(16))
    start = column.offset * 16
    data = np.frombuffer(column.buffers()[1], dtype=np.uint8)[start : start + 16 * len(column)]
    return data.reshape(len(column), 16)


def _numeric(column: pa.Array) -> Bytes:
    """Encode decimals of up to 12 digits before and 4 behind the point; the server strips leading zeros."""
    scale = column.type.scale
    if not 0 <= scale <= 4:
        raise ColumnEncodingError(f"a decimal of scale {scale} is not supported: 0 to 4 digits behind the point are")
    if column.null_count:
        column = column.fill_null(0)
    words = np.frombuffer(column.buffers()[1], dtype="<i8")[2 * column.offset : 2 * (column.offset + len(column))]
    unscaled, high = words[0::2], words[1::2]
    if len(unscaled) and (
        np.any(high != np.where(unscaled < 0, -1, 0)) or np.abs(unscaled).max() >= _NUMERIC_LIMIT * 10**scale
    ):
        raise ColumnEncodingError(f"a decimal is not below {_NUMERIC_LIMIT}")
    magnitude = np.abs(unscaled)
    whole, fraction = np.divmod(magnitude, 10**scale)
    words16 = np.empty((len(unscaled), 4 + _NUMERIC_DIGITS), dtype=np.int64)
    words16[:, 0] = _NUMERIC_DIGITS
    words16[:, 1] = _NUMERIC_DIGITS - 2  # weight of the first digit: three groups before the point
    words16[:, 2] = np.where(unscaled < 0, 0x4000, 0)
    words16[:, 3] = scale
    for position in range(3):
        words16[:, 4 + position] = whole // 10_000 ** (2 - position) % 10_000
    words16[:, 7] = fraction * 10 ** (4 - scale)
    return _big_endian(words16.astype(np.int16).reshape(-1), ">i2").reshape(len(unscaled), -1)


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_uuid(kind: pa.DataType) -> bool:
    return bool((pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16) or pa.types.is_binary(kind))


# Type of the table's column -> what Arrow type it takes, and how a fixed-width payload is made from it.
_FIXED: dict[str, tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], Bytes]]] = {
    "int2": (pa.types.is_integer, partial(_integer, ">i2")),
    "int4": (pa.types.is_integer, partial(_integer, ">i4")),
    "int8": (pa.types.is_integer, partial(_integer, ">i8")),
    "float8": (pa.types.is_floating, _float),
    "bool": (pa.types.is_boolean, _boolean),
    "timestamptz": (pa.types.is_timestamp, _timestamp),
    "date": (pa.types.is_date32, _date),
    "uuid": (_is_uuid, _uuid),
    "numeric": (pa.types.is_decimal128, _numeric),
}
# Types sent as text, with the version byte that some of them want before it.
_TEXT: dict[str, bytes] = {
    "text": b"",
    "varchar": b"",
    "bpchar": b"",
    "json": b"",
    "jsonb": b"\x01",
    "ltree": b"\x01",
}


def _text_prefixes(values: pa.Array, version: bytes) -> pa.BinaryArray:
    """Return the length word (and version byte) of every string; NULL gets the NULL length word."""
    lengths = _numbers(pc.binary_length(values).cast(pa.int32())) + len(version)
    prefix = np.empty((len(values), 4 + len(version)), dtype=np.uint8)
    prefix[:, :4] = _big_endian(lengths, ">i4")
    if version:
        prefix[:, 4:] = np.frombuffer(version, dtype=np.uint8)
    return _binary_array(prefix, _valid(values))


def _join(pieces: Sequence[pa.Array]) -> pa.BinaryArray:
    if len(pieces) == 1:
        return pieces[0]
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.binary()))


def _text(column: pa.Array, version: bytes) -> list[pa.BinaryArray]:
    """Return the pieces of a text column; a dictionary is encoded once per distinct value."""
    if pa.types.is_dictionary(column.type):
        distinct = column.dictionary.cast(pa.string())
        encoded = _join([_text_prefixes(distinct, version), distinct.cast(pa.binary())])
        values = encoded.take(column.indices)
        return [values.fill_null(_NULL_LENGTH.tobytes()) if values.null_count else values]
    plain = column.cast(pa.string())
    return [_text_prefixes(plain, version), plain.cast(pa.binary()).fill_null(b"")]


def _is_text_input(kind: pa.DataType) -> bool:
    return _is_string(kind) or (pa.types.is_dictionary(kind) and _is_string(kind.value_type))


def check_schema(columns: Sequence[TableColumn], schema: pa.Schema) -> None:
    """Fail unless every field of ``schema`` can be sent to the table's column of the same position.

    Raises:
        ColumnEncodingError: names the column, its type and the Arrow type.
    """
    for column, field in zip(columns, schema, strict=True):
        fixed = _FIXED.get(column.type_name)
        fits = fixed[0](field.type) if fixed else column.type_name in _TEXT and _is_text_input(field.type)
        if not fits:
            raise ColumnEncodingError(
                f"column {column.name!r} is {column.type_name} and cannot be loaded from Arrow type {field.type}"
            )


def _column(column: TableColumn, values: pa.Array) -> Bytes | list[pa.BinaryArray]:
    """Return a matrix for a fixed-width column without NULL, else the pieces to be joined."""
    if values.null_count and not column.nullable:
        raise ColumnEncodingError(f"column {column.name!r} takes no NULL, and {values.null_count} rows have one")
    try:
        if column.type_name in _TEXT:
            return _text(values, _TEXT[column.type_name])
        matrix = _with_length(_FIXED[column.type_name][1](values))
    except ColumnEncodingError as error:
        raise ColumnEncodingError(f"column {column.name!r} ({column.type_name}): {error}") from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # Arrow's own message quotes the value, which may be somebody's.
        raise ColumnEncodingError(
            f"column {column.name!r} ({column.type_name}): a value does not fit its type"
        ) from None
    valid = _valid(values)
    return matrix if valid is None else [_binary_array(matrix, valid)]


def _encode_batch(columns: Sequence[TableColumn], batch: pa.RecordBatch) -> pa.Buffer:
    rows = batch.num_rows
    count = np.frombuffer(len(columns).to_bytes(2, "big"), dtype=np.uint8)
    pending: list[Bytes] = [np.broadcast_to(count, (rows, 2))]
    pieces: list[pa.BinaryArray] = []
    for column, values in zip(columns, batch.columns, strict=True):
        encoded = _column(column, values)
        if isinstance(encoded, list):
            if pending:
                pieces.append(_binary_array(np.hstack(pending)))
                pending = []
            pieces.extend(encoded)
        else:
            pending.append(encoded)
    if pending:
        pieces.append(_binary_array(np.hstack(pending)))
    joined = _join(pieces)
    offsets = np.frombuffer(joined.buffers()[1], dtype=np.int32)
    return joined.buffers()[2].slice(offsets[0], offsets[rows] - offsets[0])


def encode(columns: Sequence[TableColumn], table: pa.Table) -> Iterator[pa.Buffer]:
    """Yield ``table`` as rows of the binary COPY format, without header and trailer, a few MB at a time.

    Args:
        columns: the table's columns, in the order of the Arrow table's.
        table: rows to send; strings may be dictionary-encoded, UUIDs are fixed-size binary of 16 bytes.

    Raises:
        ColumnEncodingError: a type or value does not fit; names the column, never the value.
    """
    check_schema(columns, table.schema)
    for batch in table.to_batches(max_chunksize=ENCODE_ROWS):
        if batch.num_rows:
            yield _encode_batch(columns, batch)
