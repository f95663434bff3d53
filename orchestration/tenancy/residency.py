"""Where a tenant may live: its cell's people and its own persons may only be where their region of record lets them."""

from typing import Any

import psycopg
from psycopg import sql

from orchestration.cells.regions import REGIONS, Cell
from orchestration.tenancy.holdings import Holding, persons_condition
from orchestration.tenancy.registry import Tenant, TenantError
from orchestration.tenancy.row_replacement import person_places


class ResidencyError(TenantError):
    """A tenant or its persons may not live in that cell."""


def require_residency(connection: psycopg.Connection[Any], tenant: Tenant, held: tuple[Holding, ...], to: Cell) -> int:
    """Fail unless the tenant with all its persons may live in cell ``to``; return how many persons it has.

    Args:
        connection: to where the tenant's own rows and their persons are.
        tenant: whose.
        held: what it holds.
        to: where it is to live.

    Raises:
        ResidencyError: it is a tenant of a region that may not leave, or has persons of one.
    """
    if to not in REGIONS[tenant.cell].residency:
        raise ResidencyError(
            f"tenant {tenant} lives in {tenant.cell!r} ({REGIONS[tenant.cell].name}), which tenants may not leave: "
            f"it can live in {', '.join(REGIONS[tenant.cell].residency)}"
        )
    query = sql.SQL(
        "select count(*), count(*) filter (where not {to} = any (r.residency)), "
        "coalesce(string_agg(distinct p.region, ', ') filter (where not {to} = any (r.residency)), '') "
        "from geo.users as p inner join geo.regions as r on p.region = r.region where {condition}"
    ).format(to=sql.Literal(to), condition=persons_condition(person_places(held, "operational"), tenant.id))
    row = connection.execute(query).fetchone()
    persons, misplaced, regions = row if row is not None else (0, 0, "")
    if misplaced:
        raise ResidencyError(
            f"{misplaced} of the {persons} persons of tenant {tenant} are of region {regions}, whose people may not "
            f"live in {to!r}: it stays where they may live"
        )
    return int(persons)
