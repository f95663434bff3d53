"""How the stream of a cell stands: what waits, for how long, what is dead, and what was stored last."""

from dataclasses import dataclass, field

import psycopg

from orchestration.cells import routing
from orchestration.cells.endpoints import EndpointError
from orchestration.cells.regions import Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.realtime import recovery
from orchestration.realtime.dead_letters import DeadLetters
from orchestration.realtime.queue import QueueError
from orchestration.realtime.redis_queue import RedisQueue
from orchestration.settings import Settings, get_settings


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """The stream of one cell; None for what could not be asked.

    Attributes:
        cell: which.
        depth: events in the queue.
        pending: those of them that a processor has taken and not settled.
        limit: depth at which no more are accepted.
        oldest_seconds: how long the oldest waits.
        dead_letters: how many there are of each reason.
        last_stored: when a batch was last stored, ISO 8601, UTC.
        trouble: why it is not processed, and the way out; None when nothing stands against it.
    """

    cell: Cell
    depth: int | None = None
    pending: int | None = None
    limit: int | None = None
    oldest_seconds: float | None = None
    dead_letters: dict[str, int] = field(default_factory=dict)
    last_stored: str | None = None
    trouble: str | None = None


def stream_status(cell: Cell, settings: Settings | None = None) -> StreamStatus:
    """Return how the stream of ``cell`` stands; never raises for what is down."""
    settings = settings or get_settings()
    try:
        queue = RedisQueue.of_cell(cell, settings)
        state, reasons, facts = queue.state(), DeadLetters(queue).reasons(), recovery.facts_of(queue)
    except (QueueError, EndpointError) as error:
        return StreamStatus(cell, trouble=str(error))
    last_stored, trouble = None, None
    try:
        with routing.connect(cell, "loader", autocommit=True, settings=settings) as connection:
            progress = recovery.progress_of(connection)
        if progress is not None:
            last_stored = progress.at.isoformat(timespec="seconds")
        cause = recovery.damage(progress, facts)
        trouble = None if cause is None else str(recovery.refusal(cell, cause))
    except (CellUnavailableError, EndpointError) as error:
        trouble = str(error)
    except psycopg.Error as error:
        trouble = f"cell {cell!r} has no stream yet ({type(error).__name__}): `capstone up` applies its schemas"
    return StreamStatus(
        cell=cell,
        depth=state.depth,
        pending=state.pending,
        limit=state.limit,
        oldest_seconds=round(state.oldest_seconds, 3),
        dead_letters=dict(sorted(reasons.items())),
        last_stored=last_stored,
        trouble=trouble,
    )
