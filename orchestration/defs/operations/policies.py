"""What keeps events and rollups, as Dagster shows it, and the refresh of rollups where the server has no policies.

A sensor looks. It starts a run only when something changed that a run would keep, and reports what each policy last did
when that differs from the last report.
"""

import json
import time
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.defs.ingest.seeds import seed_key
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.operations.refresh import CELL_TAG
from orchestration.defs.operations.reported_state import SAME_VERSION
from orchestration.defs.platform.schemas import OWNERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestration.loading.policies import Policy

CHECK = "policies_keep_up"
# How long changed buckets are counted by their readers. A run takes seconds of a core, so not every minute.
INTERVAL_SECONDS = 300
# What has not changed is reported this seldom.
REPORT_SECONDS = 3600
REFRESH_TAG = "capstone/refresh_of_rollups"

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def policies_asset(cell: Cell) -> dg.AssetSpec:
    """Return the policies of a cell: nothing that Dagster builds."""
    return dg.AssetSpec(
        key=seed_key(cell, "event_policies"),
        deps=[seed_key(cell, "events")],
        group_name=f"{cell}_ingest",
        owners=OWNERS,
        kinds={"timescaledb"},
        description=f"What refreshes, compresses and drops the events of {REGIONS[cell].name}: what each policy last "
        "did and how far behind it is, from `analytics.policies`. See docs/timescaledb.md.",
    )


def problem(policies: "Sequence[Policy]") -> str | None:
    """Return what is not well with the policies, None if all are."""
    return "; ".join(policy.trouble for policy in policies if policy.trouble is not None) or None


def metadata_of(policies: "Sequence[Policy]") -> dict[str, Any]:
    """Return what the policies did: times and counts, nobody's values."""
    told: dict[str, Any] = {
        "policies": dg.MetadataValue.table(
            records=[
                dg.TableRecord(
                    {
                        "policy": each.name,
                        "last run": "never" if each.last_started is None else f"{each.last_started:%Y-%m-%d %H:%M:%S}",
                        "ended": each.last_status or "",
                        "next run": "by a schedule" if each.next_start is None else f"{each.next_start:%Y-%m-%d %H:%M}",
                        "behind": str(each.behind).split(".")[0],
                        "what": each.detail,
                    }
                )
                for each in policies
            ]
        )
    }
    return told | {f"{each.name}: behind (s)": int(each.behind.total_seconds()) for each in policies}


def _look(cell: Cell) -> "tuple[Policy, ...]":
    from orchestration.loading.policies import policies  # noqa: PLC0415 - keeps the code location's start short

    return policies(cell)


def policies_check(cell: Cell) -> dg.AssetChecksDefinition:
    """Return the check of a cell's policies."""

    @dg.asset_check(
        asset=seed_key(cell, "event_policies"),
        name=CHECK,
        description="No policy failed, and none is behind: changed buckets are kept within an hour, expired events "
        "dropped within three days. A warning: rollups are right without it, and slower.",
    )
    def policies_keep_up() -> dg.AssetCheckResult:
        found = _look(cell)
        what = problem(found)
        return dg.AssetCheckResult(
            passed=what is None, severity=dg.AssetCheckSeverity.WARN, description=what, metadata=metadata_of(found)
        )

    return policies_keep_up


def refresh_job(cell: Cell) -> dg.JobDefinition:
    """Return the job that keeps the changed buckets of a cell."""

    @dg.op(
        name=f"refresh_changed_buckets_{cell}",
        retry_policy=NETWORK_RETRY,
        description="Counts the hours and days again whose events changed, and no others.",
    )
    def refresh_changed_buckets(context: dg.OpExecutionContext) -> None:
        from orchestration.loading.policies import refresh_rollups  # noqa: PLC0415 - loads in the run

        started = time.monotonic()
        with only_network_retried():
            days = refresh_rollups(cell)
        context.add_output_metadata({"days touched": days, "seconds": round(time.monotonic() - started, 3)})

    @dg.job(
        name=f"refresh_rollups_{cell}",
        tags={CELL_TAG: cell},
        executor_def=dg.in_process_executor,
        description=f"Keeps what changed in the rollups of cell {cell}, on the Apache edition; the Community edition's "
        "server does it itself.",
    )
    def refresh_rollups_job() -> None:
        refresh_changed_buckets()

    return refresh_rollups_job


def state_of(policies: "Sequence[Policy]") -> str:
    """Return what a report is repeated for when it changes."""
    return json.dumps([(each.name, each.last_status, str(each.last_started), each.trouble) for each in policies])


def evaluate(cell: Cell, cursor: str | None, now: float, *, under_way: bool) -> dg.SensorResult:
    """Look at a cell: report its policies if there is something to say, and start a refresh if one has work to do."""
    from orchestration.loading.policies import has_changed  # noqa: PLC0415 - keeps the code location's start short

    state, when = json.loads(cursor) if cursor else (None, 0.0)
    found = _look(cell)
    told, what = state_of(found), problem(found)
    events: list[dg.AssetObservation | dg.AssetMaterialization | dg.AssetCheckEvaluation] = []
    if told != state or now - when >= REPORT_SECONDS:
        when, key, metadata = now, seed_key(cell, "event_policies"), metadata_of(found)
        events = [
            dg.AssetMaterialization(asset_key=key, metadata=metadata, tags=SAME_VERSION),
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=CHECK,
                passed=what is None,
                severity=dg.AssetCheckSeverity.WARN,
                description=what,
                metadata=metadata,
            ),
        ]
    runs = []
    if not under_way and has_changed(cell):
        runs = [dg.RunRequest(run_key=f"{cell}:{int(now)}", tags={CELL_TAG: cell, REFRESH_TAG: cell})]
    reason = "a refresh is under way" if under_way else "no bucket that a run would keep has changed"
    return dg.SensorResult(
        run_requests=runs,
        asset_events=events,
        # Dagster takes no reason beside runs.
        skip_reason=None if runs else dg.SkipReason(reason),
        cursor=json.dumps([told, when]),
    )


def policies_sensor(cell: Cell, job: dg.JobDefinition) -> dg.SensorDefinition:
    """Return the sensor that looks at a cell's policies and at what changed."""

    @dg.sensor(
        name=f"rollups_sensor_{cell}",
        job=job,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Has the changed buckets of cell {cell} kept, and starts nothing while there are none.",
    )
    def rollups_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        filters = dg.RunsFilter(tags={REFRESH_TAG: cell}, statuses=_UNDER_WAY)
        under_way = context.instance.get_runs_count(filters) > 0
        try:
            return evaluate(cell, context.cursor, time.time(), under_way=under_way)
        except CellUnavailableError as error:
            return dg.SensorResult(skip_reason=dg.SkipReason(str(error)), cursor=context.cursor)

    return rollups_sensor


@dg.definitions
def defs() -> dg.Definitions:
    """Return the policies, their checks, the refresh jobs and the sensors that start them."""
    jobs = {cell: refresh_job(cell) for cell in CELLS}
    return dg.Definitions(
        assets=[policies_asset(cell) for cell in CELLS],
        asset_checks=[policies_check(cell) for cell in CELLS],
        jobs=list(jobs.values()),
        sensors=[policies_sensor(cell, job) for cell, job in jobs.items()],
    )
