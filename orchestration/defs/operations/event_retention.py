"""Drops events that are older than a year, and claims of ids that are older than their horizon, in each cell.

The Apache edition has no retention policies of its own, and the ledger of ids is a plain table on both.
"""

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
        from orchestration.loading import policies  # noqa: PLC0415 -- loads in the run

        before = datetime.now(UTC) - KEPT
        with only_network_retried():
            policies.drop_expired_events(cell, before)
        context.add_output_metadata({"dropped before": before.isoformat(timespec="seconds")})

    @dg.op(
        name=f"forget_expired_claims_{cell}",
        retry_policy=NETWORK_RETRY,
        description="Forgets ids in `analytics.event_ids` that were claimed longer ago than the horizon within which "
        "an event is recognised when it comes again.",
    )
    def forget_expired_claims(context: dg.OpExecutionContext) -> None:
        from orchestration.loading.event_claims import KEPT_DAYS, expire_claims  # noqa: PLC0415 -- arrow loads in the run

        with only_network_retried(), routing.connect(cell, "loader", autocommit=True) as connection:
            forgotten = expire_claims(connection)
        context.add_output_metadata({"ids forgotten": forgotten, "kept (days)": KEPT_DAYS})

    @dg.job(
        name=f"event_retention_{cell}",
        tags={CELL_TAG: cell},
        description=f"Keeps a year of events in cell {cell}, and ids of events for their horizon.",
    )
    def event_retention() -> None:
        drop_expired_events()
        forget_expired_claims()

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
