"""What follows from a tenant's rows when those have moved or come back: what landed for dbt, rollups, live counters."""

from typing import LiteralString
from uuid import UUID

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.cells.relations import Edition
from orchestration.settings import Settings
from orchestration.tenancy import landing
from orchestration.tenancy.registry import Tenant

# Whatever changed, also of the current day, of which the Community edition keeps nothing; there by times alone.
_REFRESH: dict[Edition, LiteralString] = {
    "apache": "call analytics.refresh_rollups(null, 'infinity', %(tenant)s)",
    "community": "call analytics.refresh_rollups()",
}


def land(tenant: Tenant, settings: Settings) -> str:
    """Land the rows of an own schema or database in the cell's shared tables, where dbt reads them."""
    if tenant.model == "shared":
        return "dbt reads its rows where they are"
    landed = landing.land(tenant, settings)
    return landed.passed_over or f"{sum(landed.rows.values())} rows landed for dbt"


def refresh_rollups(tenant: Tenant, edition: Edition, settings: Settings) -> None:
    """Bring the rollups up to date with the tenant's events, to the last: they keep nothing of what is gone."""
    with routing.connect(tenant.cell, "migrator", autocommit=True, settings=settings) as connection:
        connection.execute(_REFRESH[edition], {"tenant": tenant.id})


def count_again(tenant_id: UUID, cell: Cell, settings: Settings) -> None:
    """Have the real-time counters of a cell say of the tenant what its events there now are; nothing where it left."""
    from orchestration.realtime.rebuild import rebuild_counters  # noqa: PLC0415 - few verbs need Redis

    rebuild_counters(cell, settings, tenant=tenant_id)
