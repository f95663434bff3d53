"""Row counts and figures of a cell's marts, read after a build for the asset pages."""

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import TupleRow

from orchestration.defs.transform.figures import CohortCell, ConversionDay, FunnelStep, Transition

_FILE = Path(__file__).with_name("mart_numbers.sql")
_MARK = "-- name: "
# Below this many cohorts of a period the next shorter one says more, if the cohort has it.
_FEWEST_COHORTS = {"month": 3, "week": 1, "day": 1}


def statements() -> dict[str, str]:
    """Return the named statements of ``mart_numbers.sql``."""
    parts = _FILE.read_text().split(_MARK)[1:]
    return {name.strip(): body.strip() for name, _, body in (part.partition("\n") for part in parts)}


def _rows(connection: Connection[TupleRow], name: str, parameters: Mapping[str, Any]) -> list[TupleRow]:
    return connection.execute(statements()[name].encode(), parameters).fetchall()


def row_counts(connection: Connection[TupleRow], relations: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return the number of rows of each (schema, relation)."""
    counts = {}
    for schema, relation in relations:
        query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, relation))
        row = connection.execute(query).fetchone()
        counts[schema, relation] = int(row[0]) if row else 0
    return counts


def funnel_steps(connection: Connection[TupleRow], first_day: date, last_day: date) -> list[FunnelStep]:
    """Return users per funnel and step over the days."""
    return [
        FunnelStep(*row) for row in _rows(connection, "funnel_steps", {"first_day": first_day, "last_day": last_day})
    ]


def funnel_days(
    connection: Connection[TupleRow], funnel: str, first_day: date, last_day: date
) -> dict[date, dict[str, int]]:
    """Return per day the mart's rows, and of one funnel how many entered and how many finished."""
    parameters = {"funnel": funnel, "first_day": first_day, "last_day": last_day}
    return {
        day: {"rows": n_rows, "entered": entered or 0, "converted": converted or 0}
        for day, n_rows, entered, converted in _rows(connection, "funnel_days", parameters)
    }


def conversion_days(connection: Connection[TupleRow], first_day: date, last_day: date) -> list[ConversionDay]:
    """Return how many entered and finished each funnel on each of the days."""
    parameters = {"first_day": first_day, "last_day": last_day}
    return [ConversionDay(*row) for row in _rows(connection, "conversion_days", parameters)]


def user_paths(connection: Connection[TupleRow], first_day: date, last_day: date, most: int) -> list[Transition]:
    """Return the most frequent transitions of the days, at most ``most``."""
    parameters = {"first_day": first_day, "last_day": last_day, "most": most}
    return [Transition(*row) for row in _rows(connection, "user_paths", parameters)]


def cohort_names(connection: Connection[TupleRow]) -> list[str]:
    """Return the cohorts that have rows, first-time ones first."""
    return [name for (name,) in _rows(connection, "cohort_names", {})]


def cohort_cells(connection: Connection[TupleRow], name: str) -> tuple[str, list[CohortCell]]:
    """Return the period shown of a cohort and its retention over all tenants: months, or what there is below them."""
    shown: tuple[str, list[CohortCell]] = ("month", [])
    for period in ("month", "week", "day"):
        parameters = {"cohort_name": name, "period": period}
        found = [CohortCell(*row) for row in _rows(connection, "cohort_cells", parameters)]
        if found:
            shown = (period, found)
        if len({cell.cohort for cell in found}) >= _FEWEST_COHORTS[period]:
            break
    return shown
