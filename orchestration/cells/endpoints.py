"""Where each server of this platform listens: the local engines' own record, or a DSN from the settings.

The local engines write ``engines.json`` (ports; no secret) and ``secrets.json`` (passwords; mode 0600) into the
state directory once, at first start. Everything else only reads them, through this file.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import quote, unquote, urlsplit

from orchestration.cells.regions import Cell, Cluster
from orchestration.settings import Settings, get_settings

Role = Literal[
    "superuser",
    "migrator",
    "loader",
    "transformer",
    "app",
    "auditor",
    "replicator",
    "gateway",
    "publisher",
    "reader",
    "dagster",
]
ROLES: tuple[Role, ...] = get_args(Role)

LOCAL_SUPERUSER = "postgres"
CELL_DATABASE = "capstone"
GLOBAL_DATABASE = "global"
CONTROL_DATABASES = ("dagster", GLOBAL_DATABASE)
# Logins that only the control cluster has.
CONTROL_ROLES: tuple[Role, ...] = ("dagster", "reader")

# Offsets into the platform's block of ports.
PORT_OFFSETS: dict[str, int] = {
    "postgres_control": 0,
    "postgres_na": 1,
    "postgres_eu": 2,
    "postgres_apac": 3,
    "redis_na": 4,
    "redis_eu": 5,
    "redis_apac": 6,
    "webserver": 7,
    "code_server": 8,
    "docs": 9,
}
PORT_BLOCK = 10


class EndpointError(RuntimeError):
    """A server's address or password is not known; the message says how to come by it."""


@dataclass(frozen=True)
class PostgresEndpoint:
    """Address of one PostgreSQL cluster and the login that administers it."""

    host: str
    port: int
    superuser: str
    superuser_password: str
    database: str
    query: str
    external: bool


def engines_file(settings: Settings) -> Path:
    """Return the local engines' record of their ports."""
    return settings.home / "engines.json"


def secrets_file(settings: Settings) -> Path:
    """Return the file, mode 0600, that holds the generated passwords."""
    return settings.home / "secrets.json"


def _read(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise EndpointError(f"{path} does not exist: this home has no platform yet, run `capstone up`") from None
    except json.JSONDecodeError as error:
        raise EndpointError(
            f"{path} is damaged ({error}): restore it from a backup, or `capstone down --destroy`"
        ) from None
    if not isinstance(content, dict):
        raise EndpointError(f"{path} is damaged: restore it from a backup, or `capstone down --destroy`")
    return content


def port(name: str, settings: Settings | None = None) -> int:
    """Return the TCP port of a local server, by its name in ``PORT_OFFSETS``."""
    settings = settings or get_settings()
    base = _read(engines_file(settings)).get("port_base")
    if not isinstance(base, int):
        raise EndpointError(f"{engines_file(settings)} names no port_base: run `capstone up`")
    return base + PORT_OFFSETS[name]


def password(name: str, settings: Settings | None = None) -> str:
    """Return the password kept under ``name``: a role, or ``redis_<cell>``."""
    settings = settings or get_settings()
    value = _read(secrets_file(settings)).get(name)
    if not isinstance(value, str):
        raise EndpointError(f"{secrets_file(settings)} holds no password for {name!r}: run `capstone up`")
    return value


def default_database(cluster: Cluster) -> str:
    """Return the database that is meant when none is named: Dagster's storage, or the cell's data."""
    return CONTROL_DATABASES[0] if cluster == "control" else CELL_DATABASE


def postgres(cluster: Cluster, settings: Settings | None = None) -> PostgresEndpoint:
    """Return where ``cluster`` listens, from ``CAPSTONE_DSN_<CLUSTER>`` or the local engines' record."""
    settings = settings or get_settings()
    configured = getattr(settings, f"dsn_{cluster}")
    if configured is not None:
        url = urlsplit(configured.get_secret_value())
        if not url.hostname or not url.username:
            raise EndpointError(f"CAPSTONE_DSN_{cluster.upper()} names no host or no user")
        return PostgresEndpoint(
            host=url.hostname,
            port=url.port or 5432,
            superuser=unquote(url.username),
            superuser_password=unquote(url.password or ""),
            database=unquote(url.path.lstrip("/")) or default_database(cluster),
            query=url.query,
            external=True,
        )
    return PostgresEndpoint(
        host="127.0.0.1",
        port=port(f"postgres_{cluster}", settings),
        superuser=LOCAL_SUPERUSER,
        superuser_password=password("superuser", settings),
        database=default_database(cluster),
        query="",
        external=False,
    )


def dsn(cluster: Cluster, role: Role, *, database: str | None = None, settings: Settings | None = None) -> str:
    """Return the connection URL of ``role`` in ``cluster``; it holds the password, so never log it."""
    settings = settings or get_settings()
    where = postgres(cluster, settings)
    user, secret = (
        (where.superuser, where.superuser_password) if role == "superuser" else (role, password(role, settings))
    )
    query = f"?{where.query}" if where.query else ""
    name = quote(database or where.database, safe="")
    return f"postgresql://{quote(user, safe='')}:{quote(secret, safe='')}@{where.host}:{where.port}/{name}{query}"


def redis_url(cell: Cell, settings: Settings | None = None) -> str:
    """Return the Redis URL of ``cell``; it holds the password, so never log it."""
    settings = settings or get_settings()
    configured = getattr(settings, f"redis_url_{cell}")
    if configured is not None:
        return str(configured.get_secret_value())
    secret = quote(password(f"redis_{cell}", settings), safe="")
    return f"redis://:{secret}@127.0.0.1:{port(f'redis_{cell}', settings)}/0"
