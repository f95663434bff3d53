"""Landing: the rows of tenants with schemas or a database of their own, brought to where dbt reads."""

import time

import dagster as dg

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.defs.ingest.seeds import seed_key
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.platform.schemas import OWNERS, tenants_key


def landing_key(cell: Cell) -> dg.AssetKey:
    """Return the key of the asset that lands a cell's tenants."""
    return seed_key(cell, "landed")


def landing_asset(cell: Cell) -> dg.AssetsDefinition:
    """Return the asset that copies what staging reads of tenants' own schemas and databases into the shared tables."""

    @dg.asset(
        key=landing_key(cell),
        deps=[tenants_key(cell), seed_key(cell, "orders")],
        group_name=f"{cell}_ingest",
        owners=OWNERS,
        kinds={"postgres", "sql"},
        retry_policy=NETWORK_RETRY,
        description=f"Staff, projects, shoppers, catalogue and orders of the tenants of cell {cell} "
        f"({REGIONS[cell].name}) that have schemas or a database of their own, in the shared tables: each tenant's "
        "rows are replaced as one, without what is personal and staging does not read.",
    )
    def landed(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        from orchestration.tenancy.landing import land_all  # noqa: PLC0415 -- drivers load in the run

        started = time.monotonic()
        with only_network_retried():
            found = land_all(cell, report=context.log.info)
        return dg.MaterializeResult(
            metadata={
                "tenants landed": sum(1 for each in found if each.passed_over is None),
                "tenants passed over": sum(1 for each in found if each.passed_over is not None),
                "rows": sum(sum(each.rows.values()) for each in found),
                "duration (s)": round(time.monotonic() - started, 3),
            }
        )

    return landed


@dg.definitions
def defs() -> dg.Definitions:
    """Return the landing of all cells."""
    return dg.Definitions(assets=[landing_asset(cell) for cell in CELLS])
