"""The canary people of a cell: made where they are missing, and known to other cells by salted digests only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import CELLS, Cell
from orchestration.proofs.residency import marks
from orchestration.settings import Settings

# Enough that one that is erased or moved by somebody's mistake leaves others.
CANARIES = 3

_SQL = Path(__file__).parent / "sql"


@dataclass(frozen=True)
class KnownCanaries:
    """Digests of the canaries of all cells that could be asked, by one salt.

    Attributes:
        salt: of this proof; another one in every proof, so that digests of two cannot be compared.
        own: of the cell that is proven.
        others: of other cells, by their digest.
        silent: cells that could not be asked: what looks like a canary may be one of theirs.
    """

    salt: str
    own: frozenset[str]
    others: dict[str, Cell]
    silent: tuple[Cell, ...]

    def whose(self, found: str) -> str | None:
        """Return of which cell the canary with that digest is; None where it is nobody's.

        While a cell cannot be asked, what nobody else knows may be its own: "unknown" is a finding too.
        """
        if found in self.own:
            return "this cell"
        if found in self.others:
            return f"cell {self.others[found]}"
        return "an unknown cell" if self.silent else None


def ensure_canaries(cell: Cell, settings: Settings) -> None:
    """Make what is missing of the canaries of ``cell``; their ids are told to nobody.

    Raises:
        CellUnavailableError: the cell does not answer.
        psycopg.Error: they cannot be made.
    """
    with routing.connect(cell, "loader", application_name="capstone proof", settings=settings) as connection:
        connection.execute(
            (_SQL / "ensure_canaries.sql").read_bytes(), {"mark": marks.MARK, "canaries": CANARIES, "cell": cell}
        )


def known_canaries(cell: Cell, salt: str, auditor: psycopg.Connection[Any], settings: Settings) -> KnownCanaries:
    """Return the canaries of ``cell``, and of the others as far as they answer."""
    own = _digests(auditor, salt)
    others: dict[str, Cell] = {}
    silent: list[Cell] = []
    for other in CELLS:
        if other == cell:
            continue
        try:
            with routing.connect(
                other, "auditor", autocommit=True, application_name="capstone proof", settings=settings
            ) as connection:
                others |= dict.fromkeys(_digests(connection, salt), other)
        except (psycopg.Error, routing.CellUnavailableError, endpoints.EndpointError):
            silent.append(other)
    return KnownCanaries(salt, own, others, tuple(silent))


def _digests(connection: psycopg.Connection[Any], salt: str) -> frozenset[str]:
    rows = connection.execute((_SQL / "canary_digests.sql").read_bytes(), {"salt": salt})
    return frozenset(str(row[0]) for row in rows)
