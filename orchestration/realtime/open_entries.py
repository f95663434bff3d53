"""Which stored events are not counted yet: those whose entry of the queue is still there.

A processor stores an event in PostgreSQL and then settles its entry in Redis. If it dies in between, the event is in
the hypertable, the entry is still in the queue, and the event is counted when the entry comes again. Whoever computes
the counters from the hypertable leaves these events out. What tells them is the ledger: it has the position of the
entry that brought an event, and another entry with the same event is never counted.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestration.realtime.event import InvalidEventError, decode
from orchestration.realtime.redis_queue import PAYLOAD, accepted_at
from orchestration.realtime.statements import statement
from orchestration.realtime.stream_keys import GROUP, STREAM

if TYPE_CHECKING:
    from orchestration.loading.copy_loader import Connection

_AT_ONCE = 1_000


@dataclass(frozen=True)
class OpenEntries:
    """Entries that are in the queue although their event is stored: parallel sequences."""

    positions: Sequence[str] = ()
    tenants: Sequence[UUID] = ()
    events: Sequence[UUID] = ()

    def __len__(self) -> int:
        return len(self.positions)

    def parameters(self) -> dict[str, object]:
        """Return what the statements leave events out by."""
        return {"open_tenants": list(self.tenants), "open_events": list(self.events)}

    def positions_of(self, tenant_id: UUID) -> list[str]:
        """Return the positions of a tenant's entries."""
        return [p for p, tenant in zip(self.positions, self.tenants, strict=True) if tenant == tenant_id]


def all_positions(client: Any) -> Iterator[str]:
    """Yield the position of every entry of the queue, taken or not.

    After a torn append-only file even an entry that nobody has taken, as Redis remembers, can be stored.
    """
    first = b"-"
    while page := client.xrange(STREAM, min=first, count=_AT_ONCE):
        yield from (position.decode() for position, _ in page)
        first = b"(" + page[-1][0]


def pending_positions(client: Any) -> Iterator[str]:
    """Yield the position of every entry that a processor has taken and not settled."""
    if not client.exists(STREAM):
        return
    first = "-"
    while page := client.xpending_range(STREAM, GROUP, min=first, max="+", count=_AT_ONCE):
        yield from (each["message_id"].decode() for each in page)
        first = "(" + page[-1]["message_id"].decode()


def open_entries(connection: "Connection", client: Any, positions: Iterable[str]) -> OpenEntries:
    """Return those of the entries at ``positions`` that are in the queue although their event is stored.

    Args:
        connection: whose snapshot of the ledger counts.
        client: of the cell's Redis; replies as bytes.
        positions: of entries, each as often as it likes.
    """
    named = sorted(set(positions))
    found: list[tuple[UUID, UUID, str]] = []
    for start in range(0, len(named), _AT_ONCE):
        pipeline = client.pipeline(transaction=False)
        page = named[start : start + _AT_ONCE]
        for position in page:
            pipeline.xrange(STREAM, min=position, max=position)
        for position, entries in zip(page, pipeline.execute(), strict=True):
            for _, fields in entries:
                try:
                    event = decode(fields.get(PAYLOAD, b""), at=accepted_at(position))
                except InvalidEventError:
                    continue  # such a one is never stored
                found.append((event.tenant_id, event.event_id, position))
    if not found:
        return OpenEntries()
    tenants, events, held = (list(column) for column in zip(*found, strict=True))
    rows = connection.execute(
        statement("stored_by_entry"), {"tenants": tenants, "events": events, "positions": held}
    ).fetchall()
    return OpenEntries([row[2] for row in rows], [row[0] for row in rows], [row[1] for row in rows])
