"""The databases of a cluster and who may connect to them at all, before any migration has run."""

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from orchestration.cells.credentials import set_password
from orchestration.cells.endpoints import CONTROL_DATABASES
from orchestration.cells.regions import Cluster
from orchestration.engines.errors import EngineError
from orchestration.engines.postgres_configuration import DAGSTER_CONNECTIONS

DAGSTER = "dagster"

Connection = psycopg.Connection[TupleRow]


def ensure_databases(connection: Connection, cluster: Cluster, *, cell_database: str, dagster_password: str) -> None:
    """Create what is missing; a second call changes nothing.

    The control cluster gets the databases ``dagster``, which its login of the same name owns, and ``global``; a cell
    gets its one database. PostgreSQL lets everybody connect to a new database: here nobody may until he is granted to.

    Args:
        connection: the administrator's, in autocommit mode (a database cannot be created in a transaction).
        cluster: which one it is.
        cell_database: name of the cell's database; unused for control.
        dagster_password: of the login ``dagster``; unused for cells.

    Raises:
        EngineError: the administrator lacks a privilege.
    """
    try:
        if cluster == "control":
            _ensure_dagster_login(connection, dagster_password)
        for database in CONTROL_DATABASES if cluster == "control" else (cell_database,):
            _ensure_database(connection, database)
    except psycopg.errors.InsufficientPrivilege as error:
        raise EngineError(
            f"the administrator of {cluster!r} ({connection.info.user}) may not do what is needed: "
            f"{error.diag.message_primary}; give it CREATEDB and CREATEROLE, or create what is missing"
        ) from None


def close_to_public(connection: Connection, databases: tuple[str, ...] | None = None) -> None:
    """Take CONNECT on ``databases``, or on all of the cluster's, away from PUBLIC where it has it."""
    open_to_all = connection.execute(
        "select datname from pg_database where has_database_privilege('public', oid, 'connect') order by datname"
    )
    for (database,) in open_to_all.fetchall():
        if databases is None or database in databases:
            connection.execute(sql.SQL("revoke connect on database {} from public").format(sql.Identifier(database)))


def _ensure_database(connection: Connection, name: str) -> None:
    if connection.execute("select from pg_database where datname = %s", [name]).rowcount:
        return
    owner = sql.SQL("owner {}").format(sql.Identifier(DAGSTER)) if name == DAGSTER else sql.SQL("")
    # template0: TimescaleDB's launcher may be connected to template1, which then cannot be copied.
    connection.execute(sql.SQL("create database {} {} template template0").format(sql.Identifier(name), owner))


def _ensure_dagster_login(connection: Connection, password: str) -> None:
    if not connection.execute("select from pg_roles where rolname = %s", [DAGSTER]).rowcount:
        # Without a password nobody can log in as it: a start that ends here is continued by the next.
        connection.execute(
            sql.SQL("create role {} login connection limit {}").format(
                sql.Identifier(DAGSTER), sql.Literal(DAGSTER_CONNECTIONS)
            )
        )
        if connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone() != (True,):
            # An administrator who is not a superuser can create a database only for a role that he is a member of.
            connection.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(DAGSTER)))
    set_password(connection, DAGSTER, password)
