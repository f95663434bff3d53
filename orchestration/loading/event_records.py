"""The records of a file of events, block by block, each line accounted for.

A line that is no record of its format (too few fields, no JSON, no UTF-8, a NUL byte, too long) is a reject with its
number; the lines around it are not touched by it. Blocks have a fixed size of bytes, so that memory does not grow with
the file, and end where a record ends, so that an import can go on from any of them.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from orchestration.loading.copy_loader import Reject
from orchestration.loading.event_file import EventFile
from orchestration.loading.import_errors import ImportFileError

# Bytes of the content read at once: about 65,000 lines of REES46, with everything made of them about 150 MB.
BLOCK_BYTES = 8 * 1024**2
# Rows of a Parquet file at once.
BLOCK_ROWS = 100_000
# A longer line is no event. It is skipped without being held.
MAX_LINE_BYTES = 1024**2
# Lines that a quoted field may go over. A quote that is opened and not closed must not swallow the file.
MAX_QUOTED_LINES = 100
# Nested objects and lists of a line. A line has some; what reads properties recurses.
MAX_DEPTH = 32

_NEWLINE = 10
_UTF8_MARK = b"\xef\xbb\xbf"

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Position:
    """Where a block begins: bytes of the content (rows of a Parquet file), and the number of its first line."""

    offset: int
    line: int


START = Position(0, 1)


@dataclass
class RecordBlock:
    """Some records.

    Attributes:
        lines: number of each record's first line, from 1; of a Parquet file the row's.
        columns: column or path -> its values, text or as Parquet has them; NULL where there is nothing.
        rejects: lines that are no records.
        end: where the next block begins.
    """

    lines: _Ints
    columns: dict[str, pl.Series]
    rejects: list[Reject]
    end: Position

    @property
    def rows_read(self) -> int:
        return len(self.lines) + len(self.rejects)


@dataclass(frozen=True)
class _Lines:
    """Whole lines, some of which are rejected already."""

    data: bytes
    starts: _Ints
    ends: _Ints
    first: int
    rejects: list[Reject]
    end: Position

    def text(self, index: int) -> bytes:
        line = self.data[self.starts[index] : self.ends[index]]
        return line[:-1] if line.endswith(b"\r") else line


def _too_long(line: int) -> Reject:
    return Reject(line, None, f"is longer than {MAX_LINE_BYTES} bytes")


def _rest_after_line(stream: IO[bytes], skipped: int) -> tuple[int, bytes]:
    """Read to the end of a line that is not kept; return its length with what was skipped, and what follows it."""
    while piece := stream.read(MAX_LINE_BYTES):
        end = piece.find(b"\n")
        if end >= 0:
            return skipped + end + 1, piece[end + 1 :]
        skipped += len(piece)
    return skipped, b""


def _blocks_of_lines(
    stream: IO[bytes], begin: Position, block_bytes: int, whole: Callable[[bytes], int] | None = None
) -> Iterator[_Lines]:
    """Yield the lines from ``begin`` on.

    Args:
        stream: the content, at ``begin``.
        begin: where that is.
        block_bytes: bytes read at once.
        whole: returns how much of some lines are whole records, when more is to come; all of it unless given.
    """
    offset, line, carried = begin.offset, begin.line, b""
    while True:
        piece = stream.read(max(block_bytes - len(carried), MAX_LINE_BYTES + 1))
        data = carried + piece
        if not data:
            return
        if piece:
            cut = data.rfind(b"\n") + 1
            if not cut and len(data) > MAX_LINE_BYTES:
                # The beginning of a line that is too long; nothing else is in the block.
                length, carried = _rest_after_line(stream, len(data))
                offset += length
                line += 1
                none: _Ints = np.zeros(0, dtype=np.int64)
                yield _Lines(b"", none, none, line - 1, [_too_long(line - 1)], Position(offset, line))
                continue
            if whole is not None and cut:
                cut = whole(data[:cut]) or cut
            data, carried = data[:cut], data[cut:]
            if not data:
                continue
        else:
            carried = b""
        yield _split(data, offset, line)
        offset += len(data)
        line += data.count(b"\n") + (0 if data.endswith(b"\n") else 1)
        if not piece:
            return


def _split(data: bytes, offset: int, line: int) -> _Lines:
    ends: _Ints = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE).astype(np.int64)
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate(([0], ends[:-1] + 1)).astype(np.int64)
    return _Lines(data, starts, ends, line, [], Position(offset + len(data), line + len(ends)))


def _unreadable(lines: _Lines) -> dict[int, str]:
    """Return what is wrong with lines as text, by their index: empty, too long, with NUL bytes, no UTF-8."""
    wrong: dict[int, str] = {}
    lengths = lines.ends - lines.starts
    for index in np.flatnonzero(lengths > MAX_LINE_BYTES).tolist():
        wrong[index] = f"is longer than {MAX_LINE_BYTES} bytes"
    for index in np.flatnonzero(lengths <= 1).tolist():
        if not lines.text(index):
            wrong.setdefault(index, "is empty")
    if b"\x00" in lines.data:
        places = np.flatnonzero(np.frombuffer(lines.data, dtype=np.uint8) == 0)
        for index in np.unique(np.searchsorted(lines.starts, places, side="right") - 1).tolist():
            wrong.setdefault(index, "holds a NUL byte")
    try:
        lines.data.decode("utf-8")
    except UnicodeDecodeError:
        for index in range(len(lines.starts)):
            text = lines.text(index)
            if not text.isascii():
                try:
                    text.decode("utf-8")
                except UnicodeDecodeError:
                    wrong.setdefault(index, "is not valid UTF-8")
    return wrong


def _rejected(lines: _Lines, wrong: Mapping[int, str]) -> list[Reject]:
    return lines.rejects + [Reject(lines.first + index, None, reason) for index, reason in sorted(wrong.items())]


def top_column(path: str) -> str:
    """Return the column of the file that a path such as ``device.category`` begins with."""
    return path.partition(".")[0].partition("[")[0]


def columns_of(file: EventFile) -> list[str]:
    """Return the columns of a file's header, or the members of its first line's object."""
    if file.format == "parquet":
        return [str(name) for name in ParquetRecords(file, ()).header]
    if file.format == "csv":
        return CsvRecords(file, ",", ()).header
    with file.content() as stream:
        record, _ = _parsed_line(stream.readline(MAX_LINE_BYTES).removeprefix(_UTF8_MARK))
    return list(record or ())


# --- CSV -------------------------------------------------------------------------------------------------------------


def _is_open(line: str, delimiter: str) -> bool:
    """Return whether a quoted field of the line goes on in the next; a quote within a field is a character."""
    quoted = False
    at_start = True
    position = 0
    while position < len(line):
        character = line[position]
        if quoted:
            if character == '"':
                if line[position + 1 : position + 2] == '"':
                    position += 1
                else:
                    quoted = False
        elif character == '"' and at_start:
            quoted = True
        at_start = character == delimiter and not quoted
        position += 1
    return quoted


class CsvRecords:
    """Records of a CSV file (RFC 4180) with a header.

    Args:
        file: the file.
        delimiter: between fields.
        columns: to be read; those that the header has not are left out.
        block_bytes: read at once.

    Raises:
        ImportFileError: there is no header, or a column is in it twice.
    """

    def __init__(self, file: EventFile, delimiter: str, columns: Sequence[str], block_bytes: int = BLOCK_BYTES) -> None:
        self._file, self._delimiter, self._block_bytes = file, delimiter, block_bytes
        with file.content() as stream:
            first = stream.readline(MAX_LINE_BYTES)
        self._begin = Position(len(first), 2)
        try:
            text = first.removeprefix(_UTF8_MARK).decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise ImportFileError(
                f"the first line of {file.path} is not UTF-8: a header of column names is needed"
            ) from None
        self.header = [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]
        if len(self.header) < 2:
            raise ImportFileError(
                f"{file.path} does not begin with a header of columns divided by {delimiter!r}: add one, or say in the "
                "mapping what divides them (`delimiter`)"
            )
        twice = {name for name in self.header if self.header.count(name) > 1}
        if twice:
            raise ImportFileError(f"{file.path} has {len(twice)} columns twice in its header: give each its own name")
        self._columns = [name for name in columns if name in self.header]

    def blocks(self, begin: Position = START) -> Iterator[RecordBlock]:
        """Yield the records from ``begin`` on, which is where a block ended."""
        begin = max(begin, self._begin, key=lambda position: position.offset)
        with self._file.content(begin.offset) as stream:
            for lines in _blocks_of_lines(stream, begin, self._block_bytes, self._whole):
                yield self._records(lines)

    def _whole(self, data: bytes) -> int:
        """Return where the last whole record ends: a field in quotes may go on in the next block."""
        if b'"' not in data:
            return len(data)
        starts = [len(data)]
        while len(starts) <= MAX_QUOTED_LINES and starts[-1] > 0:
            starts.append(data.rfind(b"\n", 0, starts[-1] - 1) + 1)
        starts.reverse()
        opened: int | None = None
        for start, end in pairwise(starts):
            if data.count(b'"', start, end) % 2:
                begin = start if opened is None else opened
                is_open = _is_open(data[begin:end].decode("utf-8", "replace"), self._delimiter)
                opened = begin if is_open else None
        return len(data) if opened is None else opened

    def _records(self, lines: _Lines) -> RecordBlock:
        if not len(lines.starts):
            return self._block(lines, np.zeros(0, dtype=np.int64), {name: [] for name in self._columns}, {})
        wrong = _unreadable(lines)
        if b'"' in lines.data or lines.data.count(b"\r") != lines.data.count(b"\r\n"):
            return self._one_by_one(lines, wrong)
        data = np.frombuffer(lines.data, dtype=np.uint8)
        fields = np.add.reduceat(data == ord(self._delimiter), lines.starts, dtype=np.int64) + 1
        for index in np.flatnonzero(fields != len(self.header)).tolist():
            wrong.setdefault(index, self._miscounted(int(fields[index])))
        kept = np.ones(len(lines.starts), dtype=np.bool_)
        kept[list(wrong)] = False
        text = lines.data
        if wrong:
            text = b"\n".join(lines.text(int(index)) for index in np.flatnonzero(kept)) + b"\n"
        table = self._parsed(text) if kept.any() else None
        columns: Mapping[str, Any] = {name: table[name] if table else [] for name in self._columns}
        return self._block(lines, np.flatnonzero(kept) + lines.first, columns, wrong)

    def _parsed(self, text: bytes) -> pa.Table:
        return pyarrow.csv.read_csv(
            pa.BufferReader(text),
            read_options=pyarrow.csv.ReadOptions(column_names=self.header, block_size=len(text) + 1),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self._delimiter, quote_char=False, ignore_empty_lines=False
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(self.header, pa.string()),
                include_columns=self._columns,
                null_values=[""],
                strings_can_be_null=True,
                check_utf8=False,
            ),
        )

    def _miscounted(self, fields: int) -> str:
        return f"has {fields} fields, {len(self.header)} are expected"

    def _one_by_one(self, lines: _Lines, wrong: dict[int, str]) -> RecordBlock:
        """Read lines of which some have quotes, or a carriage return amid them."""
        rows: list[list[str]] = []
        numbers: list[int] = []
        index = 0
        while index < len(lines.starts):
            if index in wrong:
                index += 1
                continue
            text = lines.text(index).decode("utf-8")
            length = 1
            if '"' in text and text.count('"') % 2 and _is_open(text, self._delimiter):
                length = self._length(lines, index, wrong)
                if not length:
                    wrong[index] = "opens a quote that is not closed"
                    index += 1
                    continue
                text = "\n".join(lines.text(each).decode("utf-8") for each in range(index, index + length))
            row = self._fields(text, strict=length > 1)
            if row is None:
                wrong[index] = "has quotes or carriage returns where none can be"
                index += 1
                continue
            if len(row) != len(self.header):
                # Only this line: what seemed to belong to it may be records of their own.
                wrong[index] = self._miscounted(len(row))
                index += 1
                continue
            for within in range(index + 1, index + length):
                wrong.pop(within, None)
            rows.append(row)
            numbers.append(lines.first + index)
            index += length
        chosen = [self.header.index(name) for name in self._columns]
        columns = {name: [row[at] or None for row in rows] for name, at in zip(self._columns, chosen, strict=True)}
        return self._block(lines, np.array(numbers, dtype=np.int64), columns, wrong)

    def _fields(self, text: str, *, strict: bool) -> list[str] | None:
        """Return a record's fields. Over several lines quotes have to be where they should: they may be a mistake."""
        try:
            lines = [f"{each}\n" for each in text.split("\n")]
            return next(csv.reader(lines, delimiter=self._delimiter, strict=strict))
        except csv.Error:
            return None

    def _length(self, lines: _Lines, index: int, wrong: Mapping[int, str]) -> int:
        """Return over how many lines the record goes that begins here; 0 if its quote is not closed."""
        text = ""
        for length in range(1, min(MAX_QUOTED_LINES, len(lines.starts) - index) + 1):
            reason = wrong.get(index + length - 1)
            if reason is not None and reason != "is empty":
                return 0
            text += lines.text(index + length - 1).decode("utf-8") + "\n"
            if not _is_open(text, self._delimiter):
                return length
        return 0

    def _block(
        self, lines: _Lines, numbers: _Ints, columns: Mapping[str, Any], wrong: Mapping[int, str]
    ) -> RecordBlock:
        series = {
            name: (
                pl.Series(name, values, dtype=pl.String)
                if isinstance(values, list)
                else pl.Series(name, pl.from_arrow(values)).cast(pl.String)
            )
            for name, values in columns.items()
        }
        return RecordBlock(numbers, series, _rejected(lines, wrong), lines.end)


