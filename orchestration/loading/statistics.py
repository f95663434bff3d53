"""Planner statistics after a bulk load.

Autovacuum gathers them a minute later at best. What reads the rows before (the next asset of the same run) is planned
for empty tables: a join of 70,000 orders to their customers took minutes instead of half a second. Only a table's
owner may gather them, which the loader is not; ``migrator`` acts for the owner.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import date

import psycopg
from psycopg import sql

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.loading.copy_loader import Connection, identifier, statement
from orchestration.loading.window import day_bounds
from orchestration.settings import Settings

# Below this many rows a page a table is nine tenths empty: rows of the loaded tables are far below 400 bytes.
_HOLLOW_ROWS_PER_PAGE = 2
_HOLLOW_LEAST_PAGES = 100
# A compaction excludes everybody: rather none than one that makes requests wait.
_COMPACTION_LOCK_TIMEOUT = "2s"


def _compact_if_hollow(connection: Connection, table: str) -> None:
    """Rewrite a table of which a smaller load left next to nothing.

    Few rows on many pages mislead the planner about every row that comes later: the next full load checked each
    order's key by walking all orders of the tenant, for minutes, because that index had the fewest pages.
    """
    row = connection.execute("select reltuples, relpages from pg_class where oid = to_regclass(%s)", [table]).fetchone()
    if row is None or row[1] < _HOLLOW_LEAST_PAGES or row[0] >= _HOLLOW_ROWS_PER_PAGE * row[1]:
        return
    connection.execute("select set_config('lock_timeout', %s, false)", [_COMPACTION_LOCK_TIMEOUT])
    # In use: the next load of this table tries again.
    with suppress(psycopg.errors.LockNotAvailable):
        connection.execute(sql.SQL("vacuum (full, analyze) {}").format(identifier(table)))
    connection.execute("reset lock_timeout")


def analyze_tables(cell: Cell, tables: Sequence[str], settings: Settings) -> None:
    """Gather the statistics of ``tables``, given as ``schema.table``."""
    with routing.connect(
        cell, "migrator", autocommit=True, application_name="capstone analyze", settings=settings
    ) as connection:
        for table in tables:
            connection.execute(sql.SQL("analyze {}").format(identifier(table)))
            _compact_if_hollow(connection, table)


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
