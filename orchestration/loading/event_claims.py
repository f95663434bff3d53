"""Events written once: the ledger of ids that decides, in the transaction that inserts, which of them are new.

An event's identity is ``(tenant_id, event_id)``. Whoever inserts it first claims the id in ``analytics.event_ids``;
the same event again is a *repeat*, another event under the same id (another time) is a *conflict*, and neither is
inserted. Identity holds for ``HORIZON`` after the claim; what is sent again later than that is taken for new. An event
of a shopper who was erased is *forgotten*: neither claimed nor inserted, whenever and by whichever way it comes.

The ids are claimed by a binary COPY into the ledger, sorted, under a savepoint: where nothing is repeated that is all.
A taken id fails the COPY, which is undone, and the block goes through a temporary table and ON CONFLICT DO NOTHING
instead. Whether that is likely is asked beforehand, with a few ids of the block, so that a file that is loaded again
does not fail its way through.

Two transactions with the same ids wait for each other: ids are claimed in one order, so never in a circle, if each
transaction claims one block. What the other one did is seen once it has committed or rolled back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa

from orchestration.loading.arrow_columns import constant_text, constant_uuid
from orchestration.loading.copy_loader import Connection, LoadError, copy_rows, require_row_security_bypassed, statement
from orchestration.loading.former_users import rows_of_former_users, tenants_of
from orchestration.persons.former import former_users

# For how long an id is remembered at least. Producers that could not send for a week, and a processor that did not run
# for as long, are inside; what is older comes by import, which remembers its files for ever.
HORIZON: Final = timedelta(days=7)
# Claims are dated to the day: one day more is kept, so that the last hour of a day has its seven days as well.
KEPT_DAYS: Final = HORIZON.days + 1

INSERTED: Final = 0
REPEAT: Final = 1
CONFLICT: Final = 2
FORGOTTEN: Final = 3

LEDGER = "analytics.event_ids"

# Ids that are looked up before a block is tried by COPY, and from how many rows on that is worth a round trip.
_PROBES = 64
_PROBED_FROM_ROWS = 5_000

_Ints = npt.NDArray[np.int64]
_Fates = npt.NDArray[np.int8]


@dataclass(frozen=True)
class EventsOnce:
    """What became of each row of a block.

    Attributes:
        fates: one of ``INSERTED``, ``REPEAT`` (same id, same time), ``CONFLICT`` (same id, another time) and
            ``FORGOTTEN`` (of a shopper who was erased) per row.
        held_by: of each row that was not inserted, by its number in the block: the queue position that claimed the
            id, None where a load did.
    """

    fates: _Fates
    held_by: Mapping[int, str | None]

    def count(self, fate: int) -> int:
        """Return how many rows had this fate."""
        return int(np.count_nonzero(self.fates == fate))

    @property
    def inserted(self) -> int:
        return self.count(INSERTED)

    @property
    def repeats(self) -> int:
        return self.count(REPEAT)

    @property
    def conflicts(self) -> int:
        return self.count(CONFLICT)


def _fixed16(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.uint8]:
    """Return the UUIDs of a column as an (n, 16) matrix.

    Raises:
        LoadError: the column holds something else, or NULL.
    """
    if column.null_count:
        raise LoadError(
            f"{column.null_count} events have no {name}: an event without its identity cannot be taken once"
        )
    if not pa.types.is_fixed_size_binary(column.type):
        try:
            column = column.cast(pa.binary(16))
        except pa.ArrowInvalid:
            raise LoadError(f"column {name!r} holds values that are no UUID of 16 bytes") from None
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], pa.binary(16))
    start = values.offset * 16
    return np.frombuffer(values.buffers()[1], dtype=np.uint8)[start : start + 16 * len(values)].reshape(-1, 16)


def _microseconds(column: pa.ChunkedArray) -> _Ints:
    if column.null_count:
        raise LoadError(f"{column.null_count} events have no time: give every one the instant at which it happened")
    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        raise LoadError(f"column 'time' is {column.type}: give instants, a timestamp with a time zone")
    numbers: _Ints = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    return numbers


def _tenant_codes(tenants: npt.NDArray[np.uint8]) -> _Ints | None:
    """Return a number per row that orders the tenants as the ledger does; None for a block of one tenant."""
    if (tenants == tenants[0]).all():
        return None
    codes: _Ints = np.unique(np.ascontiguousarray(tenants).view("V16").ravel(), return_inverse=True)[1]
    return codes.astype(np.int64)


def _order(tenants: npt.NDArray[np.uint8], events: npt.NDArray[np.uint8]) -> tuple[_Ints, npt.NDArray[np.bool_]]:
    """Return the rows in the ledger's order, the first of equal ids first, and which of them repeat the one before."""
    halves = np.ascontiguousarray(events).view(">u8").reshape(-1, 2).astype(np.uint64)
    codes = _tenant_codes(tenants)
    high, low = halves[:, 0], halves[:, 1]
    order = np.argsort(high, kind="stable") if codes is None else np.lexsort((high, codes))
    same = high[order[1:]] == high[order[:-1]]
    if codes is not None:
        same &= codes[order[1:]] == codes[order[:-1]]
    if same.any():
        # Ids that begin alike: by all of their bytes, and by their place in the block.
        order = np.lexsort((low, high) if codes is None else (low, high, codes))
        same = (high[order[1:]] == high[order[:-1]]) & (low[order[1:]] == low[order[:-1]])
        if codes is not None:
            same &= codes[order[1:]] == codes[order[:-1]]
    return order.astype(np.int64), np.concatenate(([False], same))


