"""Live events into ``analytics.events``, each once, where one tenant's trouble is nobody else's.

The database refuses whole statements: one that names no tenant when any tenant is closed to writes, one that would
take a tenant beyond its plan, one with a value that a column cannot take. Here a batch is stored in one statement as
long as nothing stands against it, and is otherwise taken apart until what is refused stands alone. All of it is one
transaction, so a batch is stored as decided or not at all.
"""

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import psycopg
from psycopg import errors

from orchestration.cells.regions import Cell
from orchestration.loading.copy_loader import NAMESPACE, Connection
from orchestration.realtime.event import StreamEvent
from orchestration.realtime.statements import statement

if TYPE_CHECKING:
    import pyarrow as pa

ORIGIN = "stream"

# For how long a tenant that was beyond its plan is tried apart from the others: trying it with them first would undo
# and repeat everybody's insert in each batch.
LIMITED_SECONDS = 60.0

# What the fence answers with: closed to writes (moved, restored, erased), closed to everything (suspended).
CLOSED = ("TNT01", "TNT02")

OVER_QUOTA = "over_quota"
UNKNOWN_TENANT = "unknown_tenant"
CONFLICT = "conflicting_event_id"
REFUSED = "refused_by_database"

# Nothing of a statement's values is in these: a column's type or a constraint did not take one.
_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, ValueError, OverflowError)

Group = tuple[UUID, str]


@dataclass(frozen=True, slots=True)
class Taken:
    """An event and the position of the entry that brought it."""

    position: str
    event: StreamEvent

    @property
    def group(self) -> Group:
        """What a plan limits: tenant and month (UTC) of the event."""
        return self.event.tenant_id, f"{self.event.time:%Y-%m}"


@dataclass(slots=True)
class Stored:
    """What became of a batch once the transaction commits.

    Attributes:
        counted: positions whose event is in the hypertable through this entry, now or by an attempt before.
        repeated: positions whose event was there already, through another entry or a load.
        dead: positions and why their event can never be stored as it is.
        waiting: positions whose tenant is closed to writes now.
    """

    counted: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)
    dead: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)


class _OverQuotaError(Exception):
    """A statement would have taken tenants beyond their plan."""


def load_id_of(cell: Cell) -> UUID:
    """Return the load that the events of a cell's stream carry: one, for the stream never ends."""
    return uuid5(NAMESPACE, f"stream/{cell}")


def as_block(taken: Sequence[Taken]) -> "pa.Table":
    """Return the events as an Arrow table with the columns of ``analytics.events`` but origin and load."""
    import pyarrow as pa  # noqa: PLC0415 - a command that only looks at the queue need not load it

    events = [each.event for each in taken]
    uuid = pa.binary(16)
    return pa.table(
        {
            "time": pa.array([event.time for event in events], pa.timestamp("us", "UTC")),
            "tenant_id": pa.array([event.tenant_id.bytes for event in events], uuid),
            "event_id": pa.array([event.event_id.bytes for event in events], uuid),
            "session_id": pa.array([event.session_id and event.session_id.bytes for event in events], uuid),
            "user_id": pa.array([event.user_id for event in events], pa.int64()),
            "event_type": pa.array([event.event_type for event in events], pa.string()),
            "page_url": pa.array([event.page_url for event in events], pa.string()),
            "referrer": pa.array([event.referrer for event in events], pa.string()),
            "properties": pa.array([_json(event.properties) for event in events], pa.string()),
            "device_type": pa.array([event.device_type for event in events], pa.string()),
            "country": pa.array([event.country for event in events], pa.string()),
        }
    )


def _json(properties: Any) -> str:
    return json.dumps(dict(properties), ensure_ascii=False) if properties else "{}"


