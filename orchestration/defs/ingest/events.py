"""Synthetic events, the orders they lead to, and the hourly rollup: daily partitions, any range of them in one run."""

# ruff: noqa: PLC0415 -- numpy and arrow load in the run, not with the code location

import time
from datetime import timedelta

import dagster as dg

from orchestration.cells import routing
from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.defs.ingest.load_metadata import day_metadata, days_metadata
from orchestration.defs.ingest.seeds import seed_key
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.partitions import daily_partitions, days_of
from orchestration.defs.platform.schemas import OWNERS
from orchestration.loading.window import day_bounds

# Each day is loaded in the night that follows it: a day late is a warning, and a missed night is a failure.
DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=30), warn_window=timedelta(hours=26))


def events_asset(cell: Cell) -> dg.AssetsDefinition:
    """Return the synthetic events of a cell."""

    @dg.asset(
        key=seed_key(cell, "events"),
        deps=[seed_key(cell, name) for name in ("tenants", "catalog", "shoppers")],
        partitions_def=daily_partitions(),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=f"{cell}_ingest",
        owners=OWNERS,
        kinds={"python", "timescaledb"},
        retry_policy=NETWORK_RETRY,
        freshness_policy=DAILY,
        description=f"Clickstream of {REGIONS[cell].name}'s shops in `analytics.events`, generated: sessions, a funnel "
        "with drop-off, returning shoppers, out-of-order arrivals. The same seed and day give the same rows; loading a "
        "day again replaces exactly its own rows, in one transaction.",
    )
    def events(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        from orchestration.loading.copy_loader import LoadReport
        from orchestration.loading.synthetic_events import load_events_days

        def on_day(report: LoadReport) -> None:
            context.log.info(f"{report.partition_key}: {report.rows_loaded} events in {report.seconds:.1f} s")
            context.add_asset_metadata(day_metadata(report), partition_key=report.partition_key)

        with only_network_retried():
            reports = load_events_days(cell, days_of(context), on_day=on_day)
        return dg.MaterializeResult(metadata=days_metadata(reports))

    return events


def orders_asset(cell: Cell) -> dg.AssetsDefinition:
    """Return the orders that the synthetic purchases of a cell stand for."""

    @dg.asset(
        key=seed_key(cell, "orders"),
        deps=[seed_key(cell, "events")],
        partitions_def=daily_partitions(),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=f"{cell}_ingest",
        owners=OWNERS,
        kinds={"python", "postgres"},
        retry_policy=NETWORK_RETRY,
        freshness_policy=DAILY,
        description="Orders, their items and payments, one order per purchase event of the day; an order's total is "
        "the purchase's revenue, exactly. What the running shop hung on an order survives a reload.",
    )
    def orders(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        from orchestration.loading.copy_loader import LoadReport
        from orchestration.loading.synthetic_orders import load_orders_days

        def on_day(report: LoadReport) -> None:
            context.log.info(f"{report.partition_key}: {report.rows_loaded} orders in {report.seconds:.1f} s")
            context.add_asset_metadata(day_metadata(report), partition_key=report.partition_key)

        with only_network_retried():
            reports = load_orders_days(cell, days_of(context), on_day=on_day)
        return dg.MaterializeResult(metadata=days_metadata(reports))

    return orders


def events_hourly_asset(cell: Cell) -> dg.AssetsDefinition:
    """Return the hourly rollup of a cell."""

    @dg.asset(
        key=seed_key(cell, "events_hourly"),
        deps=[seed_key(cell, "events")],
        partitions_def=daily_partitions(),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=f"{cell}_ingest",
        owners=OWNERS,
        kinds={"sql", "timescaledb"},
        retry_policy=NETWORK_RETRY,
        freshness_policy=DAILY,
        description="The rollups by hour and day, of which `analytics.events_hourly` is the finest: events, shoppers "
        "and sessions per hour, tenant, type, device and country. They hold whatever the events hold; this keeps what "
        "changed in the day, so that readers need not count it.",
    )
    def events_hourly(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        started = time.monotonic()
        days = days_of(context)
        with (
            only_network_retried(),
            routing.connect(cell, "migrator", autocommit=True, application_name="capstone rollup") as connection,
        ):
            for day in days:
                connection.execute("call analytics.refresh_rollups(%s, %s)", day_bounds(day))
                count = "select count(*) from analytics.events_hourly where bucket >= %s and bucket < %s"
                row = connection.execute(count, day_bounds(day)).fetchone()
                context.add_asset_metadata(
                    {"dagster/partition_row_count": row[0] if row else 0}, partition_key=day.isoformat()
                )
        return dg.MaterializeResult(
            metadata={"days in this run": len(days), "duration of this run (s)": round(time.monotonic() - started, 3)}
        )

    return events_hourly


@dg.definitions
def defs() -> dg.Definitions:
    """Return events, orders and rollup of all cells."""
    makers = (events_asset, orders_asset, events_hourly_asset)
    return dg.Definitions(assets=[make(cell) for cell in CELLS for make in makers])
