"""Drops events that are older than a year, in each cell: the Apache edition has no retention policies of its own."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from orchestration.cells import routing
from orchestration.cells.regions import CELLS, Cell
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.operations.refresh import CELL_TAG

# A year and a day: the procedure refuses anything younger than a year, and a leap year has 366 days.
KEPT = timedelta(days=367)
_START_MINUTE: dict[Cell, int] = {"na": 5, "eu": 15, "apac": 25}


def retention_job(cell: Cell) -> dg.JobDefinition:
    """Return the job that drops a cell's expired chunks."""

    @dg.op(
        name=f"drop_expired_events_{cell}",
        retry_policy=NETWORK_RETRY,
        description="Drops whole chunks of `analytics.events`. History (imports) lies in `analytics.events_history` "
        "and is kept.",
    )
    def drop_expired_events(context: dg.OpExecutionContext) -> None:
        before = datetime.now(UTC) - KEPT
        with only_network_retried(), routing.connect(cell, "migrator", autocommit=True) as connection:
            connection.execute("call analytics.drop_events_before(%s)", (before,))
        context.add_output_metadata({"dropped before": before.isoformat(timespec="seconds")})

    @dg.job(
        name=f"event_retention_{cell}",
        tags={CELL_TAG: cell},
        description=f"Keeps a year of events in cell {cell}; nothing to do on an edition that has done it already.",
    )
    def event_retention() -> None:
        drop_expired_events()

    return event_retention


@dg.definitions
def defs() -> dg.Definitions:
    """Return the retention job and its nightly schedule of each cell."""
    jobs = {cell: retention_job(cell) for cell in CELLS}
    schedules = [
        dg.ScheduleDefinition(
            name=f"event_retention_{cell}_nightly",
            job=job,
            cron_schedule=f"{_START_MINUTE[cell]} 3 * * *",
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
        for cell, job in jobs.items()
    ]
    return dg.Definitions(jobs=list(jobs.values()), schedules=schedules)
