"""Merchants that generators and old files know and that a cell's shared tables must not get.

Who was moved away or erased must not come back by a reload, and who keeps its rows in a schema or database of its own
must not have them twice.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from orchestration.loading.copy_loader import Connection, statement


@dataclass(frozen=True)
class AbsentTenants:
    """Tenants to leave out.

    Attributes:
        departed: moved away or erased; nothing of them is written.
        elsewhere: here, with operational rows in a place of their own; events are written, those rows are not.
    """

    departed: frozenset[UUID]
    elsewhere: frozenset[UUID]

    @property
    def of_rows(self) -> frozenset[UUID]:
        """Those of whom the shared tables get no operational row."""
        return self.departed | self.elsewhere


def absent_tenants(connection: Connection, tenants: Iterable[UUID]) -> AbsentTenants:
    """Return which of ``tenants`` are to be left out, as it is now."""
    departed, elsewhere = set(), set()
    for tenant, is_departed, is_elsewhere in connection.execute(
        statement("absent_tenants"), {"tenants": list(tenants)}
    ):
        if is_departed:
            departed.add(tenant)
        elif is_elsewhere:
            elsewhere.add(tenant)
    return AbsentTenants(frozenset(departed), frozenset(elsewhere))


def _bytes(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks().cast(pa.binary())


def without_tenants(table: pa.Table, tenants: Collection[UUID], column: str = "tenant_id") -> pa.Table:
    """Return the rows of ``table`` that are of none of ``tenants``."""
    if not tenants or not table.num_rows:
        return table
    unwanted = pa.array([tenant.bytes for tenant in tenants], pa.binary())
    return table.filter(pc.invert(pc.is_in(_bytes(table[column]), value_set=unwanted)))


def blocks_without_tenants(blocks: Iterable[pa.Table], tenants: Collection[UUID]) -> Iterator[pa.Table]:
    """Yield the blocks without the rows of ``tenants``."""
    for block in blocks:
        yield without_tenants(block, tenants)


def only_named(persons: pa.Table, rows: pa.Table, *, key: str, named_by: str) -> pa.Table:
    """Return those of ``persons`` whose ``key`` a row names in its column ``named_by``."""
    if not persons.num_rows:
        return persons
    return persons.filter(pc.is_in(_bytes(persons[key]), value_set=_bytes(rows[named_by])))
