"""How the cells stand in database ``global``: fresh, stale or never there, how old, and what was held back."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import TupleRow, class_row

from orchestration.cells import routing
from orchestration.cells.endpoints import GLOBAL_DATABASE
from orchestration.publishing.datasets import dataset
from orchestration.settings import Settings, get_settings

_BELOW = Path(__file__).with_name("sql") / "below_threshold.sql"
_STANDINGS = """
    select
        region, dataset, state, as_of, age, closed_through,
        refreshes, published, groups, merged, suppressed, withheld, k
    from marts.cells
    order by dataset, array_position(array['na', 'eu', 'apac'], region)
"""


@dataclass(frozen=True)
class Standing:
    """One cell and dataset; what a cell that never published cannot have is None.

    Attributes:
        state: fresh, stale or never.
        as_of: when the cell built what it last published.
        age: since then.
        closed_through: periods that had settled by this day are in, or held back.
        refreshes: how often the cell published.
        published: rows that are there.
        groups: groups of all closed periods, at the finest.
        merged, suppressed, withheld: of these, in a coarser group only, not published, held back at the border.
        k: fewest persons of a group, of the newest refresh.
    """

    region: str
    dataset: str
    state: str
    as_of: datetime | None
    age: timedelta | None
    closed_through: date | None
    refreshes: int
    published: int | None
    groups: int | None
    merged: int | None
    suppressed: int | None
    withheld: int | None
    k: int | None

    def describe(self) -> str:
        """Return the state in words: `stale, 3 days, 4:10:00 old`."""
        return "never published" if self.age is None else f"{self.state}, {self.age} old"


def connect(settings: Settings | None = None) -> Connection[TupleRow]:
    """Open a connection to database ``global`` as the role that reads its marts.

    Raises:
        CellUnavailableError: the control cluster does not answer.
    """
    return routing.connect(
        "control", "reader", database=GLOBAL_DATABASE, application_name="capstone", settings=settings or get_settings()
    )


def standings(connection: Connection[TupleRow], name: str | None = None) -> list[Standing]:
    """Return every cell and dataset, or every cell of dataset ``name``."""
    with connection.cursor(row_factory=class_row(Standing)) as cursor:
        found = cursor.execute(_STANDINGS).fetchall()
    return [each for each in found if name is None or each.dataset == name]


def union_rows(connection: Connection[TupleRow], name: str, most: int | None = None) -> list[dict[str, Any]]:
    """Return the rows of the cells' union of a dataset, newest period first, at most ``most`` a region.

    A region without rows is one row of nulls with its state.

    Raises:
        UndeclaredDatasetError: there is no such dataset.
    """
    what = dataset(name)
    period = {"funnel": "week", "cohorts": "cohort", "revenue": "day"}[what.name]
    rest = {"funnel": "funnel, step", "cohorts": "weeks_later", "revenue": "currency"}[what.name]
    query = sql.SQL(
        "select * from (select *, row_number() over (partition by region order by {period} desc nulls last, {rest})"
        " as place from {view}) as numbered where %s::bigint is null or place <= %s order by region, place"
    ).format(period=sql.Identifier(period), rest=sql.SQL(rest), view=what.view)
    cursor = connection.execute(query, (most, most))
    names = [column.name for column in cursor.description or ()]
    return [
        {name: value for name, value in zip(names, row, strict=True) if name != "place"} for row in cursor.fetchall()
    ]


def below_threshold(connection: Connection[TupleRow], k: int) -> dict[str, int]:
    """Return, per dataset, how many of the groups that a reader can compute have fewer than ``k`` persons."""
    found = connection.execute(_BELOW.read_bytes(), {"k": k}).fetchall()
    return {str(name): int(groups) for name, groups in found}
