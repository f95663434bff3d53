"""The check that rows were neither lost nor doubled on their way from events to orders."""

from pathlib import Path

import dagster as dg
from psycopg.rows import dict_row

from orchestration.cells import routing
from orchestration.cells.regions import CELLS, Cell
from orchestration.defs.ingest.seeds import seed_key
from orchestration.defs.network_faults import only_network_retried

_ORDERS_SQL = Path(__file__).with_name("orders_reconciliation.sql")


def orders_check(cell: Cell) -> dg.AssetChecksDefinition:
    """Return the check that every purchase event has its order, with the same total, and the other way round."""

    @dg.asset_check(
        asset=seed_key(cell, "orders"),
        name="matches_purchase_events",
        description="Every purchase event of the loaded days has its order with the same total, and every order its "
        "event.",
        # Not blocking: a mart of one day is right whether or not another day still waits for its orders.
        blocking=False,
    )
    def matches_purchase_events() -> dg.AssetCheckResult:
        with only_network_retried(), routing.connect(cell, "auditor") as connection:
            cursor = connection.cursor(row_factory=dict_row)
            row = cursor.execute(_ORDERS_SQL.read_bytes(), {"asset": f"{cell}/ecommerce/orders"}).fetchone()
        found = {
            name: int(value) if name.count("revenue") == 0 else float(value) for name, value in (row or {}).items()
        }
        wrong = ("purchases_without_order", "orders_without_purchase", "differing_totals")
        # No purchase at all means that the comparison had nothing to compare, not that it held.
        passed = bool(found) and found["purchases"] > 0 and not any(found[name] for name in wrong)
        return dg.AssetCheckResult(passed=passed, metadata={name.replace("_", " "): n for name, n in found.items()})

    return matches_purchase_events


@dg.definitions
def defs() -> dg.Definitions:
    """Return the reconciliation checks of all cells."""
    return dg.Definitions(asset_checks=[orders_check(cell) for cell in CELLS])
