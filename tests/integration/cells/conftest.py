"""A cell of its own with three tenants, for the tests of who may see and use what."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow
from pydantic import SecretStr

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.cells.endpoints import Role
from orchestration.engines.local import LocalEngines
from orchestration.settings import Settings, get_settings


@dataclass(frozen=True)
class Serving:
    """A migrated database and the tenants in it, each with one project that has its subdomain as name."""

    settings: Settings
    tenants: tuple[UUID, ...]

    def dsn(self, role: Role = "app") -> str:
        return endpoints.dsn("na", role, settings=self.settings)

    def operator(self) -> psycopg.Connection[TupleRow]:
        return routing.connect("na", "loader", autocommit=True, settings=self.settings)

    def new_tenant(self, plan: str = "roomy") -> UUID:
        return open_tenant(self, plan)


def open_tenant(serving: Serving, plan: str) -> UUID:
    tenant = uuid4()
    with serving.operator() as operator:
        operator.execute(
            "insert into saas.tenants (id, name, subdomain, plan) values (%s, 'Shop', %s, %s)",
            (tenant, f"s{tenant.hex[:12]}", plan),
        )
        operator.execute("insert into saas.projects (tenant_id, name) values (%s, %s)", (tenant, f"s{tenant.hex[:12]}"))
    return tenant


NewPlan = Callable[..., str]


@pytest.fixture(scope="module")
def serving(engines: LocalEngines) -> Iterator[Serving]:
    del engines  # only has to run
    name = f"serving_{uuid4().hex[:12]}"
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    settings = get_settings().model_copy(update={"dsn_na": SecretStr(endpoints.dsn("na", "superuser", database=name))})
    migrations.apply_all("na", settings=settings)
    serving = Serving(settings, ())
    with serving.operator() as operator:
        operator.execute("insert into saas.plans (plan, name, monthly_price) values ('roomy', 'Roomy', 0)")
    yield Serving(settings, tuple(open_tenant(serving, "roomy") for _ in range(3)))
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def new_plan(serving: Serving) -> NewPlan:
    """Make a plan with the given limits (columns of saas.plans) and return its name."""

    def make(**limits: int) -> str:
        name = f"plan_{uuid4().hex[:8]}"
        columns = sql.SQL(", ").join(sql.Identifier(column) for column in limits)
        with serving.operator() as operator:
            operator.execute(
                sql.SQL("insert into saas.plans (plan, name, monthly_price, {}) values (%s, 'Plan', 0, {})").format(
                    columns, sql.SQL(", ").join(sql.Placeholder() for _ in limits)
                ),
                [name, *limits.values()],
            )
        return name

    return make
