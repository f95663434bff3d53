"""Small merchants with a row in every relation, for the lives of tenants."""

from pathlib import Path
from uuid import UUID, uuid4

from orchestration.cells.regions import Cell
from orchestration.tenancy.registry import Model, Tenant, find
from tests.integration.tenancy.life.conftest import LifeCells

MERCHANT = Path(__file__).with_name("merchant.sql")


def open_merchant(
    life: LifeCells, cell: Cell, *, mark: str = "quiet", region: str | None = None, model: Model = "shared"
) -> Tenant:
    """Make a merchant with two shoppers, orders, events of two months and history; ``mark`` is personal."""
    tenant = uuid4()
    if model != "shared":
        from orchestration.tenancy.creating import TenantSpec, create_tenant

        with life.connect(cell, "loader") as loader:
            loader.execute(
                "insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0) on conflict do nothing"
            )
        spec = TenantSpec(f"Shop {mark}", f"s{tenant.hex[:20]}", id=tenant, model=model)
        create_tenant(cell, spec, life.settings)
    for database, statements in _texts(tenant, model):
        with life.connect(cell, "superuser", database) as connection, connection.transaction():
            for name, value in (
                ("life.tenant", str(tenant)),
                ("life.token", mark),
                ("life.region", region or cell),
                ("app.fence_pass", "test"),
            ):
                connection.execute("select set_config(%s, %s, true)", (name, value))
            connection.execute(statements.encode())
    return find(str(tenant), cell, life.settings)


def _texts(tenant: UUID, model: Model) -> list[tuple[str | None, str]]:
    text = MERCHANT.read_text()
    own, shared = text.split("-- shared --")
    if model == "schema":
        for domain in ("saas", "ecommerce"):
            own = own.replace(f" {domain}.", f" t_{tenant.hex}_{domain}.")
        own = own.replace(f"t_{tenant.hex}_saas.tenants", "saas.tenants").replace(
            f"t_{tenant.hex}_saas.plans", "saas.plans"
        )
    return [(f"tenant_{tenant.hex}" if model == "database" else None, own), (None, shared)]
