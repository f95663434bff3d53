"""In whose name a transaction runs: the tenant that row security lets it see.

The context is local to the transaction, so a pooled connection carries none to its next borrower, whatever happens in
between. Without a context a tenant's role sees no row.
"""

from collections.abc import Iterator
from contextlib import contextmanager
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
    """The transaction cannot run in the name of this tenant; the message says why."""


def parse_tenant_id(tenant_id: UUID | str) -> UUID:
    """Return ``tenant_id`` as a UUID.

    Raises:
        TenantContextError: it is none. The database would take it for no context and show no rows.
    """
    if isinstance(tenant_id, UUID):
        return tenant_id
    try:
        return UUID(tenant_id)
    except (ValueError, AttributeError, TypeError):
        raise TenantContextError(f"{tenant_id!r} is not a tenant's id: a UUID is needed") from None


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
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise TenantContextError("a transaction is already open: commit or roll it back before entering a tenant's")
    with connection.transaction():
        with connection.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute(_ENTER, (str(tenant),)).fetchone()
        before, bypasses, role, _ = row if row is not None else (None, True, "?", None)
        if bypasses:
            raise TenantContextError(
                f"role {role!r} bypasses row security, a tenant's context does not restrict it: connect as 'app'"
            )
        if before is not None:
            raise TenantContextError(
                "this session carries a tenant beyond its transactions: somebody used SET or "
                "set_config(..., false); close the connection"
            )
        yield connection
