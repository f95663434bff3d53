"""What a tenant holds: every relation with rows of it, wherever those are, and how they are counted and compared.

Goes by the declarations of ``sql/relations.yml``, not by what the database happens to have: a relation of tenants
that is declared is held, moved, exported and erased.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias
from uuid import UUID

import psycopg
from psycopg import sql

from orchestration.cells import routing
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import Cell
from orchestration.cells.relations import Edition, Relation, load_relations
from orchestration.cells.stores import stores
from orchestration.settings import Settings
from orchestration.tenancy.placement import OPERATIONAL_DOMAINS, operational_relations, placement
from orchestration.tenancy.registry import Model

Connection: TypeAlias = psycopg.Connection[Any]

# operational: what the tenant writes, where its model says; events: behavioural events; rollup: counted from them;
# model: built by dbt; record: the operator's about the tenant (its usage); registry: that it exists; journal: what was
# done to it; landed: the copies of an own schema's or database's rows that dbt reads.
Sort = Literal["operational", "events", "rollup", "model", "record", "registry", "journal", "landed"]

# That the tenant is there, and whether it is open. Not rows that follow it: they are what a move switches.
REGISTRY = ("saas.tenants", "saas.tenant_fences")

# Rows whose order matters to a trigger of their table: a category's path is made from its parent's.
ORDERED = {"ecommerce.categories": "public.nlevel(path)"}

# Whose rows lead to persons, by the column that does.
PERSONS_OF = {"ecommerce.users": "person_id", "saas.users": "person_id"}

_SQL = Path(__file__).parent / "sql"


class HoldingError(RuntimeError):
    """Rows of a tenant are not where they are declared to be."""


@cache
def statement(name: str) -> str:
    """Return the statement kept in ``orchestration/tenancy/sql/<name>.sql``."""
    return (_SQL / f"{name}.sql").read_text()


@dataclass(frozen=True)
class Holding:
    """Rows of one tenant in one relation.

    Attributes:
        name: the relation's declared name, ``schema.relation``.
        sort: what rows they are.
        database: of the tenant's own; None for the cell's.
        schema: where the relation is, which is the tenant's own in model schema.
        relkind: as declared, on this edition.
        tenant_column: names the tenant.
    """

    name: str
    sort: Sort
    database: str | None
    schema: str
    relkind: str
    tenant_column: str

    @property
    def table(self) -> str:
        return self.name.split(".")[1]

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.table)

    def of(self, tenant_id: UUID) -> sql.Composed:
        """Return the condition that selects the tenant's rows."""
        return sql.SQL("{} = {}").format(sql.Identifier(self.tenant_column), sql.Literal(tenant_id))


# Usage is declared internal, for no tenant's role enters its schema; its rows are a tenant's all the same.
USAGE_TENANT_COLUMN = "tenant_id"


@dataclass(frozen=True)
class Digest:
    """How many rows there are, and a checksum of all their values in whatever order they lie."""

    rows: int
    checksum: str


@cache
def _rollups() -> frozenset[str]:
    return frozenset(name for store in stores() if store.name == "rollups" for name in store.where)


def _sort(relation: Relation) -> Sort:
    if relation.name in REGISTRY:
        return "registry"
    if relation.schema in OPERATIONAL_DOMAINS:
        return "operational" if relation in operational_relations() else "record"
    if relation.schema == "metering":
        return "record"
    if relation.schema == "platform":
        return "journal"
    if relation.built_by_dbt:
        return "model"
    return "rollup" if relation.name in _rollups() else "events"


