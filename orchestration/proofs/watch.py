"""Decide, cheaply and often, whether a cell has to be proven again, and why.

A look takes some hundredths of a second; a proof takes ten seconds and a process. So a catalog that differs from the
newest proof's, or people or files that were not misplaced then, call for a proof at once; rows that moved at most every
ten minutes; and time by itself before the verdict becomes too old to open the gate.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from orchestration.cells import routing
from orchestration.cells.regions import REGIONS, Cell
from orchestration.cells.stores import stores
from orchestration.proofs.proof import UNKNOWN_DIGEST
from orchestration.proofs.residency.file_search import stray_files
from orchestration.settings import Settings, get_settings

# Row movement happens all day; ten minutes bound what proofs cost to about 2 % of one core per cell.
MOVEMENT_SECONDS = 600
# Before the hour after which the gate closes by itself, with time for a run that has to wait for its cell's pool.
RENEWAL_SHARE = 0.75
# What could not be proven will hardly be provable seconds later, and each try costs a process.
BACK_OFF_SECONDS = 300

# Great Expectations lists so many offenders of a rule.
MOST_NAMED = 200

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
    proven_strays: Collection[str]
    # Files of the state directory that belong to no store.
    strays: Collection[str] = ()


@dataclass(frozen=True)
class Decision:
    """Whether to prove, and why (not)."""

    prove: bool
    reason: str
    # Only the residency suite knows of misplaced people and files; all other causes concern every suite alike.
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
    # What cannot be walked is for the proof to say.
    with suppress(OSError):
        return replace(found, strays=stray_files(stores(), settings))
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
    strays = suite == "geo_residency" and _differ(set(seen.strays), set(seen.proven_strays))
    # The first that applies.
    decisions = (
        (known and seen.digest != seen.proven_digest, Decision(True, "the catalog changed")),
        (
            seen.verdict == "error" and age < BACK_OFF_SECONDS,
            Decision(False, f"could not be proven {age:.0f} s ago, tried again after {BACK_OFF_SECONDS} s"),
        ),
        (seen.verdict == "error", Decision(True, "could not be proven")),
        (misplaced, Decision(True, "misplaced people changed", of_residency=True)),
        (strays, Decision(True, "files of no store changed", of_residency=True)),
        (age >= max_age_minutes * 60 * RENEWAL_SHARE, Decision(True, f"proven {age / 60:.0f} minutes ago")),
        (seen.movement != movement_before and age >= MOVEMENT_SECONDS, Decision(True, "rows moved")),
    )
    nothing = Decision(False, f"{seen.verdict}, proven {age:.0f} s ago, nothing changed")
    return next((decision for applies, decision in decisions if applies), nothing)


def _differ(now: set[str], proven: set[str]) -> bool:
    """Return whether there are others than were proven; of very many a verdict names the first only."""
    return bool(proven - now) or (len(proven) < MOST_NAMED and bool(now - proven))
