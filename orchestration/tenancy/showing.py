"""What is known of one tenant: where it lives, whether it is open, what its plan allows, what is being done to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from orchestration.cells import routing
from orchestration.cells.journal import Journaled
from orchestration.settings import Settings, get_settings
from orchestration.tenancy.placement import operational_relations, placement_of
from orchestration.tenancy.registry import Tenant
from orchestration.tenancy.steps import open_operation_of

_FENCE = "select reads, writes, reason, since from saas.tenant_fences where tenant_id = %s"


@dataclass(frozen=True)
class Fence:
    """How a tenant is closed, why and since when."""

    reads: bool
    writes: bool
    reason: str
    since: datetime


@dataclass(frozen=True)
class TenantDetails:
    """One tenant in full.

    Attributes:
        tenant: the tenant.
        database: where its operational rows live.
        schemas: in these schemas of it.
        created_at: when it signed up.
        fence: how it is closed; None while it is open.
        limits: what its plan allows; None for no limit.
        rows: its rows in each operational relation, counted; empty while its place is being made.
        operation: what was begun with it and has not ended.
    """

    tenant: Tenant
    database: str
    schemas: tuple[str, ...]
    created_at: datetime
    fence: Fence | None
    limits: Mapping[str, Any]
    rows: Mapping[str, int]
    operation: Journaled | None

    def as_json(self) -> dict[str, Any]:
        """Return what a script needs."""
        operation = self.operation
        return {
            **tenant_json(self.tenant),
            "database": self.database,
            "schemas": list(self.schemas),
            "created_at": self.created_at.isoformat(),
            "closed": None
            if self.fence is None
            else {
                "reads": self.fence.reads,
                "writes": self.fence.writes,
                "reason": self.fence.reason,
                "since": self.fence.since.isoformat(),
            },
            "limits": dict(self.limits),
            "rows": dict(self.rows),
            "operation": None
            if operation is None
            else {
                "operation_id": str(operation.operation_id),
                "verb": operation.verb,
                "step": operation.step,
                "state": operation.state,
            },
        }


def tenant_json(tenant: Tenant) -> dict[str, str]:
    """Return a tenant as a script needs it."""
    return {
        "id": str(tenant.id),
        "cell": tenant.cell,
        "name": tenant.name,
        "subdomain": tenant.subdomain,
        "plan": tenant.plan,
        "status": tenant.status,
        "model": tenant.model,
    }


def show(tenant: Tenant, settings: Settings | None = None) -> TenantDetails:
    """Return all that is known of ``tenant``.

    Raises:
        CellUnavailableError: its cell, or its own database, does not answer.
    """
    settings = settings or get_settings()
    place = placement_of(tenant)
    with routing.connect(tenant.cell, "auditor", autocommit=True, settings=settings) as connection:
        fence = connection.execute(_FENCE, (tenant.id,)).fetchone()
        row = connection.execute(
            "select t.created_at, to_jsonb(p) - '{plan,name,monthly_price,default_model}'::text[], "
            "current_database()::text from saas.tenants as t inner join saas.plans as p on t.plan = p.plan "
            "where t.id = %s",
            (tenant.id,),
        ).fetchone()
    created_at, limits, database = row if row is not None else (datetime.now().astimezone(), {}, "")
    rows: dict[str, int] = {}
    if tenant.status != "provisioning":
        with place.connect("auditor", settings, autocommit=True) as connection:
            for relation in operational_relations():
                count = connection.execute(
                    sql.SQL("select count(*) from {} where tenant_id = {}").format(
                        place.relation(relation.name), tenant.id
                    )
                ).fetchone()
                rows[relation.name] = count[0] if count is not None else 0
    return TenantDetails(
        tenant=tenant,
        database=place.database or database,
        schemas=tuple(place.schemas.values()),
        created_at=created_at,
        fence=Fence(*fence) if fence is not None else None,
        limits=limits,
        rows=rows,
        operation=open_operation_of(tenant.cell, tenant.id, settings),
    )
