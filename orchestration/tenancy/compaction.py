"""Removes what deletion leaves: with older transactions, in dead rows, statistics, the logs of PostgreSQL and Redis."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import redis
from psycopg import sql

from orchestration.cells import routing
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import Cell
from orchestration.settings import Settings
from orchestration.tenancy.holdings import statement

# A table up to this size is rewritten, so that not even its pages hold what was deleted; a larger one would be closed
# to everybody for minutes. Its freed space is overwritten by the rows that come.
REWRITTEN_BYTES = 1024**3
# Rewriting excludes everybody from the table: rather later than that requests pile up behind it.
_REWRITE_LOCK_TIMEOUT = "10s"

# A model over years of events takes minutes; whoever forgot a session takes longer, and is named.
OLDER_SECONDS = 600.0
_OLDER_POLL_SECONDS = 0.5
_MOST_PASSES = 20

_REDIS_SECONDS = 60.0
_POLL_SECONDS = 0.1

_APPLICATION = "capstone erase"


class CompactionError(RuntimeError):
    """What was deleted may be left somewhere; the message says what to do, and repeating goes on from there."""


@dataclass(frozen=True)
class Rewritten:
    """How many tables were written anew, and how many were too large or in use and only vacuumed."""

    rewritten: int = 0
    vacuumed: int = 0

    def __add__(self, other: "Rewritten") -> "Rewritten":
        return Rewritten(self.rewritten + other.rewritten, self.vacuumed + other.vacuumed)

    def __str__(self) -> str:
        large = f"; {self.vacuumed} are larger than {REWRITTEN_BYTES // 1024**2} MiB, or in use, and were vacuumed"
        return f"{self.rewritten} tables rewritten{large if self.vacuumed else ''}"


def await_older_transactions(
    cell: Cell, settings: Settings, *, database: str | None = None, seconds: float | None = None
) -> None:
    """Wait until every transaction that began before this call has ended.

    Whoever began before rows were deleted may have read them and write what it made of them; and while its snapshot
    sees them, no vacuum takes them out of the file.

    Args:
        cell: whose server.
        settings: which platform.
        database: a tenant's own; None for the cell's.
        seconds: how long at most; None for ``OLDER_SECONDS``.

    Raises:
        CompactionError: one goes on for longer, or the sessions of others cannot be seen.
    """
    limit = OLDER_SECONDS if seconds is None else seconds
    where = f"database {database!r} of cell {cell!r}" if database else f"cell {cell!r}"
    with routing.connect(
        cell, "superuser", database=database, autocommit=True, application_name=_APPLICATION, settings=settings
    ) as connection:
        row = connection.execute("select clock_timestamp()").fetchone()
        before = row[0] if row is not None else None
        deadline = time.monotonic() + limit
        while True:
            row = connection.execute(statement("older_transactions"), {"before": before}).fetchone()
            older, oldest, sees_all = row if row is not None else (None, None, False)
            if not sees_all:
                raise CompactionError(
                    f"the administrator of {where} does not see who reads there: grant pg_read_all_stats to it"
                )
            if not older:
                return
            if time.monotonic() > deadline:
                raise CompactionError(
                    f"a transaction of process {oldest} in {where} goes on since before the rows were deleted, for "
                    f"more than {limit:.0f} s, and may still write them: end it, then repeat the command"
                )
            time.sleep(_OLDER_POLL_SECONDS)


def delete_until_settled(delete: Callable[[], int], wait: Callable[[], None]) -> int:
    """Delete until nobody is left who could write again what was deleted; return how many rows went.

    A run of dbt builds models from models: what was written from rows that are gone may be read for the next model. So
    it is over when nothing was found after everybody ended who began before the last deletion.

    Args:
        delete: deletes, commits, and returns how many rows there were; what is read for them is gone already.
        wait: waits for whoever began before.

    Raises:
        CompactionError: there is no end to it, or whatever ``wait`` raises.
    """
    gone = 0
    for _ in range(_MOST_PASSES):
        wait()
        found = delete()
        if not found:
            return gone
        gone += found
    raise CompactionError(f"rows that were deleted were written again {_MOST_PASSES} times: something writes them anew")


def rewrite_tables(
    cell: Cell, role: Role, tables: Iterable[tuple[str, str]], settings: Settings, *, database: str | None = None
) -> Rewritten:
    """Write tables anew without their dead rows; those that are too large, or in use, are vacuumed.

    Args:
        cell: whose server.
        role: may vacuum them: acts for their owner.
        tables: schema and name of each; one that does not exist is passed over.
        settings: which platform.
        database: a tenant's own; None for the cell's.
    """
    rewritten = vacuumed = 0
    with routing.connect(
        cell, role, database=database, autocommit=True, application_name=_APPLICATION, settings=settings
    ) as connection:
        connection.execute("select set_config('lock_timeout', %s, false)", (_REWRITE_LOCK_TIMEOUT,))
        for schema, table in dict.fromkeys(tables):
            name = sql.Identifier(schema, table)
            row = connection.execute(
                "select pg_total_relation_size(to_regclass(%s))", (name.as_string(None),)
            ).fetchone()
            if row is None or row[0] is None:
                continue
            if row[0] <= REWRITTEN_BYTES:
                with suppress(psycopg.errors.LockNotAvailable):
                    connection.execute(sql.SQL("vacuum (full, analyze) {}").format(name))
                    rewritten += 1
                    continue
            connection.execute(sql.SQL("vacuum (analyze) {}").format(name))
            vacuumed += 1
    return Rewritten(rewritten, vacuumed)


def recycle_write_ahead_log(cell: Cell, settings: Settings) -> str:
    """Have every file of the write-ahead log overwritten: recycled ones keep their old bytes until they are used."""
    with routing.connect(
        cell, "superuser", autocommit=True, application_name=_APPLICATION, settings=settings
    ) as connection:
        superuser = connection.execute(
            "select rolsuper from pg_catalog.pg_roles where rolname = current_user"
        ).fetchone()
        if superuser is None or not superuser[0]:
            return "the write-ahead log is the provider's to recycle"
        # Statistics hold the commonest values of columns, their old rows included.
        connection.execute("vacuum (full) pg_catalog.pg_statistic")
        _switch(connection)
        connection.execute("checkpoint")
        row = connection.execute("select count(*) from pg_catalog.pg_ls_waldir()").fetchone()
        files = int(row[0]) if row is not None else 0
        for _ in range(files + 1):
            _switch(connection)
        connection.execute("checkpoint")
    return f"{files} files of the write-ahead log overwritten"


def _switch(connection: psycopg.Connection[Any]) -> None:
    # A file in which nothing was written is not left.
    connection.execute("select pg_catalog.pg_logical_emit_message(false, 'capstone', 'erase')")
    connection.execute("select pg_catalog.pg_switch_wal()")


def rewrite_redis_files(client: Any) -> None:
    """Have the append-only file written anew from what there is now, and wait until it is.

    Raises:
        CompactionError: it takes longer than a minute.
        redis.RedisError: no answer.
    """
    deadline = time.monotonic() + _REDIS_SECONDS
    asked = False
    while True:
        state = client.info("persistence")
        if not state.get("aof_rewrite_in_progress") and not state.get("aof_rewrite_scheduled"):
            if asked:
                return
            # Refused while one is being written, which may be from before: that one is waited for first.
            with suppress(redis.ResponseError):
                client.bgrewriteaof()
                asked = True
        if time.monotonic() > deadline:
            raise CompactionError(f"Redis has been rewriting its file for {_REDIS_SECONDS:.0f} s: repeat the command")
        time.sleep(_POLL_SECONDS)
