"""Routing to a cell: the one place where a connection to a region's database is opened."""

import psycopg
from psycopg.rows import TupleRow

from orchestration.cells import endpoints
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import Cluster
from orchestration.settings import Settings, get_settings


class CellUnavailableError(RuntimeError):
    """A cell's database cannot be reached; the message names the cell and the way out, never the password."""


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
        where = endpoints.postgres(cluster, settings)
        way_out = f"check CAPSTONE_DSN_{cluster.upper()}" if where.external else "start it with `capstone up`"
        reason = _reason(error)
        raise CellUnavailableError(
            f"{cluster!r} at {where.host}:{where.port} cannot be used as {login}: {reason}; {way_out}"
        ) from None
