"""How fresh a read has to be: strong, from the home, or eventual, from the nearest copy that is fresh enough.

Only relations that are declared `global` have copies to read eventually. A cell's copy carries the instant up to
which it is complete (`platform.replica_freshness`); it is looked at in the transaction that reads, on the server that
is read. A copy of which nothing is known is as good as one that is too old.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import psycopg
from psycopg.rows import tuple_row

from orchestration.cells.regions import GLOBAL_HOME, Cell
from orchestration.cells.relations import load_relations

R = TypeVar("R")

# How far the clocks of two cells may be apart; counted as age. Servers that keep time by NTP are within milliseconds.
CLOCK_SKEW = timedelta(seconds=1)

_FRESHNESS = (Path(__file__).parent / "sql" / "freshness.sql").read_text()


class StaleReadError(RuntimeError):
    """The nearest copy is older than the caller allows, or its age is not known, and home was not to be asked."""

    status: ClassVar[int] = 503


class NotGlobalError(ValueError):
    """What was to be read or written as global data is not declared so."""

    status: ClassVar[int] = 400


@dataclass(frozen=True)
class Strong:
    """A read of what is committed, from the home."""


@dataclass(frozen=True)
class Eventual:
    """A read of the nearest copy.

    Attributes:
        max_staleness: how old the copy may be; more than `CLOCK_SKEW`.
        or_home: whether home is read when the copy is too old, of unknown age or not to be reached; otherwise
            that is a StaleReadError.
    """

    max_staleness: timedelta
    or_home: bool = True

    def __post_init__(self) -> None:
        if self.max_staleness <= CLOCK_SKEW:
            raise ValueError(
                f"max_staleness is {self.max_staleness}: more than {CLOCK_SKEW}, what clocks may differ by, is needed; "
                "read strongly where that is too much"
            )


Consistency = Strong | Eventual
STRONG = Strong()


@dataclass(frozen=True)
class Reading(Generic[R]):
    """What was read, and where.

    Attributes:
        value: what the caller's work returned.
        cell: where it was read.
        complete_until: the value has every change that was committed until then; None from the home, which has all.
    """

    value: R
    cell: Cell
    complete_until: datetime | None


def require_global(relations: Sequence[str]) -> tuple[str, ...]:
    """Return ``relations`` if all of them are declared global.

    Raises:
        NotGlobalError: one is not, or is not declared, or none is named.
    """
    kinds = {relation.name: relation.kind for relation in load_relations()}
    if isinstance(relations, str) or not relations:
        raise NotGlobalError(f"{relations!r}: name the global relations that are read, as schema.relation")
    for name in relations:
        if name not in kinds:
            raise NotGlobalError(
                f"{name!r} is not declared in sql/relations.yml: only declared global data have copies"
            )
        if kinds[name] != "global":
            raise NotGlobalError(
                f"{name} is declared {kinds[name]}, not global: read it where what it is about is at home"
            )
    return tuple(relations)


def require_fresh(
    connection: psycopg.Connection[Any], cell: Cell, relations: Sequence[str], max_staleness: timedelta
) -> datetime:
    """Return until when the cell's copies of ``relations`` are complete, the earliest of them.

    Args:
        connection: to the cell, in the transaction that goes on to read.
        cell: for the message.
        relations: all that are read.
        max_staleness: how old they may be.

    Raises:
        StaleReadError: one is older, or said to be of the future, or not known, or a copy of another home.
    """
    earliest: datetime | None = None
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(_FRESHNESS, [list(relations), GLOBAL_HOME]).fetchall()
    for relation, complete_until, age in rows:
        if complete_until is None:
            raise StaleReadError(f"how fresh the copy of {relation} in cell {cell!r} is, is not known")
        if age < -CLOCK_SKEW:
            raise StaleReadError(
                f"the copy of {relation} in cell {cell!r} is said to be {-age} ahead: clocks of cells differ too much"
            )
        if age + CLOCK_SKEW > max_staleness:
            raise StaleReadError(
                f"the copy of {relation} in cell {cell!r} is {age} old, "
                f"at most {max_staleness - CLOCK_SKEW} are allowed"
            )
        earliest = complete_until if earliest is None else min(earliest, complete_until)
    if earliest is None:
        raise StaleReadError(f"cell {cell!r} said nothing of the freshness of {', '.join(relations)}")
    return earliest
