"""What processors hold while they work on a batch, so that whoever compares both sides finds none half done.

Between a processor's commit in PostgreSQL and its settlement in Redis the hypertable has events that the counters do
not. A processor shares this lock from before its transaction until after the settlement; who rebuilds or compares
takes it alone for a moment. It is a session's lock and ends with the session, however that ends: what a killed
processor left is still pending in the queue and is told by that.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.rows import TupleRow

# "stream"; advisory locks are the database's own, and so this is the cell's.
LOCK_KEY = 0x73747265616D

# A batch takes a second at most; who waits longer than this is told so.
WAIT_SECONDS = 30


class ProcessorsBusyError(RuntimeError):
    """The processors did not come to rest in time."""


@contextmanager
def processing(connection: psycopg.Connection[TupleRow]) -> Iterator[None]:
    """Hold off rebuilds and comparisons while the block runs: for one batch, its settlement included.

    Args:
        connection: the processor's, outside of a transaction; the block may have its own ones.
    """
    with _held(connection, "pg_advisory_lock_shared", "pg_advisory_unlock_shared"):
        yield


@contextmanager
def processors_held_off(connection: psycopg.Connection[TupleRow]) -> Iterator[None]:
    """Let no processor be within a batch while the block runs; it should be short. Queues in order of asking.

    Args:
        connection: in autocommit mode or outside of a transaction.

    Raises:
        ProcessorsBusyError: a batch has not ended in ``WAIT_SECONDS``.
    """
    try:
        with connection.transaction():
            connection.execute("select set_config('lock_timeout', %s, true)", (f"{WAIT_SECONDS}s",))
            connection.execute("select pg_advisory_lock(%s)", (LOCK_KEY,))
    except psycopg.errors.LockNotAvailable:
        raise ProcessorsBusyError(
            f"a stream processor has been working on one batch for {WAIT_SECONDS} s: see its log in "
            "$CAPSTONE_HOME/logs, then repeat the command"
        ) from None
    try:
        yield
    finally:
        _release(connection, "pg_advisory_unlock")


@contextmanager
def _held(connection: psycopg.Connection[TupleRow], take: str, release: str) -> Iterator[None]:
    with connection.transaction():
        connection.execute(f"select {take}(%s)".encode(), (LOCK_KEY,))
    try:
        yield
    finally:
        _release(connection, release)


def _release(connection: psycopg.Connection[TupleRow], function: str) -> None:
    # A connection that is broken holds nothing any more.
    with suppress(psycopg.OperationalError), connection.transaction():
        connection.execute(f"select {function}(%s)".encode(), (LOCK_KEY,))
