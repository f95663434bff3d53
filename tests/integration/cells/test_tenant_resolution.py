"""A request's tenant is found by a login that can find tenants one by one, and do nothing else."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from orchestration.cells.tenant_context import SuspendedTenantError, TenantContextError, UnknownTenantError
from orchestration.cells.tenant_resolution import TenantResolver


@pytest.fixture
def resolver(serving: Any) -> Iterator[TenantResolver]:
    with TenantResolver.of_cell("na", serving.settings, domain="shops.example", keep=0.0) as resolver:
        yield resolver


def test_a_tenant_is_found_by_host_by_subdomain_and_by_id(
    resolver: TenantResolver, serving: Any, new_plan: Any
) -> None:
    tenant = serving.new_tenant(new_plan(max_connections=3, statement_timeout_ms=70))
    subdomain = f"s{tenant.hex[:12]}"
    found = resolver.of_request(host=f"{subdomain}.shops.example:443")
    assert (found.id, found.subdomain, found.model) == (tenant, subdomain, "shared")
    assert (found.max_connections, found.statement_timeout_ms) == (3, 70)
    assert resolver.of_request(headers={"X-Tenant": subdomain}) == found
    assert asyncio.run(resolver.of_request_async(headers={"X-Tenant": str(tenant)})) == found


def test_one_that_nobody_is_is_not_found(resolver: TenantResolver) -> None:
    for headers in ({"X-Tenant": "nobody"}, {"X-Tenant": str(uuid4())}):
        with pytest.raises(UnknownTenantError) as raised:
            resolver.of_request(headers=headers)
        assert raised.value.status == 404


def test_a_suspended_one_is_refused_and_found_again_when_it_is_open(resolver: TenantResolver, serving: Any) -> None:
    tenant = serving.tenants[0]
    with serving.operator() as operator:
        operator.execute(
            "insert into saas.tenant_fences (tenant_id, reads, reason) values (%s, true, 'unpaid')", [tenant]
        )
        with pytest.raises(SuspendedTenantError, match="unpaid") as raised:
            resolver.resolve(tenant)
        assert raised.value.status == 403
        operator.execute("delete from saas.tenant_fences where tenant_id = %s", [tenant])
    assert resolver.resolve(tenant).id == tenant


def test_an_answer_is_kept_for_a_while_also_that_there_is_none(serving: Any) -> None:
    with TenantResolver.of_cell("na", serving.settings, keep=60.0) as resolver:
        tenant = serving.new_tenant()
        assert resolver.resolve(tenant).id == tenant
        with pytest.raises(UnknownTenantError):
            resolver.resolve("not-yet")
        # From here on nobody can be asked.
        resolver.close()
        started = time.monotonic()
        assert resolver.resolve(tenant).id == tenant
        with pytest.raises(UnknownTenantError):
            resolver.resolve("not-yet")
        with pytest.raises(TenantContextError, match="cannot be looked up"):
            resolver.resolve(uuid4())
        assert time.monotonic() - started < 5


def test_the_gateway_reads_no_table_and_app_looks_up_no_tenant(serving: Any) -> None:
    with psycopg.connect(serving.dsn("gateway"), autocommit=True) as gateway:
        for query in (
            "select * from saas.tenants",
            "select * from metering.accounts",
            "select * from metering.request_hours",
            "select * from platform.tenant_usage",
            "select * from ecommerce.users",
            "create temporary table t ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                gateway.execute(query)
        rows = gateway.execute("select * from platform.resolve_tenant(null, null)").fetchall()
        assert rows == []
    with psycopg.connect(serving.dsn("app"), autocommit=True) as app:
        for query in (
            "select * from platform.resolve_tenant(null, 'acme')",
            "select platform.record_requests('[]')",
            "select * from metering.accounts",
            "update platform.tenant_usage set max_members = 9",
            "select metering.operator_passes()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(query)