# --- JSON lines and nested rows --------------------------------------------------------------------------------------


def _members(value: Any) -> Any:
    """Return a list of {key, value: {…_value}}, as Google Analytics has it, as an object; anything else as it is."""
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) and "key" in each for each in value):
        return value
    return {each["key"]: _only_value(each.get("value")) for each in value if isinstance(each["key"], str)}


def _only_value(value: Any) -> Any:
    if isinstance(value, dict):
        return next((each for name, each in value.items() if name.endswith("_value") and each is not None), None)
    return value


def _at(record: Any, path: Sequence[str]) -> Any:
    for name in path:
        if name.endswith("]"):
            listed, _, key = name[:-1].partition("[")
            record = _members(record.get(listed)) if isinstance(record, dict) else None
            record = record.get(key) if isinstance(record, dict) else None
        else:
            record = record.get(name) if isinstance(record, dict) else None
        if record is None:
            return None
    return record


def _as_text(value: Any) -> str | None:
    """Return a value as text, an object or list as JSON."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return orjson.dumps(_members(value), default=str).decode()


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level and deepest <= MAX_DEPTH:
        level = [
            member
            for each in level
            for member in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
        deepest += 1
    return deepest


def _paths(columns: Sequence[str]) -> list[tuple[str, list[str]]]:
    return [(name, name.split(".")) for name in columns]


def _picked(records: Sequence[Any], columns: Sequence[str]) -> dict[str, pl.Series]:
    return {
        name: pl.Series(name, [_as_text(_at(record, path)) for record in records], dtype=pl.String)
        for name, path in _paths(columns)
    }


class JsonRecords:
    """Records of a file of JSON lines, one object each."""

    def __init__(self, file: EventFile, columns: Sequence[str], block_bytes: int = BLOCK_BYTES) -> None:
        self._file, self._columns, self._block_bytes = file, list(columns), block_bytes

    def blocks(self, begin: Position = START) -> Iterator[RecordBlock]:
        """Yield the records from ``begin`` on, which is where a block ended."""
        with self._file.content(begin.offset) as stream:
            for lines in _blocks_of_lines(stream, begin, self._block_bytes):
                yield self._records(lines)

    def _records(self, lines: _Lines) -> RecordBlock:
        wrong = _unreadable(lines) if len(lines.starts) else {}
        records: list[Any] = []
        numbers: list[int] = []
        for index in range(len(lines.starts)):
            if index in wrong:
                continue
            text = lines.text(index)
            if lines.first + index == 1:
                text = text.removeprefix(_UTF8_MARK)
            record, reason = _parsed_line(text)
            if reason is not None:
                wrong[index] = reason
            else:
                records.append(record)
                numbers.append(lines.first + index)
        return RecordBlock(
            np.array(numbers, dtype=np.int64), _picked(records, self._columns), _rejected(lines, wrong), lines.end
        )


def _parsed_line(text: bytes) -> tuple[Any, str | None]:
    """Return the object of a line, or what is wrong with it."""
    if b"\\u0000" in text and b"\\u0000" in text.replace(b"\\\\", b""):
        return None, "holds a NUL character"
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None, f"is no JSON, or nested deeper than {MAX_DEPTH}"
    if not isinstance(record, dict):
        return None, "is no JSON object"
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH and _depth(record) > MAX_DEPTH:
        return None, f"is nested deeper than {MAX_DEPTH}"
    return record, None


class ParquetRecords:
    """Rows of a Parquet file; a position is a number of rows.

    Raises:
        ImportFileError: it cannot be read.
    """

    def __init__(self, file: EventFile, columns: Sequence[str]) -> None:
        self._path = file.path
        try:
            self._parquet = pyarrow.parquet.ParquetFile(file.path)
        except (pa.ArrowException, OSError):
            raise ImportFileError(f"{file.path} is no whole Parquet file: get it again") from None
        self.header = self._parquet.schema_arrow.names
        self._columns = [name for name in columns if top_column(name) in self.header]
        self.rows = self._parquet.metadata.num_rows

    def blocks(self, begin: Position = START) -> Iterator[RecordBlock]:
        """Yield the rows from ``begin`` on, which is where a block ended."""
        top = list(dict.fromkeys(top_column(name) for name in self._columns))
        first = 0
        for group in range(self._parquet.num_row_groups):
            rows = self._parquet.metadata.row_group(group).num_rows
            if first + rows > begin.offset:
                yield from self._group(group, first, begin.offset, top)
            first += rows

    def _group(self, group: int, first: int, begin: int, top: list[str]) -> Iterator[RecordBlock]:
        try:
            for batch in self._parquet.iter_batches(BLOCK_ROWS, row_groups=[group], columns=top):
                end = first + batch.num_rows
                if end > begin:
                    rows = batch.slice(max(0, begin - first))
                    numbers = np.arange(end - rows.num_rows, end, dtype=np.int64) + 1
                    yield RecordBlock(numbers, self._values(rows), [], Position(end, end + 1))
                first = end
        except (pa.ArrowException, OSError):
            raise ImportFileError(f"{self._path} is corrupt after row {first}: get it again") from None

    def _values(self, rows: pa.RecordBatch) -> dict[str, pl.Series]:
        found: dict[str, pl.Series] = {}
        nested = [name for name in self._columns if not _is_flat(rows, name)]
        if nested:
            found |= _picked(rows.to_pylist(), nested)
        for name in self._columns:
            if name not in found:
                values = rows.column(name)
                if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
                    values = values.cast(pa.string())
                found[name] = pl.Series(name, pl.from_arrow(values))
        return found


def _is_flat(rows: pa.RecordBatch, name: str) -> bool:
    return name in rows.schema.names and not pa.types.is_nested(rows.schema.field(name).type)
