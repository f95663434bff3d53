"""Looking for somebody in a cell's Redis: entries of its streams and lists, by whomever, whatever they are called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from orchestration.cells import endpoints
from orchestration.cells.regions import Cell
from orchestration.settings import Settings

SCANNED_AT_ONCE = 1000

_REDIS_SECONDS = 60.0
_REWRITE_STREAM = Path(__file__).with_name("rewrite_stream.lua")


def client(cell: Cell, settings: Settings) -> Any:
    """Return a client of the cell's Redis; replies as bytes."""
    return redis.Redis.from_url(
        endpoints.redis_url(cell, settings),
        socket_timeout=_REDIS_SECONDS,
        socket_connect_timeout=settings.connect_timeout_seconds,
    )


def entries(client: Any, is_meant: Callable[[bytes, Mapping[bytes, bytes]], bool]) -> dict[bytes, list[bytes]]:
    """Return, by stream, the positions of the entries that are meant.

    Args:
        client: of the cell's Redis.
        is_meant: asked with a stream's key and an entry's fields.
    """
    found: dict[bytes, list[bytes]] = {}
    for stream in client.scan_iter(count=SCANNED_AT_ONCE, _type="stream"):
        first = b"-"
        while page := client.xrange(stream, min=first, count=SCANNED_AT_ONCE):
            for entry, fields in page:
                if is_meant(stream, fields):
                    found.setdefault(stream, []).append(entry)
            first = b"(" + page[-1][0]
    return found


def list_entries(client: Any, is_meant: Callable[[bytes, bytes], bool]) -> dict[bytes, list[bytes]]:
    """Return, by list, the entries that are meant; ``is_meant`` is asked with a list's key and an entry."""
    found: dict[bytes, list[bytes]] = {}
    for key in client.scan_iter(count=SCANNED_AT_ONCE, _type="list"):
        start = 0
        while page := client.lrange(key, start, start + SCANNED_AT_ONCE - 1):
            for entry in page:
                if is_meant(key, entry):
                    found.setdefault(key, []).append(entry)
            start += len(page)
    return found


@dataclass(frozen=True)
class Removed:
    """Entries that are gone, and how many of them lay in a stream that a processor takes from.

    Such a stream is not written anew: the bytes go when the entries beside them have been stored.
    """

    entries: int
    in_queue: int


def remove(client: Any, found: Mapping[bytes, list[bytes]]) -> Removed:
    """Delete entries of lists and streams, and write those streams anew that no processor takes from.

    Args:
        client: of the cell's Redis.
        found: by key, positions in a stream or entries of a list.
    """
    entries = in_queue = 0
    for stream, positions in found.items():
        if client.type(stream) == b"list":
            entries += sum(int(client.lrem(stream, 0, entry)) for entry in set(positions))
            continue
        gone = int(client.xdel(stream, *positions))
        entries += gone
        if int(client.eval(_REWRITE_STREAM.read_text(), 1, stream)) < 0:
            in_queue += gone
    return Removed(entries, in_queue)
