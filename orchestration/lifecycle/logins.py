"""Connection URLs for people: which logins there are, and why one has none."""

from typing import cast

from orchestration.cells import endpoints
from orchestration.cells.endpoints import ROLES, Role
from orchestration.cells.regions import CLUSTERS, Cluster
from orchestration.settings import Settings

CONTROL: Cluster = "control"
# Reads everything of a cell and writes only what dbt builds: the login for looking around.
DEFAULT_ROLE: Role = "transformer"
_CONTROL_ROLES: tuple[Role, ...] = ("dagster", "superuser")


class LoginError(ValueError):
    """There is no such login; the message names those that exist."""


def login_dsn(cluster: str, role: str | None, settings: Settings) -> str:
    """Return the connection URL of ``role`` in ``cluster``; it holds the password.

    Raises:
        LoginError: unknown cluster or role, or a role that cannot log in.
        EndpointError: this home has no platform yet.
    """
    if cluster not in CLUSTERS:
        raise LoginError(f"unknown cell {cluster!r}: one of {', '.join(CLUSTERS)} is needed")
    known = _CONTROL_ROLES if cluster == CONTROL else tuple(name for name in ROLES if name != "dagster")
    chosen = role or ("dagster" if cluster == CONTROL else DEFAULT_ROLE)
    if chosen == "owner":
        raise LoginError("role 'owner' owns the objects and cannot log in: use migrator and `set role owner`")
    if chosen not in known:
        raise LoginError(f"{cluster!r} has no login {chosen!r}: one of {', '.join(known)} is needed")
    return endpoints.dsn(cast(Cluster, cluster), cast(Role, chosen), settings=settings)
