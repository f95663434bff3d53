"""The SQL statements of this package, each in a file of its own below ``sql/``."""

from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

# As that of the loads, without what those bring: whoever only looks at the stream does not load Arrow.
Connection: TypeAlias = psycopg.Connection[Any]

_SQL = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> sql.SQL:
    """Return the statement kept in ``orchestration/realtime/sql/<name>.sql``."""
    return sql.SQL((_SQL / f"{name}.sql").read_text())
