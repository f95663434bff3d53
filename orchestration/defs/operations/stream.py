"""The live stream of each cell as Dagster shows it: what waits, for how long, what is dead, and whether that is well.

A sensor looks, for a run that only looks would cost seconds of two cores every few minutes. It reports when something
changed and otherwise every quarter of an hour; the check can also be run by hand.
"""

import json
import time
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.defs.operations.reported_state import SAME_VERSION
from orchestration.defs.platform.schemas import OWNERS
from orchestration.defs.transform.translator import stream_key

if TYPE_CHECKING:
    from orchestration.realtime.stream_status import StreamStatus

CHECK = "stream_is_processed"
INTERVAL_SECONDS = 60
# What has not changed is reported this seldom: each report is two rows of Dagster's event log.
REPORT_SECONDS = 900
# The processor stores an event within a second; one that has waited this long is not being stored.
MOST_SECONDS = 60.0


def stream_asset(cell: Cell) -> dg.AssetSpec:
    """Return the live events of a cell: nothing that Dagster builds."""
    return dg.AssetSpec(
        key=stream_key(cell),
        group_name=f"{cell}_ingest",
        owners=OWNERS,
        kinds={"redis", "timescaledb"},
        description=f"Live events of tenants in {REGIONS[cell].name}: from the queue in the cell's Redis into "
        "`analytics.events` (origin `stream`) and the real-time counters, by the process that `capstone up` keeps "
        "running. See docs/stream.md.",
    )


def problem(status: "StreamStatus") -> tuple[str | None, dg.AssetCheckSeverity]:
    """Return what is not well with a stream, None if all is, and how grave that is."""
    if status.trouble is not None:
        return status.trouble, dg.AssetCheckSeverity.ERROR
    if (status.oldest_seconds or 0.0) > MOST_SECONDS:
        waits = f"an event has waited for {status.oldest_seconds:.0f} s"
        return (
            f"{waits}: its tenant is closed to writes, or the processor does not run (`capstone status`)",
            dg.AssetCheckSeverity.ERROR,
        )
    if status.dead_letters:
        return (
            f"{sum(status.dead_letters.values())} dead letters: `capstone stream dead --cell {status.cell}` says why",
            dg.AssetCheckSeverity.WARN,
        )
    return None, dg.AssetCheckSeverity.ERROR


def metadata_of(status: "StreamStatus") -> dict[str, Any]:
    """Return the numbers of a stream: counts and codes, nobody's values."""
    numbers: dict[str, Any] = {
        "events waiting": status.depth,
        "taken and not settled": status.pending,
        "limit": status.limit,
        "oldest waits (s)": status.oldest_seconds,
        "dead letters": sum(status.dead_letters.values()),
        **{f"dead letters: {reason}": count for reason, count in status.dead_letters.items()},
        "last stored (UTC)": status.last_stored,
    }
    return {name: value for name, value in numbers.items() if value is not None}


def _look(cell: Cell) -> "StreamStatus":
    from orchestration.realtime.stream_status import stream_status  # noqa: PLC0415 - keeps the code location's start short

    return stream_status(cell)


def stream_check(cell: Cell) -> dg.AssetChecksDefinition:
    """Return the check of a cell's stream."""

    @dg.asset_check(
        asset=stream_key(cell),
        name=CHECK,
        description="Events leave the queue within a minute; no dead letters (warning); the queue is what it was.",
    )
    def stream_is_processed() -> dg.AssetCheckResult:
        status = _look(cell)
        what, severity = problem(status)
        return dg.AssetCheckResult(
            passed=what is None, severity=severity, description=what, metadata=metadata_of(status)
        )

    return stream_is_processed


def state_of(status: "StreamStatus") -> str:
    """Return what a report is repeated for when it changes: how it stands, not how much of it."""
    what, _ = problem(status)
    return "" if what is None else f"{status.trouble is None} {sorted(status.dead_letters)}"


def evaluate(cursor: str | None, now: float) -> dg.SensorResult:
    """Look at every cell and report those of which there is something to say."""
    told: dict[str, Any] = json.loads(cursor or "{}")
    events: list[dg.AssetObservation | dg.AssetMaterialization | dg.AssetCheckEvaluation] = []
    for cell in CELLS:
        status = _look(cell)
        state = state_of(status)
        before, when = told.get(cell, (None, 0.0))
        if state == before and now - when < REPORT_SECONDS:
            continue
        told[cell] = (state, now)
        what, severity = problem(status)
        events += [
            dg.AssetMaterialization(asset_key=stream_key(cell), metadata=metadata_of(status), tags=SAME_VERSION),
            dg.AssetCheckEvaluation(
                asset_key=stream_key(cell),
                check_name=CHECK,
                passed=what is None,
                severity=severity,
                description=what,
                metadata=metadata_of(status),
            ),
        ]
    return dg.SensorResult(
        asset_events=events,
        skip_reason=None if events else dg.SkipReason("the streams are as they were"),
        cursor=json.dumps(told),
    )


@dg.sensor(
    name="stream_sensor",
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports how the live stream of each cell stands: at once when that changes, else every quarter hour.",
)
def stream_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Look at the streams."""
    return evaluate(context.cursor, time.time())


@dg.definitions
def defs() -> dg.Definitions:
    """Return the streams, their checks and the sensor that looks at them."""
    return dg.Definitions(
        assets=[stream_asset(cell) for cell in CELLS],
        asset_checks=[stream_check(cell) for cell in CELLS],
        sensors=[stream_sensor],
    )