def _claims(block: pa.Table, rows: _Ints, claimed_by: Sequence[str] | None) -> pa.Table:
    """Return the ledger's rows for these rows of the block, in this order."""
    claims = block.select(["tenant_id", "event_id", "time"]).take(pa.array(rows))
    if claimed_by is not None:
        claims = claims.append_column("claimed_by", pa.array(claimed_by, pa.string()).take(pa.array(rows)))
    return claims


def _some_taken(connection: Connection, claims: pa.Table) -> bool:
    """Return whether one of a few ids of the block is taken: then more are, most likely."""
    if claims.num_rows < _PROBED_FROM_ROWS:
        return False
    rows = pa.array(np.linspace(0, claims.num_rows - 1, _PROBES).astype(np.int64))
    few = claims.take(rows)
    probes = {
        "tenants": [UUID(bytes=value) for value in few["tenant_id"].to_pylist()],
        "events": [UUID(bytes=value) for value in few["event_id"].to_pylist()],
    }
    found = connection.execute(statement("any_id_taken"), probes).fetchone()
    return bool(found and found[0])


def _copied(connection: Connection, claims: pa.Table) -> bool:
    """Claim all ids by COPY; False, and nothing done, if one of them is taken."""
    try:
        with connection.transaction():
            copy_rows(connection, LEDGER, [claims])
    except psycopg.errors.UniqueViolation:
        return False
    return True


def _staged(connection: Connection, claims: pa.Table) -> list[tuple[int, datetime, str | None]]:
    """Claim the ids that are free; return the others: number in ``claims``, and time and claimer by the ledger."""
    for command in statement("staged_ids_tables").as_string(None).split(";"):
        if command.strip():
            connection.execute(command.encode())
    numbered = claims.append_column("row_number", pa.array(np.arange(claims.num_rows, dtype=np.int64)))
    copy_rows(connection, "pg_temp.staged_ids", [numbered])
    connection.execute(statement("claim_staged_ids"))
    held = connection.execute(statement("ids_held_by_others")).fetchall()
    connection.execute("drop table pg_temp.staged_ids, pg_temp.claimed_ids")
    return [(int(number), time, by) for number, time, by in held]


