"""What a plain ``dbt`` or ``psql`` needs in its environment to reach one cell, and only that one.

Each cell's variables carry the cell's name and there is no default cell: with the variables of ``na`` a dbt run
against ``eu`` stops for want of a host.
"""

from urllib.parse import parse_qs

from orchestration.cells import endpoints
from orchestration.cells.endpoints import CONTROL_ROLES, ROLES, EndpointError, PostgresEndpoint
from orchestration.cells.regions import Cell
from orchestration.settings import PROJECT_ROOT, Settings, get_settings

DBT_PROJECT_DIR = PROJECT_ROOT / "dbt_project"


def _sslmode(where: PostgresEndpoint) -> str | None:
    modes = parse_qs(where.query).get("sslmode")
    return modes[-1] if modes else None


def dbt_environment(cell: Cell, settings: Settings | None = None) -> dict[str, str]:
    """Return what dbt needs to build ``cell`` as ``transformer``; it holds the password, so never log it.

    Raises:
        EndpointError: the cell's address or the password is not known; says how to come by it.
    """
    settings = settings or get_settings()
    where = endpoints.postgres(cell, settings)
    scratch = settings.home / "dbt" / cell
    prefix = f"CAPSTONE_{cell.upper()}_"
    variables = {
        "CAPSTONE_CELL": cell,
        f"{prefix}HOST": where.host,
        f"{prefix}PORT": str(where.port),
        f"{prefix}DATABASE": where.database,
        f"{prefix}TRANSFORMER_PASSWORD": endpoints.password("transformer", settings),
        "DBT_PROFILES_DIR": str(DBT_PROJECT_DIR),
        "DBT_PROJECT_DIR": str(DBT_PROJECT_DIR),
        "DBT_TARGET_PATH": str(scratch / "target"),
        "DBT_LOG_PATH": str(scratch / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        # They build nothing; and where the gate is closed dbt 1.11 fails on them before it has said so.
        "DBT_EXCLUDE_RESOURCE_TYPES": "exposure",
    }
    sslmode = _sslmode(where)
    return variables | ({f"{prefix}SSLMODE": sslmode} if sslmode else {})


def shell_environment(cell: Cell, role: str = "transformer", settings: Settings | None = None) -> dict[str, str]:
    """Return what a shell needs for a plain ``dbt``, and for a plain ``psql`` as ``role``.

    Raises:
        EndpointError: no role of a cell, or the cell's address or a password is not known.
    """
    settings = settings or get_settings()
    known = [name for name in ROLES if name not in CONTROL_ROLES]
    if role not in known:
        raise EndpointError(f"unknown role {role!r}: a cell has {', '.join(known)}")
    where = endpoints.postgres(cell, settings)
    superuser = role == "superuser"
    variables = {
        "PGHOST": where.host,
        "PGPORT": str(where.port),
        "PGDATABASE": where.database,
        "PGUSER": where.superuser if superuser else role,
        "PGPASSWORD": where.superuser_password if superuser else endpoints.password(role, settings),
    }
    sslmode = _sslmode(where)
    return dbt_environment(cell, settings) | variables | ({"PGSSLMODE": sslmode} if sslmode else {})
