"""The journal of what is done to a tenant as a whole; how a killed operation goes on is in :mod:`cells.journal`."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from orchestration.cells import journal
from orchestration.cells.journal import Journal, Journaled, Operation
from orchestration.cells.regions import Cell
from orchestration.settings import Settings

TENANTS = Journal(
    table="tenant_operations",
    subject="tenant_id",
    noun="tenant",
    lock_space=0x74656E61,  # "tena"
    reading_verbs=frozenset({"export", "backup"}),
)


def open_operation_of(cell: Cell, tenant_id: UUID, settings: Settings | None = None) -> Journaled | None:
    """Return the operation that was begun for the tenant and has not ended, if there is one."""
    return journal.open_operation_of(TENANTS, cell, tenant_id, settings)


def operation(
    cell: Cell,
    tenant_id: UUID,
    verb: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    settings: Settings | None = None,
) -> AbstractContextManager[Operation]:
    """Begin an operation on a tenant, or resume it; see :func:`orchestration.cells.journal.operation`."""
    return journal.operation(TENANTS, cell, tenant_id, verb, arguments, settings=settings)
