"""Planner statistics after a bulk load.

Autovacuum gathers them a minute later at best. What reads the rows before (the next asset of the same run) is planned
for empty tables: a join of 70,000 orders to their customers took minutes instead of half a second. Only a table's
owner may gather them, which the loader is not; ``migrator`` acts for the owner.
"""

from collections.abc import Sequence
from datetime import date

from psycopg import sql

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.loading.copy_loader import identifier, statement
from orchestration.loading.window import day_bounds
from orchestration.settings import Settings


def analyze_tables(cell: Cell, tables: Sequence[str], settings: Settings) -> None:
    """Gather the statistics of ``tables``, given as ``schema.table``."""
    with routing.connect(
        cell, "migrator", autocommit=True, application_name="capstone analyze", settings=settings
    ) as connection:
        for table in tables:
            connection.execute(sql.SQL("analyze {}").format(identifier(table)))


def analyze_event_days(cell: Cell, days: Sequence[date], settings: Settings) -> None:
    """Gather the statistics of the chunks of ``analytics.events`` from the first of ``days`` to the last.

    Not of the hypertable: that reads a sample of every chunk there is, a year of them.
    """
    start, end = day_bounds(min(days))[0], day_bounds(max(days))[1]
    with routing.connect(
        cell, "migrator", autocommit=True, application_name="capstone analyze", settings=settings
    ) as connection:
        chunks = connection.execute(statement("event_chunks"), {"start": start, "end": end}).fetchall()
        for schema, name in chunks:
            connection.execute(sql.SQL("analyze {}").format(sql.Identifier(schema, name)))
