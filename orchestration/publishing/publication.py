"""Publishes a dataset of a cell: read behind the gate, checked at the border, appended to database ``global``.

A period is published once, when it has settled, and never again: what comes late, is corrected or erased afterwards
changes nothing there, so that nobody can compare two states of a group. The publisher's login could not do otherwise;
it has no privilege to change or remove a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, dict_row

from orchestration.cells import routing
from orchestration.cells.endpoints import GLOBAL_DATABASE
from orchestration.cells.regions import Cell
from orchestration.publishing.border import BorderError, Row, require_fit, withhold
from orchestration.publishing.datasets import CLOSED_PERIODS, Dataset, dataset
from orchestration.publishing.rule import DisclosureRule, read_rule
from orchestration.settings import Settings, get_settings

APPLICATION = "capstone publishing"

Connection = psycopg.Connection[TupleRow]

_GATE = "select platform.assert_publishing_open(make_interval(mins => %s))"
_READ = sql.SQL("select region, closes_on, {columns} from {relation} order by closes_on")
_CLOSED = sql.SQL(
    "select region, closes_on, groups, merged, suppressed, as_of from {relation} where dataset = %s order by closes_on"
)
_LAST = "select max(closed_through) from publishing.publications where region = %s and dataset = %s"
_SIZES = "select cohort_name, cohort, persons from publishing.cohorts where region = %s and weeks_later = 0"
_RECORD = """
    insert into publishing.publications (
        publication_id, region, dataset, as_of, closed_through,
        k, tenants, dominance_percent, rounding, groups, merged, suppressed, withheld, published
    ) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


class GateClosedError(RuntimeError):
    """The gate of the cell is closed: nothing leaves. The message is the database's, with the way out."""


class NotBuiltError(RuntimeError):
    """The cell has no aggregates to publish; the message says how to build them."""


@dataclass(frozen=True)
class Publication:
    """What one refresh of a dataset did.

    Attributes:
        publication_id: its id in database ``global``.
        cell: whose.
        dataset: which.
        as_of: when the cell built the aggregates.
        closed_through: periods that had settled by this day are closed for good.
        groups: groups of the periods that it closed, at the finest.
        merged: of these, published within a coarser one.
        suppressed: of these, not published.
        withheld: of these, held back at the border.
        published: rows added.
    """

    publication_id: UUID
    cell: Cell
    dataset: str
    as_of: datetime
    closed_through: date
    groups: int
    merged: int
    suppressed: int
    withheld: int
    published: int


@dataclass(frozen=True)
class _Read:
    rows: Sequence[Row]
    closings: Sequence[Row]

    @property
    def closed_through(self) -> date:
        days: list[date] = [row["closes_on"] for row in self.closings]
        return max(days)


def _read_cell(cell: Cell, what: Dataset, settings: Settings) -> _Read:
    with routing.connect(cell, "publisher", application_name=APPLICATION, settings=settings) as connection:
        # One snapshot: the gate is asked about the catalog, and the rows are those, of one moment.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            connection.execute(_GATE, (settings.proof_max_age_minutes,))
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            hint = f"; {error.diag.message_hint}" if error.diag.message_hint else ""
            raise GateClosedError(f"{error.diag.message_primary}{hint}") from None
        with connection.cursor(row_factory=dict_row) as cursor:
            try:
                columns = sql.SQL(", ").join(map(sql.Identifier, what.columns))
                rows = cursor.execute(_READ.format(columns=columns, relation=what.relation)).fetchall()
                closings = cursor.execute(_CLOSED.format(relation=CLOSED_PERIODS), (what.name,)).fetchall()
            except psycopg.errors.UndefinedTable:
                closings = []
    if not closings:
        raise NotBuiltError(
            f"cell {cell!r} has no aggregates of dataset {what.name!r} yet: build them with "
            f"`capstone materialize '{cell}/marts/{what.model} or {cell}/marts/agg_closed_periods'`"
        )
    return _Read(rows, closings)


def _append(connection: Connection, publication: Publication, what: Dataset, rows: Sequence[Row], k: int) -> None:
    columns = ("publication_id", "region", "k", "closes_on", *what.columns)
    statement = sql.SQL("insert into {table} ({columns}) values ({values})").format(
        table=what.table,
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(sql.Placeholder() * len(columns)),
    )
    # A cohort goes before its weeks, which refer to it.
    ordered = sorted(rows, key=lambda row: row.get("weeks_later", 0))
    with connection.cursor() as cursor:
        cursor.executemany(
            statement,
            [
                (publication.publication_id, publication.cell, k, row["closes_on"], *(row[c] for c in what.columns))
                for row in ordered
            ],
        )


def _record(connection: Connection, publication: Publication, rule: DisclosureRule) -> None:
    connection.execute(
        _RECORD,
        (
            publication.publication_id,
            publication.cell,
            publication.dataset,
            publication.as_of,
            publication.closed_through,
            rule.k,
            rule.tenants,
            rule.dominance_percent,
            rule.rounding,
            publication.groups,
            publication.merged,
            publication.suppressed,
            publication.withheld,
            publication.published,
        ),
    )


def _settle(connection: Connection, cell: Cell, what: Dataset, read: _Read, rule: DisclosureRule) -> Publication:
    """Append what has closed since the last refresh, in the caller's transaction."""
    connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{cell}/{what.name}",))
    last = connection.execute(_LAST, (cell, what.name)).fetchone()
    before: date | None = last[0] if last else None
    rows = [row for row in read.rows if before is None or row["closes_on"] > before]
    closings = [row for row in read.closings if before is None or row["closes_on"] > before]
    withheld = 0
    if what.name == "cohorts":
        sizes = {(name, cohort): size for name, cohort, size in connection.execute(_SIZES, (cell,)).fetchall()}
        rows, withheld = withhold(rows, sizes, rule)
    publication = Publication(
        publication_id=uuid4(),
        cell=cell,
        dataset=what.name,
        as_of=max(row["as_of"] for row in read.closings),
        closed_through=read.closed_through if before is None else max(before, read.closed_through),
        groups=sum(row["groups"] for row in closings),
        merged=sum(row["merged"] for row in closings),
        suppressed=sum(row["suppressed"] for row in closings),
        withheld=withheld,
        published=len(rows),
    )
    _record(connection, publication, rule)
    _append(connection, publication, what, rows, rule.k)
    return publication


def publish(cell: Cell, name: str, *, settings: Settings | None = None) -> Publication:
    """Publish what has settled of dataset ``name`` in ``cell`` since its last refresh; all of it or nothing.

    Safe to repeat: what is published stays as it is, and the refresh says that the cell was there.

    Raises:
        UndeclaredDatasetError: no such dataset may leave a cell.
        GateClosedError: isolation or residency of the cell is not proven now; nothing left it.
        NotBuiltError: the cell has no aggregates yet.
        BorderError: rows violate the rule; nothing of the dataset left the cell.
        CellUnavailableError: the cell, or the control cluster, does not answer.
    """
    settings = settings or get_settings()
    what = dataset(name)
    rule = read_rule()
    read = _read_cell(cell, what, settings)
    if any(row["region"] != cell for row in read.closings):
        raise BorderError(f"dataset {name!r}: what is read from cell {cell!r} says that it is another's; not published")
    require_fit(read.rows, cell, what, rule, read.closed_through)
    with (
        routing.connect(
            "control", "publisher", database=GLOBAL_DATABASE, application_name=APPLICATION, settings=settings
        ) as connection,
        connection.transaction(),
    ):
        return _settle(connection, cell, what, read, rule)
