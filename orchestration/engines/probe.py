"""What a server says of itself, wherever it runs."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import Cell, Cluster
from orchestration.engines.errors import EngineError
from orchestration.settings import Settings


@dataclass(frozen=True)
class PostgresFacts:
    """What a reachable PostgreSQL server says of itself.

    Attributes:
        version: of PostgreSQL, "15.18".
        timescaledb_version: of the extension in the cell's database, None where it is not created.
        edition: "apache" or "timescale" (Community), None where the extension is not created.
    """

    version: str
    timescaledb_version: str | None
    edition: str | None


def ask_postgres(cluster: Cluster, settings: Settings) -> PostgresFacts:
    """Return what the server of ``cluster`` says of itself.

    Raises:
        routing.CellUnavailableError: it does not answer.
    """
    database = "dagster" if cluster == "control" else None
    with routing.connect(cluster, "superuser", database=database, autocommit=True, settings=settings) as connection:
        row = connection.execute(
            "select (select extversion from pg_extension where extname = 'timescaledb'),"
            " current_setting('timescaledb.license', true)"
        ).fetchone()
        version = connection.info.parameter_status("server_version") or "unknown"
    extension, licence = row if row is not None else (None, None)
    return PostgresFacts(version.split()[0], extension, licence or None)


def ask_redis(cell: Cell, settings: Settings) -> str:
    """Return the version of the Redis of ``cell``.

    Raises:
        EngineError: it does not answer, or refuses the password; never quotes the URL.
    """
    seconds = settings.connect_timeout_seconds
    external = getattr(settings, f"redis_url_{cell}") is not None
    way_out = f"check CAPSTONE_REDIS_URL_{cell.upper()}" if external else "start it with `capstone up`"
    try:
        with redis.Redis.from_url(
            endpoints.redis_url(cell, settings),
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            return str(client.info("server")["redis_version"])
    except redis.AuthenticationError:
        raise EngineError(f"Redis of {cell} refuses the password: {way_out}") from None
    except (redis.RedisError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise EngineError(f"Redis of {cell} cannot be used ({reason}): {way_out}") from None
    except ValueError:
        raise EngineError(
            f"CAPSTONE_REDIS_URL_{cell.upper()} is not a Redis URL: redis://:password@host:port/0"
        ) from None


def redis_port(cell: Cell, settings: Settings) -> int | None:
    """Return the TCP port in the Redis URL of ``cell``, None when it names none that can be read."""
    try:
        return urlsplit(endpoints.redis_url(cell, settings)).port or 6379
    except ValueError:
        return None
