"""What became of a transaction: committed, rolled back, or not known, told apart by when it went wrong.

    NotSentError         the connection, before anything of the caller's was sent; always repeated
    ConnectionLostError  the connection, before COMMIT was sent: the server has rolled back; repeated if declared so
    ContentionError      a serialization failure (40001) or a deadlock (40P01): rolled back; repeated if declared so
    UnknownOutcomeError  the connection, after COMMIT was sent and before its answer came; or COMMIT succeeded and the
                         wait for the synchronous standby was cancelled; or 40003, statement completion unknown, as
                         CockroachDB says; never repeated
    psycopg.Error        any other error of the server, as it is: rolled back, never repeated

A transaction that only reads has no outcome: it is repeated. `outcome_of` finds out later what an unknown one was.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.cells.routing import CellUnavailableError, RoutedConnection
from orchestration.settings import Settings

R = TypeVar("R")
Connection = psycopg.Connection[Any]
Work = Callable[[Connection], R]
Transaction = AbstractContextManager[RoutedConnection]

Outcome = Literal["committed", "rolled back", "in progress", "unknown"]

STATEMENT_COMPLETION_UNKNOWN = "40003"
# A server that ends the session, or is not there any more.
_LOST = ("08", "57P")

# For which a transaction that still runs is waited for.
IN_PROGRESS_SECONDS = 10.0
_POLL_SECONDS = 0.05

_MARK = (Path(__file__).parent / "sql" / "transaction_mark.sql").read_bytes()
_SERVER = (Path(__file__).parent / "sql" / "server_since.sql").read_bytes()


@dataclass(frozen=True)
class TransactionMark:
    """What a transaction is found again by.

    Attributes:
        cell: where it ran.
        xid: its number on that server.
        server: the server and its timeline.
        at: when it was marked, by the server's clock.
    """

    cell: Cell
    xid: str
    server: str
    at: datetime


class NotSentError(CellUnavailableError):
    """The connection was lost before anything of the caller's was sent."""


class ConnectionLostError(CellUnavailableError):
    """The connection was lost before COMMIT was sent: the transaction is rolled back."""


class ContentionError(RuntimeError):
    """The transaction met others and was rolled back: it may be repeated as a whole."""

    status: ClassVar[int] = 409


class TransactionEndedError(RuntimeError):
    """The caller's work ended its transaction itself, or went on after an error; what is open is rolled back."""


class UnknownOutcomeError(RuntimeError):
    """Whether the transaction was committed is not known; it must neither be repeated nor be called a failure.

    Attributes:
        status: what a web server answers, as an HTTP status code.
        mark: what `outcome_of` finds it by; None when the transaction was lost before it had a number.
    """

    status: ClassVar[int] = 502

    def __init__(self, cell: Cell, why: str, mark: TransactionMark | None) -> None:
        which = f"transaction {mark.xid} " if mark else "a transaction "
        super().__init__(
            f"whether {which}in cell {cell!r} was committed is not known ({why}): "
            "ask for its outcome before anything is repeated"
        )
        self.cell: Cell = cell
        self.why = why
        self.mark = mark


def is_lost(error: psycopg.Error) -> bool:
    """Return whether an error means that the connection is gone, not that the server has refused something."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_LOST)


def mark(connection: Connection, cell: Cell) -> TransactionMark:
    """Give the transaction its number and return what it is found by."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(_MARK).fetchone()
    if row is None:
        raise psycopg.DataError("the server gave the transaction no number")
    return TransactionMark(cell, *row)


def _require_no_error(connection: Connection) -> None:
    """Fail when the work swallowed an error: COMMIT would roll back and say nothing."""
    if connection.pgconn.transaction_status == TransactionStatus.INERROR:
        raise TransactionEndedError(
            "the work went on after a statement had failed: the transaction is rolled back; "
            "use connection.transaction() around what may fail"
        )


def _require_open(connection: Connection) -> None:
    """Fail unless COMMIT would commit."""
    _require_no_error(connection)
    if connection.pgconn.transaction_status == TransactionStatus.IDLE:
        raise TransactionEndedError("the work ended its transaction itself: leave COMMIT and ROLLBACK to the database")


def read_in(cell: Cell, transaction: Transaction, enter: Callable[[Connection], None], work: Work[R]) -> R:
    """Run a transaction that only reads; losing it loses nothing.

    Args:
        cell: where.
        transaction: begins it and ends it.
        enter: what has to hold before the work is called.
        work: what is read.

    Raises:
        NotSentError, ConnectionLostError, ContentionError: it can be repeated.
        TransactionEndedError: the work ended it.
    """
    sent = read = False
    try:
        with transaction as connection:
            enter(connection)
            sent = True
            result = work(connection)
            _require_no_error(connection)
            read = True
    except psycopg.Error as error:
        raise _failure(cell, error, sent=sent) from error
    if not read:
        raise TransactionEndedError("the work ended its transaction itself, with Rollback")
    return result


