"""A person's entries in a cell's Redis: events that wait, that were refused, and the newest that were counted."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import redis

from orchestration.cells.regions import Cell
from orchestration.persons.personal_rows import Account
from orchestration.realtime import counter_keys
from orchestration.realtime.redis_queue import PAYLOAD
from orchestration.settings import Settings
from orchestration.tenancy import redis_traces

User = tuple[UUID, int]


class LiveEntriesError(RuntimeError):
    """Redis of a cell does not do what is needed; names the cell and the way out."""


def users_of(accounts: Iterable[Account]) -> frozenset[User]:
    """Return the person's numbers as shopper, each with its tenant."""
    return frozenset((account.tenant_id, number) for account in accounts for number in account.shoppers)


@contextmanager
def client_of(cell: Cell, settings: Settings) -> Iterator[Any]:
    """Open a client of the cell's Redis; what goes wrong with it within the block is told with the way out.

    Raises:
        LiveEntriesError: Redis does not answer.
    """
    client = redis_traces.client(cell, settings)
    try:
        yield client
    except redis.RedisError as error:
        raise LiveEntriesError(
            f"Redis of cell {cell!r} does not answer ({type(error).__name__}): start it with `capstone up`, then "
            "repeat the command"
        ) from None
    finally:
        client.close()


def _named(stream: bytes, fields: Mapping[bytes, bytes]) -> User | None:
    """Return the shopper whom an entry names; None where it names none, or cannot be read."""
    try:
        if stream.startswith(counter_keys.PREFIX.encode()):
            return UUID(stream.decode().split(":")[1]), int(fields[b"user"])
        event = json.loads(fields[PAYLOAD])
        return UUID(event["tenant_id"]), int(event["user_id"])
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        return None


def _counted(key: bytes, entry: bytes) -> User | None:
    """Return the shopper whom an entry of a tenant's newest events names."""
    try:
        return UUID(key.decode().split(":")[1]), int(counter_keys.read_newest_event(entry)[1])
    except (IndexError, ValueError):
        return None


def entries_of(client: Any, users: frozenset[User]) -> dict[bytes, list[bytes]]:
    """Return what names one of ``users``: of each stream the positions, of each list the entries."""
    if not users:
        return {}
    return {
        **redis_traces.entries(client, lambda stream, fields: _named(stream, fields) in users),
        **redis_traces.list_entries(client, lambda key, entry: _counted(key, entry) in users),
    }


def read_entries(client: Any, found: Mapping[bytes, list[bytes]]) -> list[dict[str, Any]]:
    """Return entries for people: stream or list, position or Unix time in milliseconds, and what the entry says."""
    said: list[dict[str, Any]] = []
    for key, entries in found.items():
        if client.type(key) == b"list":
            for entry in entries:
                counted_at, user, event_type = counter_keys.read_newest_event(entry)
                said.append(_said(key, counted_at, {b"type": event_type, b"user": user}))
            continue
        for position in entries:
            said += [_said(key, position, fields) for _, fields in client.xrange(key, min=position, max=position)]
    return said


def _said(key: bytes, position: bytes, fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    return {
        "stream": key.decode(),
        "position": position.decode(),
        "entry": {name.decode(): value.decode(errors="replace") for name, value in fields.items()},
    }
