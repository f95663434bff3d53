"""Builds days again whose figures were counted with events that are gone: somebody was erased, or has moved away.

A sensor looks at what each cell has marked (``analytics.stale_days``) and requests the models of exactly those days.
The build itself takes the marks away: nothing is lost with a run that dies, and a build that somebody made by hand
counts.
"""

import time
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import psycopg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from orchestration.cells.endpoints import EndpointError
from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.dbt.manifest import read_manifest
from orchestration.defs.operations.refresh import CELL_TAG
from orchestration.defs.partitions import daily_partitions
from orchestration.defs.transform.assets import ALL_DAYS_TAG, models
from orchestration.defs.transform.project import MANIFEST
from orchestration.defs.transform.translator import model_key

if TYPE_CHECKING:
    from orchestration.tenancy.stale_days import Build, StaleDays

INTERVAL_SECONDS = 60
# A build that failed is not repeated at every tick: what made it fail (a test, a gate that has just closed) may last.
RETRY_SECONDS = 900
STALE_DAYS_TAG = "capstone/stale_days"

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def stale_days_job(cell: Cell) -> UnresolvedAssetJobDefinition:
    """Return the job over all models of a cell."""
    keys = [model_key(cell, node) for node in models(read_manifest(MANIFEST))]
    return dg.define_asset_job(
        name=f"build_stale_days_{cell}",
        selection=dg.AssetSelection.assets(*keys),
        executor_def=dg.in_process_executor,
        tags={CELL_TAG: cell},
        description=f"Counts figures of cell {cell} ({REGIONS[cell].name}) again on days of which events were erased.",
    )


def request(cell: Cell, build: "Build", stale: "StaleDays", now: float) -> dg.RunRequest:
    """Return the run of a build.

    Its key says what is to be built and in which state that was marked: Dagster drops a run whose key was ever used,
    and the same days may be marked again. The time lets a build be repeated that has failed.
    """
    first, last = build.first.isoformat(), build.last.isoformat()
    days = "all" if build.all_days else f"{first}..{last}"
    tags = {CELL_TAG: cell, STALE_DAYS_TAG: cell, ASSET_PARTITION_RANGE_START_TAG: first}
    return dg.RunRequest(
        run_key=f"{cell}:{days}:{stale.since}:{stale.marks}:{int(now // RETRY_SECONDS)}",
        tags=tags | {ASSET_PARTITION_RANGE_END_TAG: last} | ({ALL_DAYS_TAG: "true"} if build.all_days else {}),
    )


def evaluate(cell: Cell, known: Sequence[date], now: float, *, under_way: bool) -> list[dg.RunRequest] | dg.SkipReason:
    """Return the builds that a cell needs, or why none is requested."""
    from orchestration.proofs.gate import gate_state  # noqa: PLC0415 - keeps the code location's start short
    from orchestration.tenancy.stale_days import builds, stale_days  # noqa: PLC0415

    stale = stale_days(cell)
    if stale.since is None:
        return dg.SkipReason("all figures are built")
    if under_way:
        return dg.SkipReason("a build is under way")
    needed = builds(stale, known)
    if not needed:
        return dg.SkipReason("the marked days have not ended: they are built again when they are built")
    shut = [f"{each.suite} {each.reason}" for each in gate_state(cell) if not each.open]
    if shut:
        return dg.SkipReason(f"the gate is closed, the marks stay: {'; '.join(shut)}")
    return [request(cell, build, stale, now) for build in needed]


def stale_days_sensor(cell: Cell, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """Return the sensor that has a cell's marked days built again."""

    @dg.sensor(
        name=f"stale_days_sensor_{cell}",
        job=job,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Has days of cell {cell} built again of which events were erased, and starts nothing while there "
        "are none.",
    )
    def sense(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        filters = dg.RunsFilter(tags={STALE_DAYS_TAG: cell}, statuses=_UNDER_WAY)
        under_way = context.instance.get_runs_count(filters) > 0
        known = [date.fromisoformat(day) for day in daily_partitions().get_partition_keys()]
        try:
            return evaluate(cell, known, time.time(), under_way=under_way)
        except (CellUnavailableError, EndpointError) as error:
            return dg.SkipReason(str(error))
        except psycopg.errors.UndefinedTable:
            return dg.SkipReason("its schemas are not there yet")

    return sense


@dg.definitions
def defs() -> dg.Definitions:
    """Return the job and the sensor of every cell."""
    jobs = {cell: stale_days_job(cell) for cell in CELLS}
    return dg.Definitions(
        jobs=list(jobs.values()), sensors=[stale_days_sensor(cell, job) for cell, job in jobs.items()]
    )
