"""Closing a tenant: to everything (suspended), or to writes only, while it is moved, restored or erased.

One row of ``saas.tenant_fences`` closes every table, view and mart at once, for every role that serves tenants: see
``platform.current_tenant()`` and the trigger ``fence_writes``. The order is the guarantee: the row is committed first,
then the lock that every writer shares is taken alone for a moment. Whoever held it wrote before the fence and has
ended; whoever takes it later sees the fence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg import errors, sql
from psycopg.rows import TupleRow

from orchestration.cells import routing
from orchestration.settings import Settings, get_settings
from orchestration.tenancy.placement import placement_of
from orchestration.tenancy.registry import Status, Tenant, TenantError

# How long those who write already are waited for; a request that takes longer hangs, and is the operator's to end.
WRITERS_SECONDS = 30.0

# SQLSTATEs of the trigger: closed to writes, closed to everything.
WRITES_CLOSED = "TNT01"
ALL_CLOSED = "TNT02"

SUSPENDED = "suspended by the operator"

_FENCE = (Path(__file__).parent / "sql" / "set_fence.sql").read_text()

Connection = psycopg.Connection[TupleRow]


class TenantStateError(TenantError):
    """The tenant's status does not allow what was asked."""


class WritersAtWorkError(TenantError):
    """The fence stands, but a writer from before it has not ended; the message says what to do."""


@contextmanager
def _databases(tenant: Tenant, settings: Settings) -> Iterator[list[Connection]]:
    """Open the cell's database, and the tenant's own where it has one, as the role that keeps fences."""
    place = placement_of(tenant)
    with routing.connect(
        tenant.cell, "migrator", autocommit=True, application_name="capstone tenant", settings=settings
    ) as shared:
        if place.database is None:
            yield [shared]
            return
        with place.connect("migrator", settings, autocommit=True) as own:
            yield [shared, own]


def _set_fence(connection: Connection, tenant_id: UUID, *, reads: bool, writes: bool, reason: str) -> None:
    """Within the caller's transaction: close what is asked for, leave closed what is."""
    connection.execute(_FENCE, {"tenant": tenant_id, "reads": reads, "writes": writes, "reason": reason})
    connection.execute("call platform.announce_fence()")


def await_writers(
    connection: Connection, tenant_id: UUID | None, seconds: float = WRITERS_SECONDS, *, bulk: bool
) -> None:
    """Wait until nobody writes who began before; whoever writes next sees what was committed until now.

    Args:
        connection: of a role that keeps fences, in autocommit.
        tenant_id: whose writers; None for those alone who name no tenant.
        seconds: how long at most.
        bulk: also those who name no tenant.

    Raises:
        WritersAtWorkError: a transaction from before still writes.
    """
    keys: list[UUID | None] = [tenant_id, None] if bulk else [tenant_id]
    try:
        with connection.transaction():
            connection.execute("select set_config('lock_timeout', %s, true)", (f"{int(seconds * 1000)}ms",))
            for key in keys:
                connection.execute("select pg_advisory_xact_lock(platform.fence_key(%s::uuid))", (key,))
    except errors.LockNotAvailable:
        raise WritersAtWorkError(
            f"{f'tenant {tenant_id} is closed' if tenant_id else 'it is recorded'}, but after {seconds:.0f} s a "
            "transaction from before still writes: end it "
            "(pg_locks and pg_stat_activity name it), then repeat the command; it goes on from here"
        ) from None


def _status(connection: Connection, tenant_id: UUID) -> Status:
    row = connection.execute("select status from saas.tenants where id = %s for update", (tenant_id,)).fetchone()
    if row is None:
        raise TenantStateError(
            f"tenant {tenant_id} is no longer in its cell: `capstone tenant list` names those there are"
        )
    status: Status = row[0]
    return status


def set_status(tenant: Tenant, status: Status, settings: Settings | None = None) -> Tenant:
    """Record ``status`` wherever the tenant is registered; does not open or close anything. Idempotent."""
    with _databases(tenant, settings or get_settings()) as connections:
        for connection in connections:
            connection.execute(
                "update saas.tenants set status = %s where id = %s and status <> %s", (status, tenant.id, status)
            )
    return replace(tenant, status=status)


