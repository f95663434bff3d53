"""What was applied to a database, and whether the files still say the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow, class_row

from orchestration.migrations.files import Edition, Migration

_LEDGER_SQL = Path(__file__).with_name("ledger.sql")

_READ = """
    select domain, version, name, checksum, applied_at, duration_ms
    from platform.schema_migrations where domain = %s order by version
"""
_WRITE = """
    insert into platform.schema_migrations (domain, version, name, checksum, duration_ms)
    values (%s, %s, %s, %s, %s)
"""


class LedgerError(RuntimeError):
    """Ledger and files disagree; the message names the file."""


@dataclass(frozen=True)
class Applied:
    """One line of platform.schema_migrations. ``applied_at`` is aware, ``duration_ms`` in milliseconds."""

    domain: str
    version: int
    name: str
    checksum: str
    applied_at: datetime
    duration_ms: int


def create(connection: psycopg.Connection[TupleRow]) -> None:
    """Make the ledger where there is none. Quiet, and without a lock, where there is one."""
    if exists(connection):
        return
    # IF NOT EXISTS speaks up about a schema that another program made; that is no news to anyone.
    connection.execute("set local client_min_messages = warning")
    connection.execute(_LEDGER_SQL.read_bytes())


def exists(connection: psycopg.Connection[TupleRow]) -> bool:
    """Return whether this database has a ledger."""
    row = connection.execute("select to_regclass('platform.schema_migrations') is not null").fetchone()
    return row is not None and bool(row[0])


def read(connection: psycopg.Connection[TupleRow], domain: str) -> list[Applied]:
    """Return what was applied of ``domain``, in order; nothing where there is no ledger."""
    if not exists(connection):
        return []
    with connection.cursor(row_factory=class_row(Applied)) as cursor:
        return cursor.execute(_READ, (domain,)).fetchall()


def write(connection: psycopg.Connection[TupleRow], migration: Migration, duration_ms: int) -> None:
    """Record ``migration`` as applied."""
    connection.execute(_WRITE, (migration.domain, migration.version, migration.name, migration.checksum, duration_ms))


def remaining(migrations: Sequence[Migration], applied: Sequence[Applied], edition: Edition | None) -> list[Migration]:
    """Return those of ``migrations`` (one domain, all editions) that are still to be applied on ``edition``;
    None where the domain has no variants.

    Raises:
        LedgerError: an applied file was edited, renamed or removed, a number was skipped, or the server's edition
            is no longer that of the applied variants.
    """
    by_name = {migration.name: migration for migration in migrations}
    for entry in applied:
        migration = by_name.get(entry.name)
        where = f"{entry.domain}/{entry.name}"
        if migration is None or migration.version != entry.version:
            raise LedgerError(
                f"sql/{where} was applied on {entry.applied_at:%Y-%m-%d} and is missing: restore it; "
                "what it did can only be changed by a further migration"
            )
        if migration.checksum != entry.checksum:
            raise LedgerError(
                f"sql/{where} was edited after it was applied on {entry.applied_at:%Y-%m-%d}: "
                "restore its content and write a further migration instead"
            )
        if migration.edition not in (None, edition):
            raise LedgerError(
                f"sql/{where} was applied, but this server is now the {edition} edition of TimescaleDB: "
                f"set timescaledb.license back, or fill a new database"
            )
    done = {entry.version for entry in applied}
    newest = max(done, default=0)
    left = [m for m in migrations if m.version not in done and m.edition in (None, edition)]
    for migration in left:
        if migration.version < newest:
            raise LedgerError(
                f"sql/{migration} was never applied, but number {newest:03} was: the ledger has a gap at "
                f"{migration.version:03}"
            )
    return left
