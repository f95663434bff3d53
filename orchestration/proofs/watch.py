"""Decide, cheaply and often, whether a cell has to be proven again, and why.

A look takes some hundredths of a second; a proof takes ten seconds and a process. So a catalog that differs from the
newest proof's, or people who were not misplaced then, call for a proof at once; rows that moved at most every ten
minutes; and time by itself before the verdict becomes too old to open the gate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from orchestration.cells import routing
from orchestration.cells.regions import REGIONS, Cell
from orchestration.proofs.proof import UNKNOWN_DIGEST
from orchestration.settings import Settings, get_settings

# Row movement happens all day; ten minutes bound what proofs cost to about 2 % of one core per cell.
MOVEMENT_SECONDS = 600
# Before the hour after which the gate closes by itself, with time for a run that has to wait for its cell's pool.
RENEWAL_SHARE = 0.75
# What could not be proven will hardly be provable seconds later, and each try costs a process.
BACK_OFF_SECONDS = 300

_LOOK = Path(__file__).with_name("watch.sql")


@dataclass(frozen=True)
class Look:
    """A cell as it is, and the newest proof of one suite (fields None if there was never one)."""

    digest: str
    has_tenants: bool
    misplaced: Mapping[str, int]
    movement: int
    proof_id: str | None
    verdict: str | None
    proven_digest: str | None
    age_seconds: float | None
    proven_misplaced: Mapping[str, int]


@dataclass(frozen=True)
class Decision:
    """Whether to prove, and why (not)."""

    prove: bool
    reason: str
    # Only the residency suite knows of misplaced people; all other causes concern every suite alike.
    of_residency: bool = False


def look(cell: Cell, suite: str, *, settings: Settings | None = None) -> Look:
    """Look at ``cell``.

    Raises:
        CellUnavailableError: the cell does not answer.
        psycopg.Error: its schemas are not there yet.
    """
    settings = settings or get_settings()
    allowed = [region.cell for region in REGIONS.values() if cell in region.residency]
    with (
        routing.connect(
            cell, "auditor", autocommit=True, application_name="capstone watch", settings=settings
        ) as connection,
        connection.cursor(row_factory=class_row(Look)) as cursor,
    ):
        found = cursor.execute(_LOOK.read_text(), {"allowed": allowed, "cell": cell, "suite": suite}).fetchone()
    if found is None:
        raise psycopg.DataError(f"cell {cell!r} gave no answer")
    return found


def decide(seen: Look, suite: str, movement_before: int | None, *, max_age_minutes: int = 60) -> Decision:
    """Decide whether ``suite`` has to be proven.

    Args:
        seen: the cell now.
        suite: the suite whose newest proof is in ``seen``.
        movement_before: ``seen.movement`` when the newest proof began; None if not known.
        max_age_minutes: after which a verdict opens no gate.
    """
    if not seen.has_tenants:
        return Decision(False, "no tenant yet, nothing to prove")
    if seen.proof_id is None or seen.age_seconds is None:
        return Decision(True, "never proven")
    age, known = seen.age_seconds, seen.proven_digest != UNKNOWN_DIGEST
    misplaced = suite == "geo_residency" and dict(seen.misplaced) != dict(seen.proven_misplaced)
    # The first that applies.
    decisions = (
        (known and seen.digest != seen.proven_digest, Decision(True, "the catalog changed")),
        (
            seen.verdict == "error" and age < BACK_OFF_SECONDS,
            Decision(False, f"could not be proven {age:.0f} s ago, tried again after {BACK_OFF_SECONDS} s"),
        ),
        (seen.verdict == "error", Decision(True, "could not be proven")),
        (misplaced, Decision(True, "misplaced people changed", of_residency=True)),
        (age >= max_age_minutes * 60 * RENEWAL_SHARE, Decision(True, f"proven {age / 60:.0f} minutes ago")),
        (seen.movement != movement_before and age >= MOVEMENT_SECONDS, Decision(True, "rows moved")),
    )
    nothing = Decision(False, f"{seen.verdict}, proven {age:.0f} s ago, nothing changed")
    return next((decision for applies, decision in decisions if applies), nothing)
