"""Events of shoppers who were erased or have left: left out by whoever writes events, whichever way they come."""

from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from orchestration.loading.copy_loader import Connection
from orchestration.persons.former import KnownUsers, former_users, is_former


def tenants_of(block: pa.Table) -> list[UUID]:
    """Return the tenants of a block of rows, each once; their ids are UUIDs of 16 bytes."""
    tenants = block["tenant_id"].combine_chunks().cast(pa.binary())
    return [UUID(bytes=each) for each in tenants.unique().to_pylist()]


def rows_of_former_users(known: KnownUsers, block: pa.Table) -> npt.NDArray[np.bool_] | None:
    """Return which rows of a block of events are of a former shopper; None when none is, as nearly always.

    Args:
        known: from :func:`former_users`, asked in the transaction that is to write the rest.
        block: with the columns tenant_id, UUIDs of 16 bytes, and user_id, where the events have users.
    """
    if not known or "user_id" not in block.column_names:
        return None
    affected = {tenant.bytes: tenant for tenant, _ in known}
    decided: dict[tuple[bytes, int], bool] = {}
    gone = np.zeros(block.num_rows, dtype=np.bool_)
    tenants = block["tenant_id"].combine_chunks().cast(pa.binary())
    for row, (tenant, user) in enumerate(zip(tenants.to_pylist(), block["user_id"].to_pylist(), strict=True)):
        if user is None or tenant not in affected:
            continue
        key = (tenant, int(user))
        if key not in decided:
            decided[key] = is_former(known, affected[tenant], int(user))
        gone[row] = decided[key]
    return gone if gone.any() else None


def blocks_without_former_users(
    connection: Connection, blocks: Iterable[pa.Table], tenants: Collection[UUID]
) -> Iterator[pa.Table]:
    """Yield the blocks without the events of former shoppers.

    Asked for the first of them it asks the database, once: later the connection is busy with the COPY of the blocks.

    Args:
        connection: in the transaction that writes them once the first is asked for.
        blocks: of events.
        tenants: all that they may be of.
    """
    known = former_users(connection, tenants)
    for block in blocks:
        gone = rows_of_former_users(known, block)
        yield block if gone is None else block.filter(pa.array(~gone))
