"""A cell's Redis searched for people: every key and what it holds, and keys that no store is registered for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import redis

from orchestration.cells import endpoints
from orchestration.cells.regions import Cell
from orchestration.cells.stores import Store
from orchestration.proofs.residency import marks
from orchestration.settings import Settings

SCANNED_AT_ONCE = 1_000
# Members of a collection that are asked for at once: bounds the memory, whatever somebody put there.
READ_AT_ONCE = 2_000
TIMEOUT_SECONDS = 20.0


@dataclass
class RedisFound:
    """What the search found, by the name of a store.

    Attributes:
        digests: of what may be somebody.
        stray: kinds of key that no store is registered for, with how many; named by what is before the first colon.
    """

    digests: dict[str, set[str]] = field(default_factory=dict)
    stray: dict[str, int] = field(default_factory=dict)


def search_redis(
    cell: Cell, stores: Iterable[Store], salt: str, settings: Settings, *, with_addresses: bool = True
) -> RedisFound:
    """Search all databases of the cell's Redis.

    Raises:
        redis.RedisError: it does not answer.
        EndpointError: its address is not known.
    """
    patterns = [(store.name, place) for store in stores if store.medium == "redis" for place in store.where]
    found = RedisFound({name: set() for name, _ in patterns})
    with redis.Redis.from_url(
        endpoints.redis_url(cell, settings),
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=settings.connect_timeout_seconds,
    ) as client:
        for database in client.info("keyspace"):
            number = int(str(database).removeprefix("db"))
            client.select(number)
            for key in client.scan_iter(count=SCANNED_AT_ONCE):
                name = key.decode(errors="replace")
                store = next((store for store, place in patterns if fnmatchcase(name, place)), None)
                if store is None or number != 0:
                    kind = f"{_kind(name)} (database {number})" if number else _kind(name)
                    found.stray[kind] = found.stray.get(kind, 0) + 1
                seen = found.digests.setdefault(store or "no store", set())
                for content in (key, *_content(client, key)):
                    seen |= marks.digests(salt, content, with_addresses=with_addresses)
        for library in _functions(client):
            # The platform sends its scripts with each call, and loads none.
            found.stray["a library of functions"] = found.stray.get("a library of functions", 0) + 1
            seen = found.digests.setdefault("no store", set())
            seen |= marks.digests(salt, library, with_addresses=with_addresses)
    return found


def _functions(client: Any) -> list[bytes]:
    """Return the code of all libraries of functions: what Redis keeps beside its keys, in the same files."""
    try:
        libraries = client.execute_command("FUNCTION", "LIST", "WITHCODE")
    except redis.ResponseError as error:
        # Before Redis 7 there are none.
        if str(error).lower().startswith("unknown command"):
            return []
        raise
    return [b" ".join(each for each in _flat(library) if isinstance(each, bytes)) for library in libraries]


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = [each for pair in value.items() for each in pair]
    if isinstance(value, list | tuple):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _kind(key: str) -> str:
    """Return what may be told of a key's name: what is before its first colon, if that is a short word."""
    head = key.partition(":")[0]
    # A person's id or address is no word; nor is a canary's id.
    return f"{head}:*" if head.isalpha() and len(head) <= 16 and head != key else "*"


def _content(client: Any, key: bytes) -> Iterator[bytes]:
    """Yield what a key holds, block by block; a key that is gone meanwhile holds nothing."""
    kind = client.type(key)
    if kind == b"string":
        yield client.get(key) or b""
    elif kind == b"hash":
        for name, value in client.hscan_iter(key, count=READ_AT_ONCE):
            yield name + b" " + value
    elif kind == b"set":
        for block in _blocks(client.sscan_iter(key, count=READ_AT_ONCE)):
            yield block
    elif kind == b"zset":
        for block in _blocks(member for member, _ in client.zscan_iter(key, count=READ_AT_ONCE)):
            yield block
    elif kind == b"list":
        for start in range(0, client.llen(key), READ_AT_ONCE):
            yield b" ".join(client.lrange(key, start, start + READ_AT_ONCE - 1))
    elif kind == b"stream":
        yield from _entries(client, key)
    elif kind != b"none":
        # Of a module; its serialisation holds the bytes.
        yield client.dump(key) or b""


def _entries(client: Any, key: bytes) -> Iterator[bytes]:
    first = b"-"
    while entries := client.xrange(key, min=first, count=READ_AT_ONCE):
        yield b" ".join(part for _, fields in entries for pair in (fields or {}).items() for part in pair)
        first = b"(" + entries[-1][0]
    for group in client.xinfo_groups(key):
        yield group["name"]
        yield b" ".join(consumer["name"] for consumer in client.xinfo_consumers(key, group["name"]))


def _blocks(members: Iterable[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    for member in members:
        gathered.append(member)
        if len(gathered) == READ_AT_ONCE:
            yield b" ".join(gathered)
            gathered = []
    yield b" ".join(gathered)
