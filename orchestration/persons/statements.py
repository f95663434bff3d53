"""Where this package's SQL is."""

from functools import cache
from pathlib import Path

_SQL = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> str:
    """Return the statement kept in ``orchestration/persons/sql/<name>.sql``."""
    return (_SQL / f"{name}.sql").read_text()