def _as_microseconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def insert_events_once(
    connection: Connection,
    block: pa.Table,
    *,
    origin: str,
    load_id: UUID,
    table: str = "analytics.events",
    claimed_by: Sequence[str] | None = None,
) -> EventsOnce:
    """Claim the ids of a block's events and COPY those that are new, within the caller's transaction.

    Of rows with the same id in the block the first counts. One block per transaction: with several, two transactions
    could wait for each other in a circle (one of them then fails with ``DeadlockDetected`` and is to be repeated).

    Args:
        connection: in a transaction, as a role with BYPASSRLS (loader). READ COMMITTED: what another transaction
            claims meanwhile has to be seen.
        block: columns of ``table`` without ``origin`` and ``load_id``; ``tenant_id`` and ``event_id`` are UUIDs of 16
            bytes, ``time`` has a zone.
        origin: of the rows: stream or import.
        load_id: the load that writes them.
        table: ``analytics.events`` or ``analytics.events_history``: ids are unique over both.
        claimed_by: the queue position of each row's entry; None for a load.

    Returns:
        The fate of every row, in the block's order.

    Raises:
        LoadError: there is no transaction, a column is missing or unusable, row security applies to the role.
        ColumnEncodingError: a value that a column of ``table`` cannot take.
    """
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS:
        raise LoadError("events are claimed in the transaction that inserts them: open one")
    missing = [name for name in ("tenant_id", "event_id", "time") if name not in block.column_names]
    if missing:
        raise LoadError(f"the block has no column {', '.join(missing)}: events are claimed by tenant, id and time")
    if claimed_by is not None and len(claimed_by) != block.num_rows:
        raise LoadError(f"{len(claimed_by)} queue positions were given for {block.num_rows} events")
    if not block.num_rows:
        return EventsOnce(np.zeros(0, dtype=np.int8), {})
    require_row_security_bypassed(connection, LEDGER)
    gone = rows_of_former_users(former_users(connection, tenants_of(block)), block)
    if gone is None:
        return _insert_once(connection, block, table, claimed_by, {"origin": origin, "load_id": load_id})
    rest: _Ints = np.flatnonzero(~gone).astype(np.int64)
    by = None if claimed_by is None else [claimed_by[int(row)] for row in rest]
    once = EventsOnce(np.zeros(0, dtype=np.int8), {})
    if rest.size:
        marks = {"origin": origin, "load_id": load_id}
        once = _insert_once(connection, block.take(pa.array(rest)), table, by, marks)
    fates: _Fates = np.full(block.num_rows, FORGOTTEN, dtype=np.int8)
    fates[rest] = once.fates
    return EventsOnce(fates, {int(rest[row]): holder for row, holder in once.held_by.items()})


def _insert_once(
    connection: Connection, block: pa.Table, table: str, claimed_by: Sequence[str] | None, marks: Mapping[str, Any]
) -> EventsOnce:
    times = _microseconds(block["time"])
    tenants, events = _fixed16(block["tenant_id"], "tenant_id"), _fixed16(block["event_id"], "event_id")
    order, repeated = _order(tenants, events)
    firsts = order[~repeated]
    claims = _claims(block, firsts, claimed_by)

    fates: _Fates = np.zeros(block.num_rows, dtype=np.int8)
    held_by: dict[int, str | None] = {}
    # What an id stands for once this is over: of each row of ``firsts`` the time that holds it, and who claimed it.
    holders: _Ints = times[firsts]
    by_others: dict[int, str | None] = {}
    if _some_taken(connection, claims) or not _copied(connection, claims):
        for number, time, by in _staged(connection, claims):
            row = int(firsts[number])
            holders[number] = _as_microseconds(time)
            by_others[number] = held_by[row] = by
            fates[row] = REPEAT if holders[number] == times[row] else CONFLICT
    if repeated.any():
        groups = np.cumsum(~repeated) - 1
        for place in np.flatnonzero(repeated):
            row, number = int(order[place]), int(groups[place])
            fates[row] = REPEAT if holders[number] == times[row] else CONFLICT
            own = claimed_by[int(firsts[number])] if claimed_by is not None else None
            held_by[row] = by_others.get(number, own)

    new = block.filter(pa.array(fates == INSERTED)) if fates.any() else block
    if new.num_rows:
        origins, loads = constant_text(marks["origin"], new.num_rows), constant_uuid(marks["load_id"], new.num_rows)
        copy_rows(connection, table, [new.append_column("origin", origins).append_column("load_id", loads)])
    return EventsOnce(fates, held_by)


def expire_claims(connection: Connection, *, now: datetime | None = None) -> int:
    """Forget the claims that are older than the horizon, in a transaction of their own; return how many.

    Args:
        connection: of role loader, in autocommit.
        now: whose UTC day counts as today.
    """
    before = (now or datetime.now(UTC)).astimezone(UTC).date() - timedelta(days=KEPT_DAYS)
    with connection.transaction():
        return connection.execute(statement("expired_claims_delete"), {"before": before}).rowcount
