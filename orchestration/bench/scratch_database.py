"""A scratch database beside a cell's own, with the same schemas, gone when the benchmark ends however it ends.

A scratch table in the cell itself would change the cell's catalog, and with it close the gate of its data path.
"""

import signal
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from pydantic import SecretStr

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.cells.regions import Cell
from orchestration.settings import Settings

# One name, so that what a killed benchmark left is found, and dropped, by the next.
SCRATCH_DATABASE = "capstone_bench"
_LOCK_KEY = 0x62656E6368  # "bench"


class ScratchDatabaseError(RuntimeError):
    """The scratch database cannot be made; the message says why and the way out."""


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C until the block is done, where that is possible: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _drop(connection: psycopg.Connection[TupleRow], name: str) -> None:
    connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


@contextmanager
def scratch_database(cell: Cell, settings: Settings, name: str = SCRATCH_DATABASE) -> Iterator[Settings]:
    """Yield settings in which ``cell`` is a new, empty, migrated database on the cell's server.

    A benchmark that needs two at once names each.

    Raises:
        ScratchDatabaseError: another benchmark runs on this server, or the administrator may not make databases.
        CellUnavailableError: the cell cannot be reached.
    """
    with routing.connect(
        cell, "superuser", autocommit=True, application_name="capstone bench", settings=settings
    ) as connection:
        row = connection.execute("select pg_try_advisory_lock(%s)", [_LOCK_KEY + zlib.crc32(name.encode())]).fetchone()
        if row is None or not row[0]:
            raise ScratchDatabaseError(f"another benchmark runs on cell {cell!r}: wait for it, or end it")
        try:
            _drop(connection, name)
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
            dsn = endpoints.dsn(cell, "superuser", database=name, settings=settings)
            scratch = settings.model_copy(update={f"dsn_{cell}": SecretStr(dsn)})
            migrations.apply_all(cell, settings=scratch)
            yield scratch
        except psycopg.errors.InsufficientPrivilege:
            raise ScratchDatabaseError(
                f"the administrator of cell {cell!r} may not create databases: grant CREATEDB for the benchmark"
            ) from None
        finally:
            with _uninterrupted():
                _drop(connection, name)
