"""Rows of one tenant replaced exactly: deleted where they are, copied in as they arrive, one transaction per database.

Written as ``migrator``, who bypasses row security and acts for the owner (of identity columns and counters too), behind
the tenant's fence. Models that dbt built belong to ``transformer`` and are written as it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias
from uuid import UUID

from psycopg import sql

from orchestration.cells.endpoints import Role
from orchestration.cells.regions import Cell
from orchestration.settings import Settings
from orchestration.tenancy import row_copy
from orchestration.tenancy.holdings import (
    PERSONS_OF,
    Connection,
    Digest,
    Holding,
    HoldingError,
    Sort,
    columns,
    connect,
    digest,
    exists,
    names,
    persons_condition,
    statement,
)
from orchestration.tenancy.suspension import pass_fence

Blocks: TypeAlias = Iterator[bytes]

# Counters that triggers keep with the rows that they count, and marks that are never stored.
KEPT_BY_TRIGGERS = frozenset({"metering.accounts", "platform.tenant_places"})

# What follows a tenant from place to place, beside the persons; each in the order in which it may be written.
MOVING_SORTS: tuple[Sort, ...] = ("operational", "events", "record", "model")

_PERSON_COLUMN = {"geo.users": "id", "geo.eu_user_data": "user_id"}


def role_of(holding: Holding) -> Role:
    """Return who writes the holding."""
    return "transformer" if holding.sort == "model" else "migrator"


def movable(held: Iterable[Holding], *sorts: Sort) -> list[Holding]:
    """Return the holdings of these sorts whose rows are written one by one: rollups are counted from events."""
    return [each for each in held if each.sort in sorts and each.sort != "rollup" and each.name not in KEPT_BY_TRIGGERS]


@contextmanager
def writing(
    cell: Cell, role: Role, database: str | None, tenant_id: UUID, settings: Settings, *, verb: str
) -> Iterator[Connection]:
    """Open one transaction that may write the tenant's rows; commits at the block's end, or rolls back."""
    with connect(cell, role, database, settings, verb=verb) as connection:
        connection.execute("set local timezone = 'UTC'")
        connection.execute("set local statement_timeout = 0")
        pass_fence(connection, tenant_id)
        yield connection


def delete_rows(connection: Connection, held: Sequence[Holding], tenant_id: UUID) -> int:
    """Delete the tenant's rows, referring relations first, and return how many there were."""
    count = 0
    for each in reversed(held):
        if exists(connection, each):
            query = sql.SQL("delete from {} where {}").format(each.identifier, each.of(tenant_id))
            count += max(connection.execute(query).rowcount, 0)
    return count


def write_holding(
    connection: Connection, holding: Holding, given: Sequence[str], blocks: Blocks, tenant_id: UUID
) -> int:
    """COPY rows into the holding's relation, whose columns have to be the given ones in any order; return how many.

    Raises:
        HoldingError: the relation has other columns: the two places are at different versions.
    """
    here = columns(connection, holding.identifier)
    if set(here) != set(given):
        differ = ", ".join(sorted(set(here) ^ set(given)))
        raise HoldingError(
            f"{holding.name} has other columns here ({differ}): bring both places to one version with `capstone up`"
        )
    count = row_copy.write_rows(connection, holding.identifier, given, blocks)
    row_copy.advance_identities(connection, holding.identifier, holding.of(tenant_id))
    return count


def write_persons(connection: Connection, relation: str, given: Sequence[str], blocks: Blocks) -> int:
    """Insert the persons who are not here yet; those who are stay as they are. Return how many were new.

    A person of whom landing has made known the id and region alone, without an address, becomes known whole.
    """
    table = sql.Identifier(*relation.split("."))
    connection.execute(
        sql.SQL("create temporary table arriving (like {} including generated) on commit drop").format(table)
    )
    row_copy.write_rows(connection, sql.Identifier("pg_temp", "arriving"), given, blocks)
    on_conflict: sql.Composable = sql.SQL("nothing")
    if relation == "geo.users":
        on_conflict = sql.SQL("update set ({}) = row({}) where here.email = ''").format(
            names(given), sql.SQL(", ").join(sql.SQL("excluded.{}").format(sql.Identifier(name)) for name in given)
        )
    key = sql.Identifier(_PERSON_COLUMN[relation])
    query = sql.SQL("insert into {} as here ({}) select {} from pg_temp.arriving on conflict ({}) do {}").format(
        table, names(given), names(given), key, on_conflict
    )
    count = connection.execute(query).rowcount
    connection.execute("drop table pg_temp.arriving")
    return count


