"""Connection URLs for people: which logins there are, and why one has none."""

from typing import cast

from orchestration.cells import endpoints
from orchestration.cells.endpoints import CONTROL_ROLES, GLOBAL_DATABASE, ROLES, Role
from orchestration.cells.regions import CLUSTERS, Cluster
from orchestration.settings import Settings

CONTROL: Cluster = "control"
# Reads everything of a cell and writes only what dbt builds: the login for looking around.
DEFAULT_ROLE: Role = "transformer"
_CONTROL_LOGINS: tuple[Role, ...] = ("dagster", "publisher", "reader", "superuser")
# Logins of the control cluster that live in database ``global``.
_GLOBAL_LOGINS: tuple[Role, ...] = ("publisher", "reader")


class LoginError(ValueError):
    """There is no such login; the message names those that exist."""


def parse_role(cluster: Cluster, role: str) -> Role:
    """Return ``role`` as a login of ``cluster``.

    Raises:
        LoginError: there is no such login.
    """
    known = _CONTROL_LOGINS if cluster == CONTROL else tuple(name for name in ROLES if name not in CONTROL_ROLES)
    if role == "owner":
        raise LoginError("role 'owner' owns the objects and cannot log in: use migrator, and `set role owner` there")
    if role not in known:
        raise LoginError(f"{cluster!r} has no login {role!r}: one of {', '.join(known)} is needed")
    return cast(Role, role)


def login_dsn(cluster: str, role: str | None, settings: Settings) -> str:
    """Return the connection URL of ``role`` in ``cluster``; it holds the password.

    Raises:
        LoginError: unknown cluster or role, or a role that cannot log in.
        EndpointError: this home has no platform yet.
    """
    if cluster not in CLUSTERS:
        raise LoginError(f"unknown cell {cluster!r}: one of {', '.join(CLUSTERS)} is needed")
    where = cast(Cluster, cluster)
    chosen = parse_role(where, role or ("dagster" if where == CONTROL else DEFAULT_ROLE))
    database = GLOBAL_DATABASE if where == CONTROL and chosen in _GLOBAL_LOGINS else None
    return endpoints.dsn(where, chosen, database=database, settings=settings)
