"""Landing: what staging reads of tenants with schemas or a database of their own, copied into the cell's shared tables.

dbt reads one database and one set of schemas. Each landing replaces exactly the tenant's rows there, in one
transaction, from one snapshot of its own place. Personal columns that staging does not read are not copied: of a
shopper arrive the id and when they registered, never an address, a name or a password's hash.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.settings import Settings, get_settings
from orchestration.tenancy.placement import Placement, operational_relations, placement_of
from orchestration.tenancy.registry import Model, Tenant, tenants

Connection = psycopg.Connection[Any]
Report = Callable[[str], None]

# What dbt's sources read of what tenants write; a test compares it with them. Referenced ones first.
LANDED: tuple[str, ...] = (
    "saas.users",
    "saas.projects",
    "ecommerce.users",
    "ecommerce.categories",
    "ecommerce.products",
    "ecommerce.product_variants",
    "ecommerce.orders",
    "ecommerce.order_items",
)

# In the place of columns that are about a person and that staging does not read, or that lead to rows not landed.
_WITHHELD: Mapping[str, Mapping[str, str]] = {
    "saas.users": {"email": "id::text || '@landed.invalid'"},
    "ecommerce.users": {
        "email": "id::text || '@landed.invalid'",
        "password_hash": "'!'",
        "first_name": "null::text",
        "last_name": "null::text",
    },
    "ecommerce.orders": {"shipping_address_id": "null::bigint", "billing_address_id": "null::bigint"},
}

# A category's path is made from its parent's by a trigger: parents come first.
_ORDERED: Mapping[str, str] = {"ecommerce.categories": "public.nlevel(path)"}

_SQL = Path(__file__).parent / "sql"


@dataclass(frozen=True)
class Landed:
    """What became of one tenant: rows that arrived, or why none were brought."""

    tenant: Tenant
    rows: Mapping[str, int]
    seconds: float
    passed_over: str | None = None


def _silent(_: str) -> None:
    """Report to nobody."""


def land(tenant: Tenant, settings: Settings | None = None) -> Landed:
    """Replace the copies of the tenant's rows in its cell's shared tables by what it has now.

    A tenant of model shared, or one that is closed or being made, is passed over: its copies stay as they are.

    Raises:
        CellUnavailableError: the cell or the tenant's database does not answer.
        psycopg.Error: a row cannot be landed; nothing of this tenant was changed.
    """
    settings = settings or get_settings()
    if tenant.model == "shared" or tenant.status != "active":
        return Landed(tenant, {}, 0.0, f"model {tenant.model}, {tenant.status}")
    started = time.monotonic()
    place = placement_of(tenant)
    with (
        place.connect("loader", settings) as source,
        routing.connect(tenant.cell, "loader", application_name="capstone landing", settings=settings) as target,
    ):
        source.execute("set transaction isolation level repeatable read, read only")
        # In the tenant's name: only its own fence concerns this load.
        target.execute("select set_config('app.current_tenant', %s, true)", (str(tenant.id),))
        target.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"landing of tenant {tenant.id}",))
        for name in reversed(LANDED):
            target.execute(
                sql.SQL("delete from {} where tenant_id = {}").format(sql.Identifier(*name.split(".")), tenant.id)
            )
        if place.database is not None:
            _land_persons(source, target)
        rows = {name: _copy(source, target, place, name) for name in LANDED}
        target.commit()
    return Landed(tenant, rows, time.monotonic() - started)


def land_all(cell: Cell, settings: Settings | None = None, *, report: Report = _silent) -> list[Landed]:
    """Land every tenant of ``cell`` that has schemas or a database of its own; see :func:`land`."""
    models: Sequence[Model] = ("schema", "database")
    landed: list[Landed] = []
    for model in models:
        for tenant in tenants(cell, settings, model=model):
            landed.append(land(tenant, settings))
            rows = sum(landed[-1].rows.values())
            report(f"tenant {tenant.id}: {landed[-1].passed_over or f'{rows} rows'}")
    return landed


def _land_persons(source: Connection, target: Connection) -> None:
    """Make known in the cell the persons that a tenant's database knows: who they are by id and region, no more."""
    target.execute("create temporary table landed_persons (id uuid, region text) on commit drop")
    query = "copy (select id, region from geo.users) to stdout (format binary)"
    with (
        source.cursor() as reader,
        target.cursor() as writer,
        reader.copy(query) as leaving,
        writer.copy("copy landed_persons from stdin (format binary)") as arriving,
    ):
        for block in leaving:
            arriving.write(block)
    target.execute((_SQL / "land_persons.sql").read_bytes())


def _columns(target: Connection, name: str) -> list[str]:
    found = target.execute(
        "select attname from pg_catalog.pg_attribute where attrelid = %s::regclass and attnum > 0 "
        "and not attisdropped and attgenerated = '' order by attnum",
        (name,),
    ).fetchall()
    return [str(row[0]) for row in found]


def _copy(source: Connection, target: Connection, place: Placement, name: str) -> int:
    columns = _columns(target, name)
    withheld = _WITHHELD.get(name, {})
    order = _ORDERED.get(name)
    out = sql.SQL("copy (select {} from {}{}) to stdout (format binary)").format(
        sql.SQL(", ").join(
            sql.SQL(withheld[column]) if column in withheld else sql.Identifier(column) for column in columns
        ),
        place.relation(name),
        sql.SQL(f" order by {order}" if order else ""),
    )
    into = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        sql.Identifier(*name.split(".")), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with source.cursor() as reader, target.cursor() as writer:
        with reader.copy(out) as leaving, writer.copy(into) as arriving:
            for block in leaving:
                arriving.write(block)
        return writer.rowcount


def unread_by_landing() -> frozenset[str]:
    """Return what tenants write and staging does not read: it stays in the tenant's own place."""
    return frozenset(relation.name for relation in operational_relations()) - frozenset(LANDED)
