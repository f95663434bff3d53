"""The gates of the cells, as the data path itself reads them."""

import psycopg

from orchestration.cells.endpoints import EndpointError
from orchestration.cells.regions import Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.proofs.gate import GateState, gate_state
from orchestration.settings import Settings


def gates(cell: Cell, settings: Settings) -> tuple[GateState, ...]:
    """Return the state of each suite; none where the cell does not answer or has no schema yet."""
    try:
        return gate_state(cell, settings=settings)
    except (psycopg.Error, CellUnavailableError, EndpointError):
        return ()


def is_open(cell: Cell, settings: Settings) -> bool:
    """Return whether everything that publishes may do so in this cell now; False when that cannot be known."""
    states = gates(cell, settings)
    return bool(states) and all(state.open for state in states)
