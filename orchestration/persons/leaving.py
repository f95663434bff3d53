"""Taking persons out of one database: what the law asks to keep is made anonymous, everything else is deleted.

One transaction, the caller's. The same for an erasure, for the old cell of a move, and for a backup that is restored
and knows somebody who was erased since.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from orchestration.cells.regions import Cell
from orchestration.persons.anonymous import DOMAIN, RETAINED_LOAD, anonymous_person
from orchestration.persons.personal_rows import Place
from orchestration.persons.statements import statement

Connection = psycopg.Connection[Any]

# Lower numbers are given by loads (loading/id_spaces.py): what is nobody's must be no future shopper's.
_FIRST_ANONYMOUS = 10**9

_TABLES = ("users", "addresses", "carts", "orders", "order_items", "payments", "reviews")


@dataclass(frozen=True)
class Left:
    """How many rows went, and how many stay without the person, by what they are."""

    gone: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Left") -> "Left":
        return Left(_added(self.gone, other.gone), _added(self.kept, other.kept))


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}


def new_numbers(connection: Connection, table: sql.Identifier) -> sql.Literal:
    """Return the identity sequence of a table, moved beyond the numbers that loads give."""
    row = connection.execute("select pg_get_serial_sequence(%s, 'id')", (table.as_string(None),)).fetchone()
    name = str(row[0]) if row is not None else ""
    connection.execute(
        sql.SQL("select setval({}, {first}, false) from {} where last_value < {first}").format(
            sql.Literal(name), sql.SQL(name), first=sql.Literal(_FIRST_ANONYMOUS)
        )
    )
    return sql.Literal(name)


def leave(connection: Connection, cell: Cell, places: Iterable[Place], persons: Iterable[UUID]) -> Left:
    """Take persons out of the operational tables of all places of a database, and out of its ``geo.users``.

    Args:
        connection: as migrator, in a transaction that passes fences.
        cell: whose database it is, or on whose server.
        places: every place of the database in which rows can name the persons.
        persons: whom.

    Returns:
        What went and what is kept. Nothing, when they had left before.
    """
    whom = list(persons)
    connection.execute("create temporary table leaving (person_id uuid primary key) on commit drop")
    connection.execute(
        "create temporary table leaving_counts (what text, is_kept boolean, number bigint) on commit drop"
    )
    connection.execute("insert into pg_temp.leaving select distinct unnest(%s::uuid[])", (whom,))
    # Whoever writes something of the person now has ended before this returns, or waits and finds nobody.
    connection.execute("select from geo.users where id = any(%s) for update", (whom,))
    for place in places:
        tables: dict[str, Any] = {name: place.identifier(f"ecommerce.{name}") for name in _TABLES}
        locked = sql.SQL("select from {} where person_id = any({}) for update")
        found = connection.execute(locked.format(tables["users"], sql.Literal(whom))).rowcount
        staff = place.identifier("saas.users")
        found += connection.execute(locked.format(staff, sql.Literal(whom))).rowcount
        if not found:
            continue
        names: dict[str, Any] = tables | {
            "staff": staff,
            "geo_users": sql.Identifier("geo", "users"),
            "users_ids": new_numbers(connection, tables["users"]),
            "addresses_ids": new_numbers(connection, tables["addresses"]),
            "anonymous_person": sql.Literal(anonymous_person(cell)),
            "anonymous_email": sql.Literal(f"anonymous@{DOMAIN}"),
            "domain": sql.Literal(DOMAIN),
            "region": sql.Literal(cell),
            "retained_load": sql.Literal(RETAINED_LOAD),
        }
        connection.execute(sql.SQL(statement("leave_shoppers")).format(**names))
    connection.execute(statement("leave_person").encode())
    counts = connection.execute(
        "select what, is_kept, sum(number)::bigint from pg_temp.leaving_counts group by 1, 2 having sum(number) > 0"
    ).fetchall()
    connection.execute("drop table pg_temp.leaving, pg_temp.leaving_counts")
    return Left(
        {what: number for what, is_kept, number in counts if not is_kept},
        {what: number for what, is_kept, number in counts if is_kept},
    )