def write_in(
    cell: Cell,
    transaction: Transaction,
    enter: Callable[[Connection], None],
    work: Work[R],
    *,
    before_commit: Callable[[], None] = lambda: None,
) -> R:
    """Run a transaction that writes, and tell what is known of its end; see :func:`read_in`.

    Args:
        cell: where.
        transaction: begins it, and commits when its block ends.
        enter: what has to hold before the work is called.
        work: what is written.
        before_commit: what has to hold afterwards.

    Raises:
        UnknownOutcomeError: it may have been committed.
    """
    sent = committing = False
    marked: TransactionMark | None = None
    standby: list[str] = []
    try:
        with transaction as connection:
            enter(connection)
            marked, standby = mark(connection, cell), connection.standby.renew()
            sent = True
            result = work(connection)
            _require_open(connection)
            before_commit()
            committing = True
    except psycopg.Error as error:
        if error.sqlstate == STATEMENT_COMPLETION_UNKNOWN:
            raise UnknownOutcomeError(cell, "the server does not know", marked) from error
        if committing and is_lost(error):
            raise UnknownOutcomeError(cell, "the connection was lost during COMMIT", marked) from error
        raise _failure(cell, error, sent=sent) from error
    if not committing:
        raise TransactionEndedError("the work ended its transaction itself, with Rollback: it is rolled back")
    if standby:
        raise UnknownOutcomeError(cell, "it is not on the synchronous standby", marked)
    return result


def _failure(cell: Cell, error: psycopg.Error, *, sent: bool) -> Exception:
    """Return what to raise for an error before COMMIT: the transaction is rolled back."""
    if isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
        return ContentionError(
            f"a transaction in cell {cell!r} met others ({type(error).__name__}) and was rolled back: repeat it"
        )
    if not is_lost(error):
        return error
    # The server's text may quote a row; its kind may not.
    why = f"{type(error).__name__}, {error.sqlstate or 'no connection'}"
    if not sent:
        return NotSentError(f"the connection to cell {cell!r} was lost before anything was sent ({why})")
    return ConnectionLostError(
        f"the connection to cell {cell!r} was lost ({why}): the transaction is rolled back, nothing was stored"
    )


def outcome_of(
    error: UnknownOutcomeError,
    settings: Settings,
    *,
    evidence: Callable[[Connection], bool] | None = None,
    patience: float = IN_PROGRESS_SECONDS,
) -> Outcome:
    """Find out what became of a transaction whose outcome is not known; asks its cell as role auditor.

    The server knows by the transaction's number (`pg_xact_status`), as long as it has not crashed since: a number that
    reached no file before a crash is given again, to somebody else's transaction. Then, and after a fail-over, only
    `evidence` can tell: whether what the transaction wrote is there.

    After a cancelled wait for the standby, committed means: on this server. It can still be lost with it.

    Args:
        error: what was raised.
        settings: which platform.
        evidence: looks for what was written, in a transaction that may not write; an id that the caller gave is best.
        patience: seconds for which a transaction that still runs is waited for.

    Raises:
        CellUnavailableError: the cell does not answer: ask again later.
    """
    if error.mark is None:
        return "unknown"
    deadline = time.monotonic() + patience
    with routing.connect(
        error.cell, "auditor", autocommit=True, application_name="capstone outcome", settings=settings
    ) as connection:
        while True:
            status = _status(connection, error.mark)
            if status != "in progress" or time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        if status == "unknown" and evidence is not None:
            connection.read_only = True
            with connection.transaction():
                return "committed" if evidence(connection) else "rolled back"
        return status


def _status(connection: Connection, marked: TransactionMark) -> Outcome:
    with connection.cursor(row_factory=tuple_row) as cursor:
        server, since = cursor.execute(_SERVER).fetchone() or ("", None)
        if server != marked.server or since is None:
            return "unknown"
        try:
            row = cursor.execute("select pg_xact_status(%s::xid8)", [marked.xid]).fetchone()
        except psycopg.errors.InvalidParameterValue:
            # "In the future": the number was lost in a crash, with what it stood for.
            return "rolled back"
    status = row[0] if row is not None else None
    if status == "aborted":
        return "rolled back"
    if since > marked.at:
        return "unknown"
    if status == "committed":
        return "committed"
    return "in progress" if status == "in progress" else "unknown"
