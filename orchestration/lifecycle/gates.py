"""The gates of the cells, as the data path itself reads them."""

from dataclasses import dataclass
from datetime import timedelta

import psycopg

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.settings import Settings

_STATE = "select suite, verdict, reason, open from platform.gate_state(%s) order by suite"
_SCHEMA_EXISTS = "select to_regprocedure('platform.gate_state(interval)') is not null"


@dataclass(frozen=True)
class Gate:
    """One suite's newest verdict in a cell: green, red, error or None, and why it keeps the gate shut (None: open)."""

    suite: str
    verdict: str | None
    reason: str | None
    open: bool


def gates(cell: Cell, settings: Settings) -> list[Gate]:
    """Return the state of each suite; none where the cell has no schema yet.

    Raises:
        CellUnavailableError: the cell does not answer.
    """
    max_age = timedelta(minutes=settings.proof_max_age_minutes)
    with routing.connect(cell, "superuser", settings=settings) as connection:
        found = connection.execute(_SCHEMA_EXISTS).fetchone()
        if found is None or not found[0]:
            return []
        return [Gate(*row) for row in connection.execute(_STATE, (max_age,)).fetchall()]


def is_open(cell: Cell, settings: Settings) -> bool:
    """Return whether everything that publishes may do so in this cell now; False when that cannot be known."""
    try:
        states = gates(cell, settings)
    except (psycopg.Error, routing.CellUnavailableError):
        return False
    return bool(states) and all(state.open for state in states)
