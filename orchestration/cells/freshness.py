"""Writes until when a cell's copies of global relations are complete, having compared them with home.

Nothing carries changes from cell to cell yet: each cell's global rows come from its own migrations and loads
(`loading/plans.py`), and are the same as home's because the project's are. That is not known, though, until it is
looked at; so after a load the copy's rows are compared with those that home has at one instant, and if they are equal
the copy is complete until that instant. A copy that differs, or a home that does not answer, leaves nothing known.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from orchestration.cells import routing
from orchestration.cells.regions import CELLS, GLOBAL_HOME, Cell
from orchestration.cells.relations import load_relations
from orchestration.settings import Settings, get_settings

# Longest wait for somebody who writes to the copy; then it is known no more than before.
LOCK_TIMEOUT = "5s"

_DIGEST = (Path(__file__).parent / "sql" / "relation_digest.sql").read_text()
_RECORD = """
    insert into platform.replica_freshness (relation, home, complete_until) values (%s, %s, %s)
    on conflict (relation) do update
    set home = excluded.home, complete_until = excluded.complete_until, recorded_at = clock_timestamp()
"""


@dataclass(frozen=True)
class Copy:
    """One cell's copy of a global relation.

    Attributes:
        relation: its name.
        complete_until: until when it has all of home's changes, by home's clock; None when that is not known.
        reason: why not; empty when it is known.
    """

    relation: str
    complete_until: datetime | None
    reason: str = ""


def copied_relations() -> tuple[str, ...]:
    """Return the tables that every cell has a copy of; what dbt builds from them is no copy of home's."""
    return tuple(r.name for r in load_relations() if r.kind == "global" and r.relkind == "table" and not r.built_by_dbt)


def _digest(connection: psycopg.Connection[Any], relation: str) -> tuple[datetime, int, str]:
    query = sql.SQL(_DIGEST).format(relation=sql.Identifier(*relation.split(".")))
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query).fetchone()
    if row is None:
        raise psycopg.DataError(f"{relation} gave no digest")
    return row[0], row[1], row[2]


def compare_copies(cell: Cell, settings: Settings | None = None) -> tuple[Copy, ...]:
    """Compare each copy in ``cell`` with home and record until when it is complete; home itself has no copies.

    Raises:
        CellUnavailableError: the cell does not answer. A home that does not only leaves nothing known.
        psycopg.Error: of the cell.
    """
    settings = settings or get_settings()
    if cell == GLOBAL_HOME:
        return ()
    try:
        with routing.connect(
            GLOBAL_HOME, "auditor", application_name="capstone freshness", settings=settings
        ) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            at_home = {relation: _digest(connection, relation) for relation in copied_relations()}
    except (routing.CellUnavailableError, psycopg.Error) as error:
        reason = f"home {GLOBAL_HOME!r} could not be asked ({type(error).__name__})"
        return tuple(Copy(relation, None, reason) for relation in copied_relations())
    with routing.connect(cell, "loader", application_name="capstone freshness", settings=settings) as connection:
        return tuple(_compared(connection, relation, home) for relation, home in at_home.items())


def note_copies(cell: Cell, settings: Settings | None = None) -> tuple[Copy, ...]:
    """After a load in ``cell``: compare its copies, or, when it is home, everybody's; what cannot be is not known.

    A load does not fail for it: a copy of which nothing is known is not read.
    """
    found: list[Copy] = []
    for each in CELLS if cell == GLOBAL_HOME else (cell,):
        with suppress(routing.CellUnavailableError, psycopg.Error):
            found.extend(compare_copies(each, settings))
    return tuple(found)


def _compared(connection: psycopg.Connection[Any], relation: str, home: tuple[datetime, int, str]) -> Copy:
    name = sql.Identifier(*relation.split("."))
    with connection.transaction():
        connection.execute("select set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        # Whoever changes the copy takes its record away when done, so nobody may be in the middle of it.
        connection.execute(sql.SQL("lock table {} in share mode").format(name))
        _, rows, digest = _digest(connection, relation)
        if (rows, digest) != home[1:]:
            connection.execute("delete from platform.replica_freshness where relation = %s", [relation])
            return Copy(relation, None, f"{rows} rows here and {home[1]} at home {GLOBAL_HOME!r} are not the same")
        connection.execute(_RECORD, [relation, GLOBAL_HOME, home[0]])
    return Copy(relation, home[0])
