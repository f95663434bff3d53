"""Persons who were erased or moved away: generators and old files know them still, loads leave their rows out."""

from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.loading.absent_tenants import only_named, without_tenants
from orchestration.loading.copy_loader import Connection
from orchestration.persons.former import former_persons
from orchestration.synthetic.people import ShopperRows, StaffRows


def _former(connection: Connection, persons: pa.Table) -> frozenset[UUID]:
    return former_persons(connection, (UUID(bytes=each) for each in persons["id"].to_pylist()))


def _keys(table: pa.Table, column: str) -> list[tuple[bytes, object]]:
    return list(zip(table["tenant_id"].to_pylist(), table[column].to_pylist(), strict=True))


def _of_others(table: pa.Table, persons: Collection[UUID], column: str) -> pa.Table:
    return without_tenants(table, persons, column)


def shoppers_who_stay(connection: Connection, rows: ShopperRows) -> ShopperRows:
    """Return the rows without those of former persons."""
    former = _former(connection, rows.persons)
    if not former:
        return rows
    users = _of_others(rows.users, former, "person_id")
    stay = set(_keys(users, "id"))
    kept = np.array([key in stay for key in _keys(rows.addresses, "user_id")], dtype=np.bool_)
    persons = _of_others(rows.persons, former, "id")
    data = rows.eu_user_data
    return replace(
        rows,
        persons=persons,
        users=users,
        addresses=rows.addresses.filter(pa.array(kept)),
        eu_user_data=None if data is None else only_named(data, persons, key="user_id", named_by="id"),
    )


def staff_who_stay(connection: Connection, rows: StaffRows) -> StaffRows:
    """Return the rows without those of former persons; their projects stay and name nobody."""
    former = _former(connection, rows.persons)
    if not former:
        return rows
    users = _of_others(rows.users, former, "person_id")
    stay = set(_keys(users, "id"))
    kept = pa.array([key in stay for key in _keys(rows.projects, "created_by")], pa.bool_())
    position = rows.projects.column_names.index("created_by")
    column = rows.projects["created_by"]
    named = pc.if_else(kept, column, pa.scalar(None, column.type))
    return replace(
        rows,
        persons=_of_others(rows.persons, former, "id"),
        users=users,
        projects=rows.projects.set_column(position, "created_by", named),
    )