class EventStore:
    """Where a processor of ``cell`` stores what it takes."""

    def __init__(self, cell: Cell) -> None:
        self._load_id = load_id_of(cell)
        self._limited: dict[Group, float] = {}

    def store(self, connection: Connection, taken: Sequence[Taken]) -> Stored:
        """Store a batch within the caller's transaction.

        Args:
            connection: of role loader, in a transaction that has not looked at anything yet, READ COMMITTED.
            taken: each position once.

        Raises:
            psycopg.Error: the database cannot do it now; roll back, and repeat the batch.
        """
        stored = Stored()
        tenants = list({each.event.tenant_id for each in taken})
        # Who closes or erases a tenant waits for whoever shares this lock; who looks afterwards sees what was closed.
        connection.execute("select pg_advisory_xact_lock_shared(platform.fence_key(null))")
        rows = connection.execute(statement("tenants_of_batch"), {"tenants": tenants}).fetchall()
        open_tenants = {tenant for tenant, closed, _ in rows if not closed}
        closed_tenants = {tenant for tenant, closed, _ in rows if closed}
        by_tenant_only = any(any_closed for *_, any_closed in rows)
        storable: list[Taken] = []
        for each in taken:
            if each.event.tenant_id in open_tenants:
                storable.append(each)
            elif each.event.tenant_id in closed_tenants:
                stored.waiting.add(each.position)
            else:
                stored.dead[each.position] = UNKNOWN_TENANT
        if not by_tenant_only:
            try:
                with connection.transaction():
                    self._store_within_plans(connection, storable, stored)
            except psycopg.DatabaseError as error:
                if error.sqlstate not in CLOSED:
                    raise
                # Closed since it was looked at; who closes it waits for this transaction, and everybody else goes on.
                by_tenant_only = True
                for each in storable:
                    _forget(stored, each.position)
        if by_tenant_only:
            self._store_by_tenant(connection, storable, stored)
        return stored

    def _store_by_tenant(self, connection: Connection, taken: Sequence[Taken], stored: Stored) -> None:
        """Store each tenant's events in its own name: a statement that names no tenant yields to every fence."""
        groups: dict[UUID, list[Taken]] = defaultdict(list)
        for each in taken:
            groups[each.event.tenant_id].append(each)
        # In one order, as the ledger is written.
        for tenant in sorted(groups):
            try:
                with connection.transaction():
                    connection.execute("select set_config('app.current_tenant', %s, true)", (str(tenant),))
                    self._store_within_plans(connection, groups[tenant], stored)
            except psycopg.DatabaseError as error:
                if error.sqlstate not in CLOSED:
                    raise
                for each in groups[tenant]:
                    _forget(stored, each.position)
                    stored.waiting.add(each.position)
        connection.execute("select set_config('app.current_tenant', '', true)")

    def _store_within_plans(self, connection: Connection, taken: Sequence[Taken], stored: Stored) -> None:
        now = time.monotonic()
        self._limited = {group: until for group, until in self._limited.items() if until > now}
        apart = {each.group for each in taken} & self._limited.keys() if self._limited else set()
        while True:
            usual = [each for each in taken if each.group not in apart] if apart else taken
            try:
                with connection.transaction():
                    self._insert(connection, usual, stored)
                break
            except _OverQuotaError:
                apart |= self._groups_over_quota(connection, usual, stored)
        for group in sorted(apart):
            self._store_limited(connection, [each for each in taken if each.group == group], group, stored)

    def _groups_over_quota(self, connection: Connection, taken: Sequence[Taken], stored: Stored) -> set[Group]:
        """Return which tenants' months are not within their plans: each is tried alone, and undone."""
        over: set[Group] = set()
        for group in {each.group for each in taken}:
            try:
                with connection.transaction(force_rollback=True):
                    self._insert(connection, [each for each in taken if each.group == group], Stored())
            except _OverQuotaError:
                over.add(group)
        for each in taken:
            _forget(stored, each.position)
        return over

    def _store_limited(self, connection: Connection, taken: list[Taken], group: Group, stored: Stored) -> None:
        """Store what a plan still allows, in order; the rest is over it. What is stored already costs nothing."""
        known = {
            row[0]
            for row in connection.execute(
                statement("claimed_ids"), {"tenant": group[0], "events": [each.event.event_id for each in taken]}
            )
        }
        self._fits(connection, [each for each in taken if each.event.event_id in known], stored)
        new = [each for each in taken if each.event.event_id not in known]
        fitting, refused_from = 0, len(new) + 1
        # All, else the first, else by halves: a plan that is exhausted shows at the second try.
        tried = len(new)
        while fitting < refused_from - 1:
            if self._fits(connection, new[fitting:tried], stored):
                fitting = tried
            else:
                refused_from = tried
            tried = fitting + 1 if fitting == 0 and refused_from == len(new) else (fitting + refused_from) // 2
        if fitting < len(new):
            self._limited[group] = time.monotonic() + LIMITED_SECONDS
            stored.dead.update({each.position: OVER_QUOTA for each in new[fitting:]})
        else:
            self._limited.pop(group, None)

    def _fits(self, connection: Connection, taken: Sequence[Taken], stored: Stored) -> bool:
        attempt = Stored()
        try:
            with connection.transaction():
                self._insert(connection, taken, attempt)
        except _OverQuotaError:
            return False
        stored.counted |= attempt.counted
        stored.repeated |= attempt.repeated
        stored.dead.update(attempt.dead)
        return True

    def _insert(self, connection: Connection, taken: Sequence[Taken], stored: Stored) -> None:
        """Insert the events; those with a value that the database refuses are told from the others by halving.

        Raises:
            _OverQuotaError: together they are not within the plans of their tenants; the caller undoes what was done.
        """
        from orchestration.loading import event_claims  # noqa: PLC0415 - brings Arrow

        if not taken:
            return
        try:
            with connection.transaction():
                once = event_claims.insert_events_once(
                    connection,
                    as_block(taken),
                    origin=ORIGIN,
                    load_id=self._load_id,
                    claimed_by=[each.position for each in taken],
                )
        except errors.CheckViolation as error:
            if error.diag.constraint_name == "plan_events":
                raise _OverQuotaError from None
            self._insert_halves(connection, taken, stored, error)
        except _REFUSALS as error:
            self._insert_halves(connection, taken, stored, error)
        else:
            for row, each in enumerate(taken):
                fate = int(once.fates[row])
                if fate == event_claims.INSERTED or (
                    fate == event_claims.REPEAT and once.held_by.get(row) == each.position
                ):
                    stored.counted.add(each.position)
                elif fate in (event_claims.REPEAT, event_claims.FORGOTTEN):
                    # Of a shopper who was erased nothing is stored, counted or kept, as of what is there already.
                    stored.repeated.add(each.position)
                else:
                    stored.dead[each.position] = CONFLICT

    def _insert_halves(self, connection: Connection, taken: Sequence[Taken], stored: Stored, error: Exception) -> None:
        if len(taken) == 1:
            code = error.sqlstate if isinstance(error, psycopg.Error) else type(error).__name__
            stored.dead[taken[0].position] = f"{REFUSED}:{code}"
            return
        middle = len(taken) // 2
        self._insert(connection, taken[:middle], stored)
        self._insert(connection, taken[middle:], stored)


def _forget(stored: Stored, position: str) -> None:
    stored.counted.discard(position)
    stored.repeated.discard(position)
    stored.dead.pop(position, None)
