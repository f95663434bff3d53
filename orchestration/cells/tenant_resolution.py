"""Which tenant a request is for: from its host name or from a header, with an error that a web server can answer.

Role ``app`` cannot look tenants up: a session of a tenant that could would know who else is here. The front door has a
login of its own, ``gateway``, which may call two functions and read no table: one answers for one id or subdomain,
never with a list; the other adds usage. Answers are kept for some seconds. That is safe, because they only choose
whose context is entered: a tenant that was closed meanwhile is refused by the database on entering it.

Finding a tenant is not knowing who asks. Whoever calls this has authenticated the request, and has compared the tenant
that it is for with those that its user belongs to.
"""

import asyncio
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, tuple_row
from psycopg_pool import ConnectionPool

from orchestration.cells import endpoints
from orchestration.cells.regions import Cell
from orchestration.cells.tenant_context import (
    MalformedTenantError,
    SuspendedTenantError,
    TenantContextError,
    UnknownTenantError,
)
from orchestration.settings import Settings, get_settings

# A tenant's id or subdomain.
TENANT_HEADER = "x-tenant"

# Long enough that a busy tenant is looked up hardly ever, short enough that one that was just made is found.
KEEP_SECONDS = 10.0
# Seconds that a request waits for one of the two connections, also when the cell is down.
WAIT_SECONDS = 5.0
# Names that nobody has must not fill the memory.
KEEP_MOST = 20_000

_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_RESOLVE = "select r.* from platform.resolve_tenant(%s, %s) as r"


@dataclass(frozen=True)
class RequestTenant:
    """The tenant of a request.

    Attributes:
        id: to enter its context with.
        model: where its rows are: shared, schema or database.
        max_connections: most transactions at once that its plan allows; None for no limit.
        statement_timeout_ms: its plan's longest statement; None for no limit.
    """

    id: UUID
    subdomain: str
    plan: str
    model: str
    max_connections: int | None
    statement_timeout_ms: int | None


def named_tenant(host: str | None, headers: Mapping[str, str], domain: str | None) -> UUID | str:
    """Return the id or subdomain that a request names.

    Args:
        host: of the request, with or without a port; None where there is none.
        headers: of the request, in any case; ``X-Tenant`` names a tenant.
        domain: below which tenants have their subdomains, ``shops.example``; None when hosts name no tenant.

    Raises:
        MalformedTenantError: nothing names a tenant, or what does cannot be one, or two things name different ones.
    """
    given = [value for name, value in headers.items() if name.lower() == TENANT_HEADER]
    if len(given) > 1:
        raise MalformedTenantError("the request has the header X-Tenant more than once")
    by_header = _by_header(given[0]) if given else None
    by_host = _by_host(host, domain) if host is not None and domain is not None else None
    if by_header is not None and by_host is not None and by_header != by_host:
        raise MalformedTenantError("host and header X-Tenant name different tenants: leave one out")
    named = by_host if by_host is not None else by_header
    if named is None:
        raise MalformedTenantError("the request names no tenant: use its host name or the header X-Tenant")
    return named


def _by_header(value: str) -> UUID | str:
    value = value.strip()
    if _UUID.fullmatch(value):
        return UUID(value)
    if _SUBDOMAIN.fullmatch(value):
        return value
    raise MalformedTenantError("the header X-Tenant is neither a tenant's id (a UUID) nor a subdomain")


def _by_host(host: str, domain: str) -> str | None:
    name = re.sub(r":[0-9]{1,5}$", "", host.strip()).rstrip(".").lower()
    if name == domain.lower():
        return None
    label, _, rest = name.partition(".")
    if rest != domain.lower():
        raise MalformedTenantError(f"the host is not a tenant's: one label below {domain} is needed")
    if not _SUBDOMAIN.fullmatch(label):
        raise MalformedTenantError("the host's first label is no subdomain: lower-case letters, digits and hyphens")
    return label


class TenantResolver:
    """Finds tenants as role ``gateway``, with answers kept for some seconds; for threads, and for tasks.

    Args:
        conninfo: DSN of role ``gateway``.
        domain: see :func:`named_tenant`.
        keep: seconds for which an answer, also that there is none, is kept.
        wait: seconds for which a connection is waited for.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        domain: str | None = None,
        keep: float = KEEP_SECONDS,
        wait: float = WAIT_SECONDS,
        prepared: bool = True,
    ) -> None:
        self._domain = domain
        self._keep = keep
        self._lock = threading.Lock()
        self._kept: dict[UUID | str, tuple[float, TupleRow | None]] = {}
        self._pool = ConnectionPool(
            conninfo,
            kwargs={
                "autocommit": True,
                "application_name": "capstone gateway",
                "prepare_threshold": 5 if prepared else None,
            },
            min_size=0,
            max_size=2,
            timeout=wait,
            reconnect_timeout=wait,
            open=True,
        )

    @classmethod
    def of_cell(cls, cell: Cell, settings: Settings | None = None, **options: Any) -> "TenantResolver":
        """Return the resolver of ``cell``; ``options`` are the constructor's."""
        return cls(endpoints.dsn(cell, "gateway", settings=settings or get_settings()), **options)

    def __enter__(self) -> "TenantResolver":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._pool.close()

    def of_request(self, host: str | None = None, headers: Mapping[str, str] | None = None) -> RequestTenant:
        """Return the tenant that a request is for.

        Raises:
            MalformedTenantError (400), SuspendedTenantError (403), UnknownTenantError (404).
            TenantContextError (500): the cell cannot be asked.
        """
        return self.resolve(named_tenant(host, headers or {}, self._domain))

    async def of_request_async(
        self, host: str | None = None, headers: Mapping[str, str] | None = None
    ) -> RequestTenant:
        """Do as :meth:`of_request`; what is not kept is asked in a thread."""
        return await asyncio.to_thread(self.of_request, host, headers)

    def resolve(self, named: UUID | str) -> RequestTenant:
        """Return the tenant of this id or subdomain; see :meth:`of_request`."""
        row = self._row(named)
        if row is None:
            raise UnknownTenantError(f"there is no tenant {str(named)!r} in this cell")
        tenant_id, subdomain, plan, model, closed_because, connections, timeout = row
        if closed_because is not None:
            raise SuspendedTenantError(f"tenant {str(named)!r} is closed: {closed_because}")
        return RequestTenant(tenant_id, subdomain, plan, model, connections, timeout)

    def _row(self, named: UUID | str) -> TupleRow | None:
        now = time.monotonic()
        with self._lock:
            until, row = self._kept.get(named, (0.0, None))
        if until > now:
            return row
        row = self._asked(named)
        with self._lock:
            if len(self._kept) >= KEEP_MOST:
                self._kept.clear()
            self._kept[named] = (now + self._keep, row)
        return row

    def _asked(self, named: UUID | str) -> TupleRow | None:
        parameters: list[UUID | str | None] = [named, None] if isinstance(named, UUID) else [None, named]
        try:
            with self._pool.connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
                return cursor.execute(_RESOLVE, parameters).fetchone()
        except psycopg.OperationalError as error:
            raise TenantContextError(f"tenants cannot be looked up now: {type(error).__name__}") from None
