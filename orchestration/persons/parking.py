"""Rows of a person who is on the way to another cell: out of every table in one transaction, and put back in one.

Parked, nobody reads or writes them, and they have not left the cell. What the law keeps stays in its table without the
person, as after an erasure (:mod:`leaving`), and takes its old values when the move is rolled back.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from orchestration.cells.regions import Cell
from orchestration.persons.anonymous import DOMAIN
from orchestration.persons.leaving import Left, leave
from orchestration.persons.personal_rows import OF_ACCOUNT, OF_PERSON, Account, condition
from orchestration.persons.whereabouts import Whereabouts, places
from orchestration.tenancy.holdings import columns, names

Connection = psycopg.Connection[Any]

# Rows that stay in their tables without the person; the others are deleted.
_KEPT = frozenset({"saas.projects", "ecommerce.orders", "ecommerce.payments", "ecommerce.reviews"})
# As they can be put back: what is referred to comes first.
_ORDER = (
    "geo.users", "geo.eu_user_data", "saas.users", "saas.projects", "ecommerce.users", "ecommerce.addresses",
    "ecommerce.carts", "ecommerce.cart_items", "ecommerce.orders", "ecommerce.payments", "ecommerce.reviews",
)  # fmt: skip

_PARK = """
    insert into platform.parked_rows (operation_id, position, relation, of_tenant, content)
    select {operation}, {after} + row_number() over (), {relation}, {tenant}, to_jsonb(r)
    from {identifier} as r where {condition}
"""


def park(connection: Connection, operation_id: UUID, found: Whereabouts, cell: Cell, database: str | None) -> Left:
    """Park everything operational of a person in one database, in the caller's transaction.

    A second call finds nothing and parks nothing.

    Args:
        connection: as migrator, passing fences.
        operation_id: the move.
        found: where the person is.
        cell: whose database.
        database: a tenant's own; None for the cell's.
    """
    # Before the copy: what others write of the person has ended, or waits and finds nobody.
    connection.execute("select from geo.users where id = %s for update", (found.person_id,))
    for each in found.of(cell, database):
        locked = sql.SQL("select from {} where person_id = {} for update")
        for relation in ("saas.users", "ecommerce.users"):
            connection.execute(locked.format(each.place.identifier(relation), sql.Literal(found.person_id)))
    for relation, account in _parked(found.of(cell, database)):
        identifier = account.place.identifier(relation) if account else sql.Identifier(*relation.split("."))
        row = connection.execute(
            "select coalesce(max(position), 0) from platform.parked_rows where operation_id = %s", (operation_id,)
        ).fetchone()
        connection.execute(
            sql.SQL(_PARK).format(
                operation=sql.Literal(operation_id),
                after=sql.Literal(row[0] if row is not None else 0),
                relation=sql.Literal(_label(relation, account)),
                tenant=sql.SQL("{}::uuid").format(sql.Literal(account.tenant_id if account else None)),
                identifier=identifier,
                condition=condition(relation, found.person_id, account),
            )
        )
    return leave(connection, cell, places(connection, cell, database), [found.person_id])


def _parked(accounts: Iterable[Account]) -> Iterator[tuple[str, Account | None]]:
    of_each = list(accounts)
    for relation in _ORDER:
        if relation in OF_PERSON:
            yield relation, None
        elif relation in OF_ACCOUNT:
            for account in of_each:
                yield relation, account


def _label(relation: str, account: Account | None) -> str:
    """Return what says where a row is: the declared name, or that in a tenant's own schema."""
    if account is None:
        return relation
    schema, table = relation.split(".")
    return f"{account.place.saas if schema == 'saas' else account.place.ecommerce}.{table}"


def parked(connection: Connection, operation_id: UUID, relation: str, account: Account | None = None) -> list[str]:
    """Return the parked rows of a relation as JSON: the person's own, or those of an account."""
    rows = connection.execute(
        "select content::text from platform.parked_rows where operation_id = %s and relation = %s "
        "and of_tenant is not distinct from %s order by position",
        (operation_id, _label(relation, account), account.tenant_id if account else None),
    )
    return [content for (content,) in rows]


def put_back(connection: Connection, operation_id: UUID) -> int:
    """Put all parked rows of a database back, in the caller's transaction; return how many there were."""
    rows: list[tuple[str, str]] = connection.execute(
        "select relation, content::text from platform.parked_rows where operation_id = %s order by position",
        (operation_id,),
    ).fetchall()
    nobodies: list[tuple[str, Mapping[str, Any]]] = []
    for label, content in rows:
        identifier = sql.Identifier(*label.split("."))
        table = label.split(".")[1]
        chosen = columns(connection, identifier)
        values = sql.SQL("select {} from jsonb_populate_record(null::{}, {}::jsonb)").format(
            names(chosen), identifier, sql.Literal(content)
        )
        if table in {name.split(".")[1] for name in _KEPT}:
            nobodies += _forget_nobody(connection, identifier, table, content)
            key = sql.SQL("(tenant_id, id) = (({row}::jsonb ->> 'tenant_id')::uuid, ({row}::jsonb ->> 'id')::{kind})")
            kind = sql.SQL("uuid" if table == "projects" else "bigint")
            fulfilled = key.format(row=sql.Literal(content), kind=kind)
            query = sql.SQL("update {} set ({}) = ({}) where {}").format(identifier, names(chosen), values, fulfilled)
        else:
            query = sql.SQL("insert into {} ({}) {}").format(identifier, names(chosen), values)
        connection.execute(query)
    for schema, nobody in nobodies:
        for table, column in (("addresses", "user_id"), ("users", "id")):
            connection.execute(
                sql.SQL("delete from {} where tenant_id = %s and {} = %s").format(
                    sql.Identifier(schema, table), sql.Identifier(column)
                ),
                (nobody["tenant_id"], nobody["user_id"]),
            )
    return forget(connection, operation_id)


def _forget_nobody(
    connection: Connection, identifier: sql.Identifier, table: str, content: str
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the anonymous shopper that a kept row refers to now: nothing refers to it once the row is as it was."""
    if table not in ("orders", "reviews"):
        return []
    schema = identifier.as_string(None).split(".")[0].strip('"')
    users = sql.Identifier(schema, "users")
    row = connection.execute(
        sql.SQL(
            "select k.tenant_id, k.user_id from {} as k inner join {} as u on k.tenant_id = u.tenant_id "
            "and k.user_id = u.id where k.tenant_id = (%(row)s::jsonb ->> 'tenant_id')::uuid "
            "and k.id = (%(row)s::jsonb ->> 'id')::bigint and u.email like %(nobody)s"
        ).format(identifier, users),
        {"row": content, "nobody": f"%@{DOMAIN}"},
    ).fetchone()
    return [(schema, {"tenant_id": row[0], "user_id": row[1]})] if row is not None else []


def forget(connection: Connection, operation_id: UUID) -> int:
    """Delete what is parked of a move, in the caller's transaction; return how many rows."""
    return connection.execute("delete from platform.parked_rows where operation_id = %s", (operation_id,)).rowcount
