"""Persons who were erased since a backup was taken: whoever restores it erases them again, in the same transaction."""

from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql

from orchestration.cells import routing
from orchestration.persons import former
from orchestration.persons.leaving import leave
from orchestration.persons.personal_rows import BUILT_WHOLE, OF_USER, ROLLUPS, Place
from orchestration.settings import Settings
from orchestration.tenancy import stale_days

Connection = psycopg.Connection[Any]

# A backup knows fewer of them than there are.
_NOTE = """
    create temporary table former_users_before on commit drop as
    select f.* from analytics.former_users as f where f.tenant_id = %s
"""
_KEEP = """
    insert into analytics.former_users select b.* from pg_temp.former_users_before as b on conflict do nothing
"""
# Of alias e.
_OF_FORMER: LiteralString = (
    "e.tenant_id = {tenant} and e.user_id in ("
    "select u.user_id from (select distinct d.user_id from {relation} as d "
    "where d.tenant_id = {tenant} and d.user_id is not null) as u "
    "inner join analytics.former_users as f on f.tenant_id = {tenant} "
    "and f.digest = analytics.user_digest({tenant}, u.user_id))"
)


def note_former_users(connection: Connection, tenant_id: UUID) -> None:
    """Note, until the transaction ends, of whom the tenant takes no events; before its rows are replaced."""
    connection.execute(_NOTE.encode(), (tenant_id,))


def keep_former_users(connection: Connection) -> None:
    """Add those who were noted to what came back."""
    connection.execute(_KEEP.encode())


def erase_again(connection: Connection, place: Place, tenant_id: UUID, settings: Settings) -> int:
    """Take those who were erased or moved away out of a tenant's rows that have come back; return how many persons.

    Args:
        connection: the transaction that brought the rows back, as migrator, passing fences.
        place: where they are.
        tenant_id: whose.
        settings: which platform.
    """
    named = sql.SQL("select person_id from {} where tenant_id = {tenant} union select person_id from {} ").format(
        place.identifier("saas.users"), place.identifier("ecommerce.users"), tenant=sql.Literal(tenant_id)
    ) + sql.SQL("where tenant_id = {}").format(sql.Literal(tenant_id))
    persons = [person for (person,) in connection.execute(named)]
    with routing.connect(place.cell, "migrator", application_name="capstone tenant restore", settings=settings) as cell:
        gone = former.former_persons(cell, persons)
        if not gone:
            return 0
        users = connection.execute(
            sql.SQL("select tenant_id, id from {} where person_id = any({})").format(
                place.identifier("ecommerce.users"), sql.Literal(list(gone))
            )
        ).fetchall()
        former.record_users(cell if place.database is not None else connection, users)
    leave(connection, place.cell, [place], gone)
    return len(gone)


def delete_rows_of_former_users(connection: Connection, tenant_id: UUID, *schemas: str) -> int:
    """Delete what has come back of shoppers who were erased; return how many rows.

    The days are marked as to be built again. Of models that came back nobody can tell which days knew them: all are.

    Args:
        connection: as whoever may write them, in a transaction.
        tenant_id: whose.
        schemas: of the relations: analytics for events, intermediate for models.
    """
    if "analytics" in schemas and _knows_former_users(connection, tenant_id):
        live, history = (
            _of_former(relation, tenant_id) for relation in ("analytics.events", "analytics.events_history")
        )
        stale_days.mark(connection, tenant_id, live, history)
    gone = 0
    for relation in OF_USER:
        schema, table = relation.split(".")
        if relation in BUILT_WHOLE | ROLLUPS or schema not in schemas or table == "event_ids":
            continue
        row = connection.execute("select to_regclass(%s) is not null", (relation,)).fetchone()
        if row is not None and row[0]:
            query = sql.SQL("delete from {} as e where {}").format(
                sql.Identifier(schema, table), _of_former(relation, tenant_id)
            )
            gone += max(connection.execute(query).rowcount, 0)
    if gone and "intermediate" in schemas:
        stale_days.mark_all_of(connection, tenant_id)
    return gone


def _of_former(relation: str, tenant_id: UUID) -> sql.Composed:
    names = {"relation": sql.Identifier(*relation.split(".")), "tenant": sql.Literal(tenant_id)}
    return sql.SQL(_OF_FORMER).format(**names)


def _knows_former_users(connection: Connection, tenant_id: UUID) -> bool:
    query = "select exists (select from analytics.former_users where tenant_id = %s)"
    row = connection.execute(query, (tenant_id,)).fetchone()
    return row is not None and bool(row[0])
