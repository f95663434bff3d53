"""Routing to a cell: the one place where a connection to a region's database is opened.

Which cell that is, `region_choice.py` says; requests that are sent to it go through `postgres_cells.py`.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from orchestration.cells import endpoints
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import Cluster
from orchestration.settings import Settings, get_settings

# Seconds between two looks at whether a server that was asked should be given up; psycopg's own.
_LOOK_SECONDS = 0.1


class CellUnavailableError(RuntimeError):
    """A cell's database cannot be reached; the message names the cell and the way out, never the password.

    Attributes:
        status: what a web server answers, as an HTTP status code.
    """

    status: ClassVar[int] = 503


class StandbyNotices:
    """What the server says when a COMMIT succeeded and its wait for the synchronous standby was cancelled.

    Attributes:
        seen: the notices' SQLSTATEs since the last `renew`.
    """

    # The server's own function, whatever the language of its messages.
    SOURCE = "SyncRepWaitForLSN"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def note(self, diagnostic: Diagnostic) -> None:
        """Keep a notice, if it is one of those."""
        if diagnostic.source_function == self.SOURCE:
            self.seen.append(str(diagnostic.sqlstate))

    def renew(self) -> list[str]:
        """Begin anew; the list that is returned stays this transaction's when the next one begins."""
        self.seen = []
        return self.seen


class RoutedConnection(psycopg.Connection[TupleRow]):
    """A pooled connection that does not wait for ever for a server that has stopped answering.

    The server ends a statement that takes too long. A server that hangs ends nothing, so the client gives up too,
    later.

    Attributes:
        patience: seconds for which one answer is waited for; None for no limit.
        standby: whether a commit is missing on the standby.
    """

    patience: float | None = None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.standby = StandbyNotices()
        self.add_notice_handler(self.standby.note)

    def wait(self, gen: PQGen[Any], interval: float = _LOOK_SECONDS, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:
            # What would still come is the answer to a question that nobody asks any more.
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the server gave no answer for {self.patience:g} s") from None


def _reason(error: psycopg.OperationalError) -> str:
    """Return the server's own reason: its FATAL line, which a DETAIL or a hint may follow."""
    lines = str(error).strip().splitlines() or ["no reason was given"]
    return next((line for line in lines if "FATAL:" in line), lines[-1]).strip()


def connect(
    cluster: Cluster,
    role: Role,
    *,
    database: str | None = None,
    autocommit: bool = False,
    application_name: str = "capstone",
    settings: Settings | None = None,
) -> psycopg.Connection[TupleRow]:
    """Open a connection to ``cluster`` as ``role``.

    Raises:
        CellUnavailableError: the server does not answer or refuses the login.
    """
    settings = settings or get_settings()
    dsn = endpoints.dsn(cluster, role, database=database, settings=settings)
    return connect_as(cluster, role, dsn, autocommit=autocommit, application_name=application_name, settings=settings)


def connect_as(
    cluster: Cluster,
    login: str,
    dsn: str,
    *,
    autocommit: bool = False,
    application_name: str = "capstone",
    settings: Settings | None = None,
) -> psycopg.Connection[TupleRow]:
    """Open a connection to ``cluster`` by a URL that is that of ``login``; the URL holds a password and is never told.

    Raises:
        CellUnavailableError: the server does not answer or refuses the login.
    """
    settings = settings or get_settings()
    try:
        return psycopg.connect(
            dsn,
            autocommit=autocommit,
            connect_timeout=settings.connect_timeout_seconds,
            application_name=application_name,
        )
    except psycopg.OperationalError as error:
        raise _unavailable(cluster, login, _reason(error), settings) from None


def _unavailable(cluster: Cluster, login: str, reason: str, settings: Settings) -> CellUnavailableError:
    where = endpoints.postgres(cluster, settings)
    way_out = f"check CAPSTONE_DSN_{cluster.upper()}" if where.external else "start it with `capstone up`"
    return CellUnavailableError(
        f"{cluster!r} at {where.host}:{where.port} cannot be used as {login}: {reason}; {way_out}"
    )


def session_options(statement: float, *, read_only: bool) -> str:
    """Return the settings that a pooled session begins with, as libpq's ``options``."""
    timeout = f"-c statement_timeout={round(statement * 1000)}"
    return f"{timeout} -c default_transaction_read_only=on" if read_only else timeout


class RoutedPool:
    """Connections to one cluster as one role, opened when they are needed.

    Args:
        cluster: where to.
        role: as whom.
        size: most connections at once.
        wait: seconds for which a connection is waited for; also how long an attempt to connect is repeated.
        statement: seconds after which the server ends a statement.
        read_only: whether its transactions may not write. As the session's default, which costs nothing: BEGIN READ
        ONLY
            takes the server 16 microseconds longer.
        configure: called with each new connection, outside a transaction; what it raises makes the connection unusable.
        settings: which platform.
    """

    def __init__(
        self,
        cluster: Cluster,
        role: Role,
        *,
        size: int,
        wait: float,
        statement: float,
        read_only: bool,
        configure: Callable[[RoutedConnection], None],
        application_name: str,
        settings: Settings,
    ) -> None:
        self._cluster: Cluster = cluster
        self._role: Role = role
        self._settings = settings
        self._failure = f"no connection within {wait:g} s"

        class Recorded(RoutedConnection):
            """Keeps why a connection could not be opened; the pool itself only logs it."""

            patience = statement + settings.connect_timeout_seconds

            @classmethod
            def connect(cls, conninfo: str = "", **kwargs: Any) -> "Recorded":
                try:
                    return super().connect(conninfo, **kwargs)
                except psycopg.OperationalError as error:
                    self._failure = _reason(error)
                    raise

        def configured(connection: RoutedConnection) -> None:
            try:
                configure(connection)
            except Exception as error:
                self._failure = str(error)
                raise

        self._pool: ConnectionPool[RoutedConnection] = ConnectionPool(
            endpoints.dsn(cluster, role, settings=settings),
            connection_class=Recorded,
            kwargs={
                "application_name": application_name,
                "connect_timeout": settings.connect_timeout_seconds,
                "options": session_options(statement, read_only=read_only),
            },
            configure=configured,
            min_size=0,
            max_size=size,
            timeout=wait,
            reconnect_timeout=wait,
            open=True,
        )

    def take(self) -> RoutedConnection:
        """Borrow a connection.

        Raises:
            CellUnavailableError: none could be opened in time; says why the last attempt failed.
        """
        try:
            return self._pool.getconn()
        except psycopg.OperationalError:
            raise _unavailable(self._cluster, self._role, self._failure, self._settings) from None

    def give_back(self, connection: RoutedConnection) -> None:
        """Return a connection; what is open on it is rolled back, and one that is broken is thrown away."""
        self._pool.putconn(connection)

    def discard_broken(self) -> None:
        """Look at every idle connection and throw away those whose server is gone."""
        self._pool.check()

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()
