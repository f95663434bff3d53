"""What the gate of a cell's data path says now; the same function of the database that closes it."""

from dataclasses import dataclass

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.settings import Settings, get_settings


@dataclass(frozen=True)
class GateState:
    """One suite's part in a cell's gate: open, or the reason why not; no verdict if it was never proven."""

    suite: str
    verdict: str | None
    reason: str | None
    open: bool


def gate_state(cell: Cell, *, settings: Settings | None = None) -> tuple[GateState, ...]:
    """Return, for each suite, whether its newest proof opens the gate of ``cell``.

    Raises:
        CellUnavailableError: the cell does not answer.
        psycopg.Error: its schemas are not there yet.
    """
    settings = settings or get_settings()
    with routing.connect(cell, "auditor", autocommit=True, settings=settings) as connection:
        rows = connection.execute(
            "select suite, verdict, reason, open from platform.gate_state(make_interval(mins => %s)) order by suite",
            (settings.proof_max_age_minutes,),
        ).fetchall()
    return tuple(GateState(*row) for row in rows)
