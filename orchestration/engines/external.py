"""PostgreSQL servers that somebody else runs and a DSN names: prepared for the platform, never started or stopped."""

import psycopg

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import Cluster
from orchestration.engines.databases import Connection, close_to_public, ensure_databases
from orchestration.engines.errors import EngineError, MissingEngineError
from orchestration.settings import Settings

# A database that every PostgreSQL server has, managed ones too: from here the platform's own can be created.
MAINTENANCE_DATABASE = "postgres"


def prepare(cluster: Cluster, settings: Settings) -> None:
    """See to it that an external cluster answers and has the platform's databases.

    Raises:
        EngineError: it does not answer, or its administrator may not create what is missing.
        MissingEngineError: a cell's server does not offer TimescaleDB.
    """
    try:
        where = endpoints.postgres(cluster, settings)
        connection = _administrator(cluster, where.database, settings)
    except (endpoints.EndpointError, routing.CellUnavailableError) as error:
        raise EngineError(str(error)) from None
    except (psycopg.ProgrammingError, ValueError):
        raise EngineError(
            f"CAPSTONE_DSN_{cluster.upper()} is not a usable URL: postgresql://user:password@host:port/database"
        ) from None
    with connection:
        if cluster != "control" and not _offers_timescaledb(connection):
            raise MissingEngineError(
                f"the server of CAPSTONE_DSN_{cluster.upper()} ({where.host}:{where.port}) does not offer TimescaleDB: "
                "install it there, or name another server"
            )
        ensure_databases(
            connection,
            cluster,
            cell_database=where.database,
            dagster_password=endpoints.password("dagster", settings),
        )
        # Other databases of that server are nobody's business here.
        own = endpoints.CONTROL_DATABASES if cluster == "control" else (where.database,)
        close_to_public(connection, own)


def _offers_timescaledb(connection: Connection) -> bool:
    offered = connection.execute("select from pg_available_extensions where name = 'timescaledb'")
    return bool(offered.rowcount)


def _administrator(cluster: Cluster, database: str, settings: Settings) -> Connection:
    try:
        return routing.connect(cluster, "superuser", database=MAINTENANCE_DATABASE, autocommit=True, settings=settings)
    except routing.CellUnavailableError:
        # Some services close that database to their customers; the platform's own is there already then.
        return routing.connect(cluster, "superuser", database=database, autocommit=True, settings=settings)
