"""In whose name a transaction runs: the tenant that row security lets it see.

The context is local to the transaction, so a pooled connection carries none to its next borrower, whatever happens in
between. Without a context a tenant's role sees no row.

This is the bare context, on a connection of the caller's. Requests come in through ``tenant_pool.py``, which also
keeps them within their plan and leaves nothing of the session to the next borrower.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import ClassVar
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow, tuple_row

# One round trip: what the session had, whether row security applies to it at all, and the new context.
_ENTER = """
    select
        nullif(current_setting('app.current_tenant', true), ''),
        (select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user),
        current_user,
        set_config('app.current_tenant', %s, true)
"""


class TenantContextError(RuntimeError):
    """The transaction cannot run in the name of this tenant; the message says why.

    Attributes:
        status: what a web server answers, as an HTTP status code; 500 is a mistake of the program's.
    """

    status: ClassVar[int] = 500


class MalformedTenantError(TenantContextError):
    """What should name a tenant cannot be one."""

    status = 400


class SuspendedTenantError(TenantContextError):
    """The tenant is closed: suspended, or being erased."""

    status = 403


class UnknownTenantError(TenantContextError):
    """There is no such tenant in this cell."""

    status = 404


class TenantBusyError(TenantContextError):
    """The tenant has as many transactions open as its plan, or its share of the pool, allows: try again."""

    status = 429


def parse_tenant_id(tenant_id: UUID | str) -> UUID:
    """Return ``tenant_id`` as a UUID.

    Raises:
        MalformedTenantError: it is none. The database would take it for no context and show no rows.
    """
    if isinstance(tenant_id, UUID):
        return tenant_id
    try:
        return UUID(tenant_id)
    except (ValueError, AttributeError, TypeError):
        raise MalformedTenantError(f"{tenant_id!r} is not a tenant's id: a UUID is needed") from None


def _require_idle(connection: psycopg.Connection[TupleRow] | psycopg.AsyncConnection[TupleRow]) -> None:
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise TenantContextError("a transaction is already open: commit or roll it back before entering a tenant's")


def require_restricted(*, carries: bool, bypasses: bool) -> None:
    """Fail when a tenant's context would be one of several, or restrict nothing.

    Raises:
        TenantContextError: the session carries a tenant already, or its role bypasses row security.
    """
    if bypasses:
        raise TenantContextError(
            "the role bypasses row security, a tenant's context does not restrict it: connect as 'app'"
        )
    if carries:
        raise TenantContextError(
            "this session carries a tenant beyond its transactions: somebody used SET or "
            "set_config(..., false); close the connection"
        )


def _require_entered(row: TupleRow | None) -> None:
    before, bypasses, _, _ = row if row is not None else (None, True, "?", None)
    require_restricted(carries=before is not None, bypasses=bool(bypasses))


@contextmanager
def tenant_context(
    connection: psycopg.Connection[TupleRow], tenant_id: UUID | str
) -> Iterator[psycopg.Connection[TupleRow]]:
    """Run the block in one transaction in the name of ``tenant_id``; commits at its end, rolls back on an exception.

    The connection must be outside a transaction: inside one the context would outlive the block.

    Raises:
        TenantContextError: no UUID, a transaction is open, the session already carries a tenant, or the role bypasses
            row security, so that the context would restrict nothing.
    """
    tenant = parse_tenant_id(tenant_id)
    _require_idle(connection)
    with connection.transaction():
        with connection.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute(_ENTER, (str(tenant),)).fetchone()
        _require_entered(row)
        yield connection


@asynccontextmanager
async def async_tenant_context(
    connection: psycopg.AsyncConnection[TupleRow], tenant_id: UUID | str
) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
    """Do as :func:`tenant_context` does, on an asynchronous connection."""
    tenant = parse_tenant_id(tenant_id)
    _require_idle(connection)
    async with connection.transaction():
        async with connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(_ENTER, (str(tenant),))
            row = await cursor.fetchone()
        _require_entered(row)
        yield connection
