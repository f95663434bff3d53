"""Files that hold other files: each layer opened, as far as the standard library can, and said where it cannot.

A copy of people that was packed is a copy. What nothing here can look into (encrypted, or packed by a method that is
not in the standard library) is told from its first bytes and is a problem, not an empty file: no store of the platform
holds any, so it came from somewhere else.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import IO, BinaryIO, cast

# Layers within each other: an archive of compressed files that was compressed again has three.
MOST_LAYERS = 5
# Of one file, however deep: what unpacks to more would keep the proof from ending.
MOST_UNPACKED_BYTES = 32 * 1024**3

_STREAMS: dict[bytes, Callable[[BinaryIO], IO[bytes]]] = {
    b"\x1f\x8b": lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb")),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
# Where a tar archive says that it is one, behind the first name.
_TAR = (b"ustar", 257)

# What says of itself that it is packed or encrypted, by its first bytes.
OPAQUE = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
    b"\x1f\x9d": "compress",
    b"\x1f\xa0": "compress",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"MSCF": "cabinet",
    b"PAR1": "parquet",
    b"PARE": "parquet",
    b"ORC": "orc",
    b"Obj\x01": "avro",
    b"PGDMP": "pg_dump",
    b"Salted__": "openssl",
    b"-----BEGIN PGP MESSAGE": "pgp",
    b"age-encryption.org/": "age",
    b"LUKS\xba\xbe": "luks",
}
_HEAD_BYTES = _TAR[1] + len(_TAR[0])

# What reading a packed file raises when it is torn, corrupt or encrypted.
UNREADABLE = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError)


class NotLookedIntoError(Exception):
    """A file holds what cannot be looked into; the message says what, and names nothing of its content."""


def layers(file: BinaryIO, *, depth: int = MOST_LAYERS) -> Iterator[IO[bytes]]:
    """Yield ``file``, and then whatever is packed in it; each has to be read before the next is asked for.

    As it is first, for there may be bytes around and between what is packed. Names within archives are yielded too, as
    a file of names.

    Args:
        file: open for reading, at its beginning, and seekable.
        depth: how many layers may be opened.

    Raises:
        NotLookedIntoError: it is packed in a way that is not known here, or in too many layers.
        OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError: it
            cannot be read, or is not what it begins like.
    """
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    yield file
    for magic, method in OPAQUE.items():
        if head.startswith(magic):
            raise NotLookedIntoError(f"is {method}, which is not looked into")
    stream = next((method for magic, method in _STREAMS.items() if head.startswith(magic)), None)
    if stream is None and not head.startswith(_ZIP) and not _is_tar(head):
        return
    if depth == 0:
        raise NotLookedIntoError(f"is packed in more than {MOST_LAYERS} layers")
    file.seek(0)
    if stream is not None:
        with stream(file) as inner:
            yield from layers(cast("BinaryIO", inner), depth=depth - 1)
    elif head.startswith(_ZIP):
        yield from _of_zip(file, depth)
    else:
        yield from _of_tar(file, depth)


def _is_tar(head: bytes) -> bool:
    magic, at = _TAR
    return head[at : at + len(magic)] == magic


def _of_zip(file: BinaryIO, depth: int) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            yield _names(member.filename, member.comment.decode(errors="replace"))
            if member.is_dir():
                continue
            if member.flag_bits & 0x1:
                raise NotLookedIntoError("is an encrypted zip, which is not looked into")
            with archive.open(member) as inner:
                yield from layers(cast("BinaryIO", inner), depth=depth - 1)


def _of_tar(file: BinaryIO, depth: int) -> Iterator[IO[bytes]]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            yield _names(member.name, member.linkname)
            inner = archive.extractfile(member) if member.isfile() else None
            if inner is not None:
                with closing(inner):
                    yield from layers(cast("BinaryIO", inner), depth=depth - 1)


def _names(*names: str) -> IO[bytes]:
    return io.BytesIO("\n".join(names).encode(errors="surrogateescape"))