def holdings(tenant_id: UUID, cell: Cell, model: Model, edition: Edition) -> tuple[Holding, ...]:
    """Return everything that a tenant of ``model`` holds, referenced relations before those that refer to them.

    Views hold nothing of their own and are left out.
    """
    place = placement(tenant_id, cell, model)
    found: list[Holding] = []
    for relation in load_relations(edition):
        column = USAGE_TENANT_COLUMN if relation.schema == "metering" else relation.tenant_column
        if (
            column is None
            or relation.relkind == "view"
            or (relation.kind != "tenant" and relation.schema != "metering")
        ):
            continue
        sort, here = _sort(relation), (relation.name, relation.relkind, column)
        if sort == "operational":
            schema = next(place.schemas[domain] for domain in OPERATIONAL_DOMAINS if domain == relation.schema)
            found.append(Holding(here[0], sort, place.database, schema, *here[1:]))
            if model != "shared":
                found.append(Holding(here[0], "landed", None, relation.schema, *here[1:]))
        else:
            found.append(Holding(here[0], sort, None, relation.schema, *here[1:]))
    return tuple(found)


def edition_of(cell: Cell, settings: Settings) -> Edition:
    """Return the TimescaleDB edition of ``cell``.

    Raises:
        CellUnavailableError: the cell does not answer.
    """
    with routing.connect(cell, "auditor", autocommit=True, settings=settings) as connection:
        row = connection.execute("select current_setting('timescaledb.license', true)").fetchone()
    return "community" if row is not None and row[0] == "timescale" else "apache"


def exists(connection: Connection, holding: Holding) -> bool:
    """Return whether the relation is there; of a model that dbt has not built yet, or an undone schema, it is not."""
    row = connection.execute(
        "select exists (select from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n "
        "on n.oid = c.relnamespace where n.nspname = %s and c.relname = %s)",
        (holding.schema, holding.table),
    ).fetchone()
    return row is not None and bool(row[0])


def columns(connection: Connection, identifier: sql.Identifier) -> tuple[str, ...]:
    """Return the relation's columns in order, without generated ones."""
    rows = connection.execute(statement("columns"), {"relation": identifier.as_string(None)}).fetchall()
    if not rows:
        raise HoldingError(f"relation {identifier.as_string(None)} does not exist here")
    return tuple(str(name) for (name,) in rows)


def names(columns: Sequence[str]) -> sql.Composed:
    """Return the columns as a list in SQL."""
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def digest(
    connection: Connection, relation: sql.Identifier, columns: Sequence[str], condition: sql.Composable
) -> Digest:
    """Count and checksum the rows of ``relation`` that fulfil ``condition``, by these columns."""
    query = sql.SQL(statement("digest")).format(columns=names(columns), relation=relation, condition=condition)
    connection.execute("set local timezone = 'UTC'")
    row = connection.execute(query).fetchone()
    if row is None:
        raise HoldingError(f"{relation.as_string(None)} could not be counted")
    return Digest(int(row[0]), f"{int(row[1]):x}.{int(row[2]):x}")


def persons_condition(place: dict[str, sql.Identifier], tenant_id: UUID, column: str = "id") -> sql.Composed:
    """Return the condition that selects the persons whom the tenant's rows refer to, in the same database.

    Args:
        place: where the relations of ``PERSONS_OF`` are.
        tenant_id: the tenant.
        column: of geo.users or geo.eu_user_data, the person's id.
    """
    parts = [
        sql.SQL("select {} from {} where tenant_id = {}").format(
            sql.Identifier(PERSONS_OF[name]), place[name], sql.Literal(tenant_id)
        )
        for name in PERSONS_OF
    ]
    return sql.SQL("{} in ({})").format(sql.Identifier(column), sql.SQL(" union ").join(parts))


def connect(cell: Cell, role: Role, database: str | None, settings: Settings, *, verb: str) -> psycopg.Connection[Any]:
    """Open a connection to the cell's database, or to a tenant's own on its server, outside autocommit."""
    return routing.connect(cell, role, database=database, application_name=f"capstone tenant {verb}", settings=settings)


def databases(held: Iterable[Holding]) -> list[str | None]:
    """Return the databases that the holdings are in, the cell's own first."""
    return sorted({each.database for each in held} | {None}, key=lambda name: name or "")
