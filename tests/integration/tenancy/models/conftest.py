"""Cells of their own, a database each in the session's servers, with the plans of the service."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import CELLS, Cell
from orchestration.engines.local import LocalEngines
from orchestration.loading.plans import load_plans
from orchestration.settings import Settings, get_settings
from orchestration.tenancy.creating import TenantSpec, create_tenant
from orchestration.tenancy.placement import placement_of
from orchestration.tenancy.provisioning import deprovision
from orchestration.tenancy.registry import Model, Tenant, tenants

DATABASE = "models"
OWN = CELLS


@dataclass
class Models:
    """The cells and how tests look into them."""

    settings: Settings
    made: int = 0

    def connect(self, role: Role = "superuser", cell: Cell = "na") -> psycopg.Connection[Any]:
        return routing.connect(cell, role, autocommit=True, settings=self.settings)

    def rows(self, query: str, parameters: Sequence[object] = (), cell: Cell = "na") -> list[tuple[Any, ...]]:
        with self.connect(cell=cell) as connection:
            return list(connection.execute(query.encode(), parameters))

    def value(self, query: str, parameters: Sequence[object] = (), cell: Cell = "na") -> Any:
        return self.rows(query, parameters, cell)[0][0]

    def execute(self, query: str, parameters: Sequence[object] | None = None, cell: Cell = "na") -> None:
        with self.connect(cell=cell) as connection:
            connection.execute(query.encode(), parameters)

    def tenant(self, model: Model = "shared", plan: str = "pro", cell: Cell = "na") -> Tenant:
        """Make a tenant of this model, with a subdomain of its own."""
        self.made += 1
        spec = TenantSpec(f"Shop {self.made}", f"shop-{self.made}", plan, model)
        return create_tenant(cell, spec, self.settings).tenant

    def as_tenant(self, tenant: Tenant, context: UUID | None = None) -> psycopg.Connection[Any]:
        """Open a transaction as the tenant's requests do; ``context``: in another's name."""
        connection = placement_of(tenant).connect("app", self.settings)
        connection.execute("select set_config('app.current_tenant', %s, true)", (str(context or tenant.id),))
        return connection


@pytest.fixture(scope="module")
def models(engines: LocalEngines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    assert engines
    local = get_settings()
    own: dict[str, object] = {}
    for cell in OWN:
        with routing.connect(cell, "superuser", autocommit=True, settings=local) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(DATABASE)))
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(DATABASE)))
        own[f"dsn_{cell}"] = SecretStr(endpoints.dsn(cell, "superuser", database=DATABASE, settings=local))
    home = tmp_path_factory.mktemp("home")
    for name in ("secrets.json", "engines.json"):
        (home / name).write_bytes((local.home / name).read_bytes())
    found = Models(local.model_copy(update={**own, "home": Path(home)}))
    for cell in OWN:
        migrations.apply_all(cell, settings=found.settings)
        with found.connect("loader", cell) as connection, connection.transaction():
            load_plans(connection)
    yield found
    for cell in OWN:
        for tenant in tenants(cell, found.settings, model="database"):
            deprovision(tenant.id, "database", cell, found.settings)
        with routing.connect(cell, "superuser", autocommit=True, settings=local) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(DATABASE)))
