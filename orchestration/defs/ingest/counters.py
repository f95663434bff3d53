"""The real-time counters of a cell in Redis, compared with the hypertable as long as there are live events."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.cells.endpoints import EndpointError
from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.defs.ingest.seeds import seed_key
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.operations.refresh import CELL_TAG
from orchestration.defs.platform.schemas import OWNERS, schema_key

CHECK = "match_hypertable"

# Twice in the hour that is retained: a comparison that is missed leaves no minute out. The cells take turns.
_MINUTES: dict[Cell, str] = {"na": "2,32", "eu": "12,42", "apac": "22,52"}


def counters_asset(cell: Cell) -> dg.AssetsDefinition:
    """Return the counters of a cell; to materialize them is to compare them."""
    key = seed_key(cell, "counters")

    @dg.asset(
        key=key,
        deps=[schema_key(cell, "analytics"), seed_key(cell, "stream")],
        group_name=f"{cell}_ingest",
        owners=OWNERS,
        kinds={"python", "redis"},
        retry_policy=NETWORK_RETRY,
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=key,
                description="Of every closed minute of the last hour the counters have exactly the events of origin "
                "`stream` that the hypertable has, per tenant and type, and as many users as a HyperLogLog can tell. "
                "If not: `capstone stream rebuild-counters`.",
            )
        ],
        description=f"Real-time counters of {REGIONS[cell].name}'s tenants in Redis, kept by the stream processor. "
        "A materialization compares them with the hypertable and changes nothing.",
    )
    def counters() -> dg.MaterializeResult:  # type: ignore[type-arg] # with checks Dagster takes no other annotation
        from orchestration.realtime.reconciliation import reconcile  # noqa: PLC0415 - not with the code location

        with only_network_retried():
            found = reconcile(cell)
        metadata: dict[str, int | float | str] = {
            "drift (events)": found.drift,
            "drift (fraction)": round(found.relative_drift, 9),
            "largest error of unique users (fraction)": round(found.largest_user_error, 5),
            "counted": found.counted,
            "stored": found.stored,
            "stored, still to be counted": found.left_out,
            "tenants": found.tenants,
            "counts compared": found.series,
            "counts that differ": found.differing,
            "sketches compared": found.sketches,
            "sketches beyond their error": found.sketches_beyond_error,
            "from (UTC)": found.since.isoformat(),
            "until (UTC)": found.until.isoformat(),
        }
        said = (
            f"{found.differing} of {found.series} counts differ, by {found.drift} events; "
            f"{found.sketches_beyond_error} of {found.sketches} numbers of users are beyond the error"
        )
        return dg.MaterializeResult(
            metadata=metadata,
            check_results=[
                # No live event at all is equal on both sides, and no fault.
                dg.AssetCheckResult(check_name=CHECK, passed=found.agrees, description=said, metadata=metadata)
            ],
        )

    return counters


def counters_job(cell: Cell) -> UnresolvedAssetJobDefinition:
    """Return the job that compares the counters of a cell."""
    return dg.define_asset_job(
        name=f"reconcile_counters_{cell}",
        selection=dg.AssetSelection.assets(seed_key(cell, "counters")),
        executor_def=dg.in_process_executor,
        tags={CELL_TAG: cell},
        description=f"Compares the real-time counters of cell {cell} with its hypertable.",
    )


def counters_schedule(cell: Cell) -> dg.ScheduleDefinition:
    """Return the schedule that compares twice an hour, and starts no run where nothing happened live."""

    @dg.schedule(
        name=f"reconcile_counters_{cell}_half_hourly",
        job_name=f"reconcile_counters_{cell}",
        cron_schedule=f"{_MINUTES[cell]} * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Compares the counters of cell {cell} with its hypertable, if there was a live event in the hour.",
    )
    def evaluate(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from orchestration.realtime.queue import QueueError  # noqa: PLC0415 - not with the code location
        from orchestration.realtime.reconciliation import streamed_lately  # noqa: PLC0415

        try:
            if not streamed_lately(cell):
                return dg.SkipReason("no live event within the hour, neither counted nor stored")
        except (CellUnavailableError, EndpointError, QueueError) as error:
            return dg.SkipReason(str(error))
        return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat(), tags={CELL_TAG: cell})

    return evaluate


@dg.definitions
def defs() -> dg.Definitions:
    """Return counters, job and schedule of all cells."""
    return dg.Definitions(
        assets=[counters_asset(cell) for cell in CELLS],
        jobs=[counters_job(cell) for cell in CELLS],
        schedules=[counters_schedule(cell) for cell in CELLS],
    )
