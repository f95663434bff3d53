"""Arrow columns made from numpy without a Python step per value."""

from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# Digits of an amount of money and how many of them stand behind the point.
_MONEY = pa.decimal128(14, 2)


def uuid_column(matrix: npt.NDArray[np.uint8]) -> pa.FixedSizeBinaryArray:
    """Return the rows of an (n, 16) matrix as UUIDs."""
    return pa.Array.from_buffers(pa.binary(16), len(matrix), [None, pa.py_buffer(np.ascontiguousarray(matrix))])


def constant_uuid(value: UUID, rows: int) -> pa.FixedSizeBinaryArray:
    """Return ``rows`` times the same UUID."""
    return pa.Array.from_buffers(pa.binary(16), rows, [None, pa.py_buffer(value.bytes * rows)])


def constant_text(value: str, rows: int) -> pa.DictionaryArray:
    """Return ``rows`` times the same string, stored once."""
    return chosen_text((value,), np.zeros(rows, dtype=np.int64))


def chosen_text(values: tuple[str, ...], index: npt.NDArray[np.int64]) -> pa.DictionaryArray:
    """Return ``values[index]``, each distinct value stored once."""
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32)), pa.array(values, pa.string()))


def money_column(cents: npt.NDArray[np.int64]) -> pa.Decimal128Array:
    """Return hundredths as exact decimals of scale 2; as text, ``1234`` is ``12.34``."""
    words = np.empty((len(cents), 2), dtype="<i8")
    words[:, 0] = cents
    words[:, 1] = np.where(cents < 0, -1, 0)
    return pa.Array.from_buffers(_MONEY, len(cents), [None, pa.py_buffer(words)])