def suspend(
    tenant: Tenant,
    reason: str = SUSPENDED,
    settings: Settings | None = None,
    *,
    writers_seconds: float = WRITERS_SECONDS,
) -> Tenant:
    """Close ``tenant`` to every request, reads included; when this returns none of its requests writes any more.

    Suspending a suspended tenant changes nothing.

    Args:
        tenant: whose.
        reason: what its requests are told; nothing personal, at most 200 characters.
        settings: which platform.
        writers_seconds: how long to wait for those that write already.

    Raises:
        TenantStateError: it is being made, moved or erased.
        WritersAtWorkError: it is suspended, but a transaction from before still writes.
        CellUnavailableError: its cell does not answer.
    """
    _check_reason(reason)
    with _databases(tenant, settings or get_settings()) as connections:
        for connection in connections:
            with connection.transaction():
                status = _status(connection, tenant.id)
                if status not in ("active", "suspended"):
                    raise TenantStateError(
                        f"tenant {tenant} is {status}: it can be suspended when that is done; "
                        "`capstone tenant show` says what it waits for"
                    )
                if status == "active":
                    connection.execute("update saas.tenants set status = 'suspended' where id = %s", (tenant.id,))
                    _set_fence(connection, tenant.id, reads=True, writes=False, reason=reason)
        for connection in connections:
            await_writers(connection, tenant.id, writers_seconds, bulk=False)
    return replace(tenant, status="suspended")


def resume(tenant: Tenant, settings: Settings | None = None) -> Tenant:
    """Open a suspended tenant again; an active one stays as it is.

    Raises:
        TenantStateError: it is being made, moved or erased.
        CellUnavailableError: its cell does not answer.
    """
    with _databases(tenant, settings or get_settings()) as connections:
        # Its own database first: the cell's registry is what requests are let in by.
        for connection in reversed(connections):
            with connection.transaction():
                status = _status(connection, tenant.id)
                if status not in ("active", "suspended"):
                    raise TenantStateError(
                        f"tenant {tenant} is {status}, not suspended: `capstone tenant show` says what it waits for"
                    )
                connection.execute("update saas.tenants set status = 'active' where id = %s", (tenant.id,))
                _open(connection, tenant.id, "reads")
    return replace(tenant, status="active")


def fence_writes(
    tenant: Tenant,
    reason: str,
    settings: Settings | None = None,
    *,
    reads: bool = False,
    writers_seconds: float = WRITERS_SECONDS,
) -> None:
    """Close ``tenant`` to writes of everybody, bulk loads included; when this returns no writer is in flight.

    Its rows are then written only behind :func:`pass_fence`. Idempotent.

    Args:
        tenant: whose.
        reason: what its requests are told; nothing personal, at most 200 characters.
        settings: which platform.
        reads: close its reads as well.
        writers_seconds: how long to wait for those that write already.

    Raises:
        WritersAtWorkError: the fence stands, but a transaction from before still writes; repeat the call.
        CellUnavailableError: its cell does not answer.
    """
    _check_reason(reason)
    with _databases(tenant, settings or get_settings()) as connections:
        for connection in connections:
            with connection.transaction():
                _set_fence(connection, tenant.id, reads=reads, writes=True, reason=reason)
        for connection in connections:
            await_writers(connection, tenant.id, writers_seconds, bulk=True)


def unfence(tenant: Tenant, settings: Settings | None = None) -> None:
    """Open ``tenant`` to writes again, and to reads unless its status says that it is suspended. Idempotent."""
    with _databases(tenant, settings or get_settings()) as connections:
        for connection in reversed(connections):
            with connection.transaction():
                row = connection.execute(
                    "select status = 'suspended' from saas.tenants where id = %s", (tenant.id,)
                ).fetchone()
                if row is not None and row[0]:
                    _open(connection, tenant.id, "writes")
                else:
                    connection.execute("delete from saas.tenant_fences where tenant_id = %s", (tenant.id,))


def pass_fence(connection: Connection, tenant_id: UUID) -> None:
    """Let this transaction write rows of ``tenant_id`` behind its fence; only who bypasses row security is let."""
    connection.execute("select set_config('app.fence_pass', %s, true)", (str(tenant_id),))


def _open(connection: Connection, tenant_id: UUID, side: str) -> None:
    other = "writes" if side == "reads" else "reads"
    # A fence that closes nothing is none.
    connection.execute(
        sql.SQL("delete from saas.tenant_fences where tenant_id = %s and not {}").format(sql.Identifier(other)),
        (tenant_id,),
    )
    connection.execute(
        sql.SQL("update saas.tenant_fences set {} = false where tenant_id = %s").format(sql.Identifier(side)),
        (tenant_id,),
    )


def _check_reason(reason: str) -> None:
    if not 1 <= len(reason) <= 200 or not reason.isprintable():
        raise TenantStateError(f"the reason has {len(reason)} characters: 1 to 200 printable ones are needed")
