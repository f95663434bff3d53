"""A file of events as bytes: whether it is whole, what it is by its content, and its content from any position on."""

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from orchestration.loading.event_mapping import Format
from orchestration.loading.import_errors import ImportFileError

_READ_BYTES = 4 * 1024**2
_GZIP_MAGIC = b"\x1f\x8b"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_PARQUET_MAGIC = b"PAR1"

_ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class EventFile:
    """A file that was read once as a whole.

    Attributes:
        path: where it is.
        format: of its content.
        compressed: whether it is gzip.
        digest: SHA-256 of the content, decompressed: a file and its compression are the same file.
        size: bytes of the content.
        lines: line ends in it, and one more if something follows the last; 0 for Parquet.
    """

    path: Path
    format: Format
    compressed: bool
    digest: str
    size: int
    lines: int

    @contextmanager
    def content(self, position: int = 0) -> Iterator[IO[bytes]]:
        """Open the content at a position, in bytes."""
        with open_content(self.path, compressed=self.compressed) as stream:
            stream.seek(position)
            yield stream


@contextmanager
def open_content(path: Path, *, compressed: bool) -> Iterator[IO[bytes]]:
    """Open a file's content, decompressed.

    Raises:
        ImportFileError: also while reading: the file is truncated or corrupt, or has gone.
    """
    try:
        with path.open("rb") as raw:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb")) if compressed else raw
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ImportFileError(f"{path} is truncated or corrupt, its gzip data ends early: get it again") from None
    except FileNotFoundError:
        raise ImportFileError(f"{path} does not exist: name a file") from None
    except IsADirectoryError:
        raise ImportFileError(f"{path} is a directory: import its files one by one") from None
    except PermissionError:
        raise ImportFileError(f"{path} may not be read by this user: change its permissions") from None


def format_of(path: Path) -> Format:
    """Return a file's format by the ending of its name.

    Raises:
        ImportFileError: the ending says nothing.
    """
    name = Path(path.stem) if path.suffix == ".gz" else path
    found = _ENDINGS.get(name.suffix.lower())
    if found is None:
        raise ImportFileError(f"the name of {path} does not say what it is: give --format csv, jsonl or parquet")
    return found


def _silent(_: int) -> None:
    """Report to nobody."""


def read_whole(path: Path, kind: Format | None = None, *, on_bytes: Callable[[int], None] = _silent) -> EventFile:
    """Read a file to its end: whether it can be, and its digest, by which it is recognised ever after.

    A truncated file is recognised here, before anything of it is loaded.

    Args:
        path: the file, gzip or not.
        kind: its format, unless its name says it.
        on_bytes: told how many bytes of the content have been read.

    Raises:
        ImportFileError: it is missing, empty, truncated, corrupt, or in an encoding that is not UTF-8 throughout.
    """
    kind = kind or format_of(path)
    with open_content(path, compressed=False) as raw:
        compressed = raw.read(2) == _GZIP_MAGIC
    if compressed and kind == "parquet":
        raise ImportFileError(f"{path} is compressed Parquet: decompress it, it is read from its end")
    digest, size, lines, last, head = hashlib.sha256(), 0, 0, b"", b""
    with open_content(path, compressed=compressed) as stream:
        while block := stream.read(_READ_BYTES):
            head = head or block[:4]
            digest.update(block)
            size += len(block)
            if kind != "parquet":
                lines += block.count(b"\n")
            last = block[-4:]
            on_bytes(size)
    if not size:
        raise ImportFileError(f"{path} is empty: there is nothing to import")
    if head.startswith(_UTF16_MARKS):
        raise ImportFileError(f"{path} is UTF-16: convert it, `iconv -f UTF-16 -t UTF-8`")
    if kind == "parquet" and (not head.startswith(_PARQUET_MAGIC) or last != _PARQUET_MAGIC):
        raise ImportFileError(f"{path} is no whole Parquet file, it may be truncated: get it again")
    if kind == "jsonl" and head.lstrip().startswith(b"["):
        raise ImportFileError(f"{path} is one JSON array: make a line of each element, `jq -c '.[]'`")
    if kind != "parquet" and not last.endswith(b"\n"):
        lines += 1
    return EventFile(path, kind, compressed, digest.hexdigest(), size, lines)
