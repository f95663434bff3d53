"""Rows that follow from a tenant's own when those have moved or come back: what landed for dbt, and the rollup."""

from psycopg import sql

from orchestration.cells import routing
from orchestration.cells.relations import Edition
from orchestration.settings import Settings
from orchestration.tenancy import landing
from orchestration.tenancy.registry import Tenant

ROLLUP = "analytics.events_hourly"


def land(tenant: Tenant, settings: Settings) -> str:
    """Land the rows of an own schema or database in the cell's shared tables, where dbt reads them."""
    if tenant.model == "shared":
        return "dbt reads its rows where they are"
    landed = landing.land(tenant, settings)
    return landed.passed_over or f"{sum(landed.rows.values())} rows landed for dbt"


def refresh_rollup(tenant: Tenant, edition: Edition, settings: Settings) -> None:
    """Bring the continuous aggregate up to date over all days of the tenant; a rollup table was written row by row."""
    if edition == "apache":
        return
    with routing.connect(tenant.cell, "migrator", autocommit=True, settings=settings) as connection:
        row = connection.execute(
            "select min(time), max(time) + interval '1 hour' from analytics.events where tenant_id = %s", (tenant.id,)
        ).fetchone()
        kept = connection.execute(
            "select min(bucket), max(bucket) + interval '1 hour' from analytics.events_hourly where tenant_id = %s",
            (tenant.id,),
        ).fetchone()
        bounds = [instant for span in (row, kept) if span is not None for instant in span if instant is not None]
        if bounds:
            connection.execute(
                sql.SQL("call refresh_continuous_aggregate({}, {}, {})").format(
                    sql.Literal(ROLLUP), sql.Literal(min(bounds)), sql.Literal(max(bounds))
                )
            )
