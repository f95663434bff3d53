"""What a plain ``dbt`` or ``psql`` needs in its environment to reach one cell, and only that one.

Each cell's variables carry the cell's name and there is no default cell: with the variables of ``na`` a dbt run
against ``eu`` stops for want of a host.
"""

from urllib.parse import parse_qs

from orchestration.cells import endpoints
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import Cell
from orchestration.settings import PROJECT_ROOT, Settings, get_settings

DBT_PROJECT_DIR = PROJECT_ROOT / "dbt_project"


def dbt_environment(cell: Cell, role: Role = "transformer", *, settings: Settings | None = None) -> dict[str, str]:
    """Return the variables for ``cell``; they hold passwords, so never log them.

    dbt always runs as ``transformer``; ``role`` is whom ``psql`` (``PGUSER``, ``PGPASSWORD``) connects as.

    Raises:
        EndpointError: the cell's address or a password is not known; says how to come by it.
    """
    settings = settings or get_settings()
    where = endpoints.postgres(cell, settings)
    scratch = settings.home / "dbt" / cell
    prefix = f"CAPSTONE_{cell.upper()}_"
    user, secret = (
        (where.superuser, where.superuser_password)
        if role == "superuser"
        else (role, endpoints.password(role, settings))
    )
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
        "PGHOST": where.host,
        "PGPORT": str(where.port),
        "PGDATABASE": where.database,
        "PGUSER": user,
        "PGPASSWORD": secret,
    }
    sslmode = parse_qs(where.query).get("sslmode")
    if sslmode:
        variables |= {f"{prefix}SSLMODE": sslmode[-1], "PGSSLMODE": sslmode[-1]}
    return variables
