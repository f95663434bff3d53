"""One job per cell that builds all of it, and the schedule that builds each day when it is over."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.defs.partitions import daily_partitions

CELL_TAG = "capstone/cell"
# The cells take turns: each start costs one core for some seconds, and the day's last events need time to arrive.
_START_MINUTE: dict[Cell, int] = {"na": 20, "eu": 35, "apac": 50}


def refresh_job(cell: Cell) -> UnresolvedAssetJobDefinition:
    """Return the job over every asset and check of a cell: schemas, ingest, proof, dbt, docs."""
    return dg.define_asset_job(
        name=f"refresh_{cell}",
        selection=dg.AssetSelection.key_prefixes(cell),
        partitions_def=daily_partitions(),
        executor_def=dg.in_process_executor,
        tags={CELL_TAG: cell},
        description=f"Everything of cell {cell} ({REGIONS[cell].name}) over one day or a range of days, in one run.",
    )


def days_to_refresh(all_days: list[str], built: set[str], last: str) -> tuple[str, str] | None:
    """Return the first and last day to build up to ``last``, or None when all are there.

    A machine that slept for three nights has three days to catch up with, and one run does it.
    """
    absent = [day for day in all_days if day <= last and day not in built]
    return (absent[0], last) if absent else None


def refresh_schedule(cell: Cell) -> dg.ScheduleDefinition:
    """Return the cell's daily schedule: the day before, and days that were missed."""

    @dg.schedule(
        name=f"refresh_{cell}_daily",
        job_name=f"refresh_{cell}",
        cron_schedule=f"{_START_MINUTE[cell]} 0 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Builds the day that has just ended in cell {cell}, and any day before it that was missed.",
    )
    def evaluate(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        last = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
        events = dg.AssetKey([cell, "ingest", "events"])
        built = context.instance.get_materialized_partitions(events)
        days = daily_partitions().get_partition_keys(current_time=context.scheduled_execution_time)
        span = days_to_refresh(list(days), set(built), last)
        if span is None:
            yield dg.SkipReason(f"every day up to {last} is built")
            return
        first, last = span
        yield dg.RunRequest(
            run_key=f"{first}..{last}",
            tags={CELL_TAG: cell, ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last},
        )

    return evaluate


@dg.definitions
def defs() -> dg.Definitions:
    """Return the refresh job and the daily schedule of each cell."""
    return dg.Definitions(
        jobs=[refresh_job(cell) for cell in CELLS], schedules=[refresh_schedule(cell) for cell in CELLS]
    )