def person_places(held: Iterable[Holding], *sorts: Sort) -> dict[str, sql.Identifier]:
    """Return where the relations that lead to persons are, by their declared names."""
    return {each.name: each.identifier for each in held if each.sort in sorts and each.name in PERSONS_OF}


def note_persons(connection: Connection, held: Sequence[Holding], tenant_id: UUID, more: Iterable[UUID] = ()) -> None:
    """Note, until the transaction ends, whom the tenant's rows in this database refer to.

    Args:
        connection: within a transaction that is going to delete those rows.
        held: what the tenant holds in this database.
        tenant_id: the tenant.
        more: persons whom its rows elsewhere refer to.
    """
    connection.execute("create temporary table if not exists noted (id uuid primary key) on commit drop")
    for sort in ("operational", "landed"):
        place = person_places([each for each in held if exists(connection, each)], sort)
        if len(place) == len(PERSONS_OF):
            query = sql.SQL("insert into pg_temp.noted select id from geo.users where {} on conflict do nothing")
            connection.execute(query.format(persons_condition(place, tenant_id)))
    connection.execute("insert into pg_temp.noted select unnest(%s::uuid[]) on conflict do nothing", (list(more),))


def delete_unreferenced_persons(connection: Connection) -> int:
    """Delete those of the noted persons to whom no row of any tenant in this database refers; return how many.

    Takes every table of members and shoppers into account, those in schemas of single tenants too.
    """
    tables = connection.execute(statement("person_references")).fetchall()
    conditions = [
        sql.SQL("not exists (select from {} as r where r.person_id = p.id)").format(sql.Identifier(schema, table))
        for schema, table in tables
    ]
    query = sql.SQL("delete from geo.users as p using pg_temp.noted as n where p.id = n.id and {}").format(
        sql.SQL(" and ").join(conditions)
    )
    return connection.execute(query).rowcount


def persons_of(connection: Connection, held: Sequence[Holding], tenant_id: UUID) -> list[UUID]:
    """Return the persons whom the tenant's own rows refer to; in the database that those rows are in."""
    place = person_places(held, "operational")
    query = sql.SQL("select id from geo.users where {}").format(persons_condition(place, tenant_id))
    return [person for (person,) in connection.execute(query)]


def copy_persons(source: Connection, target: Connection, held: Sequence[Holding], tenant_id: UUID) -> int:
    """Copy the persons whom the tenant's rows refer to from database to database; return how many were new there."""
    place = person_places(held, "operational")
    count = 0
    for name, column in _PERSON_COLUMN.items():
        table = sql.Identifier(*name.split("."))
        given = columns(source, table)
        blocks = row_copy.stream(source, table, given, persons_condition(place, tenant_id, column))
        added = write_persons(target, name, given, blocks)
        count += added if name == "geo.users" else 0
    return count


def digests(
    cell: Cell, held: Sequence[Holding], tenant_id: UUID, settings: Settings, *, verb: str
) -> dict[str, Digest]:
    """Count and checksum every one of the holdings; a relation that is not there has no rows."""
    found: dict[str, Digest] = {}
    with ExitStack() as stack:
        open_to: dict[str | None, Connection] = {}
        for each in held:
            if each.database not in open_to:
                open_to[each.database] = stack.enter_context(
                    connect(cell, "auditor", each.database, settings, verb=verb)
                )
            connection = open_to[each.database]
            if not exists(connection, each):
                found[each.name] = Digest(0, "0.0")
                continue
            # By name: two places need not have their columns in the same order.
            chosen = sorted(columns(connection, each.identifier))
            found[each.name] = digest(connection, each.identifier, chosen, each.of(tenant_id))
    return found


def disagreements(one: Mapping[str, Digest], other: Mapping[str, Digest]) -> list[str]:
    """Return the names whose rows are not the same in both."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def each_database(held: Sequence[Holding], work: Callable[[str | None, list[Holding]], None]) -> None:
    """Call ``work`` for every database that the holdings are in, the tenant's own first."""
    for database in sorted({each.database for each in held}, key=lambda name: name is None):
        work(database, [each for each in held if each.database == database])
