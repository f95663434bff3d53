"""Sensors that have a cell proven when something changed, and before its verdict becomes too old.

Each tick looks at every cell, which takes some hundredths of a second, and never imports Great Expectations. Both
suites run in one run, so the two sensors share the work: causes that concern both are ``tenant_isolation_sensor``'s,
and ``geo_residency_sensor`` acts on them one tick later, should the other be switched off.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
import psycopg

from orchestration.cells.endpoints import EndpointError
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.defs.governance.gate import CELL_TAG, GEO_RESIDENCY, PROOF_TAG, TENANT_ISOLATION, proof_job

if TYPE_CHECKING:
    from orchestration.proofs.watch import Look

# A violation has to be red within a minute: this, the run's start and the proof itself fit into it.
INTERVAL_SECONDS = 15

# A run that died without a verdict (killed, out of memory) is not started again at every tick.
CRASH_BACK_OFF_SECONDS = 300

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Memory:
    """What a sensor remembers of a cell from tick to tick.

    Attributes:
        proof: the newest proof it knows of.
        baseline: row movement of the tick before that proof appeared, so no later than when it began.
        movement: row movement of the last tick.
        left: whether the last tick left a cause to the other sensor.
    """

    proof: str | None = None
    baseline: int | None = None
    movement: int | None = None
    left: bool = False


def remembered(cursor: str | None) -> dict[str, Memory]:
    """Return the memory of each cell; none from a cursor that is empty or of another version."""
    try:
        return {cell: Memory(**entry) for cell, entry in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def run_key(cell: Cell, reason: str, watermark: str, proof: str | None, now: float) -> str:
    """Return the key of a run: Dagster drops a run whose key was ever used, so a needed run's must be new.

    Watermark and newest proof change with each proof; the half minute, should a run die before it leaves one.
    """
    return ":".join((cell, reason.replace(" ", "-"), watermark[:16], (proof or "none")[:8], str(int(now // 30))))


def _proof_under_way(instance: dg.DagsterInstance, cell: Cell, proof_age: float | None) -> str | None:
    """Return why no proof of ``cell`` should be launched now; None if nothing stands in the way."""
    tags = {PROOF_TAG: cell}
    if instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=_UNDER_WAY)):
        return "a proof is under way"
    records = instance.get_run_records(dg.RunsFilter(tags=tags), limit=1)
    if not records or records[0].end_time is None or records[0].start_time is None:
        return None
    ended, now = records[0].end_time, time.time()
    left_a_verdict = proof_age is not None and now - proof_age >= records[0].start_time
    if not left_a_verdict and now - ended < CRASH_BACK_OFF_SECONDS:
        return f"the last proof run left no verdict, tried again after {CRASH_BACK_OFF_SECONDS} s"
    return None


def _look(cell: Cell, suite: str) -> "Look | str":
    """Return the cell as it is, or why it cannot be looked at."""
    from orchestration.proofs.watch import look  # noqa: PLC0415 - keeps the code location's start short

    try:
        return look(cell, suite)
    except (CellUnavailableError, EndpointError) as error:
        return str(error)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName):
        return "its schemas are not there yet"
    except psycopg.Error as error:
        return f"cannot be looked at: {type(error).__name__}"


def _evaluate_cell(
    instance: dg.DagsterInstance, suite: str, cell: Cell, before: Memory
) -> tuple[dg.RunRequest | None, str, Memory]:
    """Return what to launch for ``cell``, why (not), and what to remember."""
    from orchestration.proofs.watch import decide  # noqa: PLC0415 - keeps the code location's start short
    from orchestration.settings import get_settings  # noqa: PLC0415

    seen = _look(cell, suite)
    if isinstance(seen, str):
        return None, seen, before
    baseline = before.baseline if seen.proof_id == before.proof else before.movement
    memory = Memory(seen.proof_id, baseline, seen.movement)
    decision = decide(seen, suite, baseline, max_age_minutes=get_settings().proof_max_age_minutes)
    if not decision.prove:
        return None, decision.reason, memory
    hindrance = _proof_under_way(instance, cell, seen.age_seconds)
    if hindrance is not None:
        return None, f"{decision.reason}; {hindrance}", memory
    if suite == GEO_RESIDENCY and not decision.of_residency and not before.left:
        reason = f"{decision.reason}; left to {TENANT_ISOLATION}_sensor for this tick"
        return None, reason, Memory(seen.proof_id, baseline, seen.movement, left=True)
    request = dg.RunRequest(
        job_name=f"proof_{cell}",
        run_key=run_key(cell, decision.reason, seen.digest, seen.proof_id, time.time()),
        tags={CELL_TAG: cell, PROOF_TAG: cell, "capstone/cause": decision.reason},
    )
    return request, decision.reason, memory


def evaluate(suite: str, context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Look at every cell; a cell that cannot be looked at is reported and keeps none of the others from its proof."""
    memories = remembered(context.cursor)
    requests: list[dg.RunRequest] = []
    reasons: dict[str, str] = {}
    for cell in CELLS:
        request, reasons[cell], memories[cell] = _evaluate_cell(
            context.instance, suite, cell, memories.get(cell, Memory())
        )
        if request is not None:
            requests.append(request)
    told = "; ".join(f"{cell}: {reason}" for cell, reason in reasons.items())
    context.log.info(told)
    return dg.SensorResult(
        run_requests=requests,
        # Dagster takes either runs or a reason why there are none.
        skip_reason=None if requests else dg.SkipReason(told),
        cursor=json.dumps({cell: _as_json(memory) for cell, memory in memories.items()}),
    )


def _as_json(memory: Memory) -> Mapping[str, Any]:
    return {name: getattr(memory, name) for name in ("proof", "baseline", "movement", "left")}


def proof_sensor(suite: str, description: str) -> dg.SensorDefinition:
    """Return the sensor that keeps the verdict on ``suite`` fresh in every cell."""

    @dg.sensor(
        name=f"{suite}_sensor",
        jobs=[proof_job(cell) for cell in CELLS],
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sense(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return evaluate(suite, context)

    return sense


@dg.definitions
def defs() -> dg.Definitions:
    """Return both sensors."""
    return dg.Definitions(
        sensors=[
            proof_sensor(
                TENANT_ISOLATION,
                "Has a cell proven at once when its catalog changed, at most every 10 minutes when rows moved, and "
                "before its verdict is an hour old.",
            ),
            proof_sensor(
                GEO_RESIDENCY,
                "Has a cell proven at once when the people who may not live there changed in number; and, one tick "
                f"after {TENANT_ISOLATION}_sensor, for the same causes as that.",
            ),
        ]
    )
