"""What is worth another try: a server that cannot be reached. A bad row, file or setting is as bad the second time."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import psycopg

from orchestration.cells.routing import CellUnavailableError

# A restarted server is back within seconds; jitter, because the steps of three cells fail together.
NETWORK_RETRY = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

# SQLSTATE classes and codes: connection exceptions, the server shutting down or starting, too many connections,
# serialization failures and deadlocks.
_TRANSIENT = ("08", "57P01", "57P02", "57P03", "53300", "40001", "40P01")


def is_transient(error: BaseException) -> bool:
    """Return whether the same step may succeed a few seconds later."""
    if isinstance(error, CellUnavailableError):
        return True
    if not isinstance(error, psycopg.OperationalError):
        return False
    # Without a code the connection itself broke.
    return error.sqlstate is None or error.sqlstate.startswith(_TRANSIENT)


@contextmanager
def only_network_retried() -> Iterator[None]:
    """Let Dagster retry what is transient, and fail the step at once on anything else.

    A database error is reduced to its primary message: its detail may quote a row, and the event log is a copy of data
    that no one would look for there.

    Raises:
        dagster.Failure: not to be retried; carries the error's type and message.
    """
    try:
        yield
    except psycopg.Error as error:
        message = error.diag.message_primary or str(error).strip().partition("\n")[0]
        transient = is_transient(error)
        raise dg.Failure(f"{type(error).__name__}: {message}", allow_retries=transient) from None
    except dg.Failure:
        raise
    except Exception as error:
        if is_transient(error):
            raise
        raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error
