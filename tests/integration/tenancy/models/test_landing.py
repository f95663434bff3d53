"""What staging reads of tenants' own schemas and databases arrives in the shared tables, exactly, and nothing more."""

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from orchestration.settings import PROJECT_ROOT
from orchestration.tenancy.landing import LANDED, land, land_all, unread_by_landing
from orchestration.tenancy.placement import placement_of
from orchestration.tenancy.registry import Tenant
from orchestration.tenancy.suspension import fence_writes, resume, suspend, unfence

OPEN_SHOP = Path(__file__).with_name("open_shop.sql").read_text()


def open_shop(models: Any, tenant: Tenant) -> None:
    """A row in every table that lands, and in one that does not."""
    place = placement_of(tenant)
    with place.connect("loader", models.settings) as loader:
        loader.execute("select set_config('app.current_tenant', %s, true)", (str(tenant.id),))
        text = re.sub(r"\b(saas|ecommerce)\.(\w+)", lambda m: place.relation(m.group()).as_string(None), OPEN_SHOP)
        loader.execute(text.encode())


def shared(models: Any, tenant: Tenant) -> dict[str, int]:
    """Return the tenant's rows in the shared tables, those of none left out."""
    with models.connect("superuser") as connection:
        counts = {
            name: connection.execute(
                sql.SQL("select count(*) from {} where tenant_id = {}").format(
                    sql.Identifier(*name.split(".")), tenant.id
                )
            ).fetchone()[0]
            for name in (*LANDED, *unread_by_landing())
        }
    return {name: count for name, count in counts.items() if count}


def test_all_that_dbt_reads_of_what_tenants_write_lands(models: Any) -> None:
    del models
    read = {
        f"{schema}.{table}"
        for path in (PROJECT_ROOT / "dbt_project" / "models" / "staging").rglob("*.sql")
        for schema, table in re.findall(r"source\('(saas|ecommerce)', '(\w+)'\)", path.read_text())
    }
    assert read - {"saas.tenants", "saas.plans"} == set(LANDED)


@pytest.mark.parametrize("model", ["schema", "database"])
def test_a_tenants_rows_land_as_often_as_one_asks_and_follow_what_it_changes(models: Any, model: Any) -> None:
    tenant, other = models.tenant(model), models.tenant("shared")
    open_shop(models, tenant)
    open_shop(models, other)
    others = shared(models, other)
    expected = {**dict.fromkeys(LANDED, 1), "ecommerce.categories": 2}
    for _ in range(2):
        assert land(tenant, models.settings).rows == expected
        assert shared(models, tenant) == expected
    place = placement_of(tenant)
    with models.as_tenant(tenant) as connection:
        connection.execute(sql.SQL("delete from {}").format(place.relation("ecommerce.orders")))
        connection.execute(sql.SQL("update {} set name = 'Hat'").format(place.relation("ecommerce.products")))
    land(tenant, models.settings)
    assert "ecommerce.orders" not in shared(models, tenant)
    assert models.rows("select name from ecommerce.products where tenant_id = %s", (tenant.id,)) == [("Hat",)]
    assert models.rows(
        "select path::text from ecommerce.categories where tenant_id = %s order by id", (tenant.id,)
    ) == [("tops",), ("tops.shirts",)]
    assert shared(models, other) == others


@pytest.mark.parametrize("model", ["schema", "database"])
def test_nobodys_address_name_or_password_lands(models: Any, model: Any) -> None:
    tenant = models.tenant(model)
    open_shop(models, tenant)
    land(tenant, models.settings)
    (user,) = models.rows(
        "select email, password_hash, first_name, last_name from ecommerce.users where tenant_id = %s", (tenant.id,)
    )
    assert user == ("1@landed.invalid", "!", None, None)
    staff = models.value("select email from saas.users where tenant_id = %s", (tenant.id,))
    assert staff.endswith("@landed.invalid")
    if model == "database":
        person = models.rows(
            "select p.email, p.region, p.profile from geo.users as p "
            "inner join ecommerce.users as u on p.id = u.person_id where u.tenant_id = %s",
            (tenant.id,),
        )
        assert person == [("", "na", {})]


def test_landing_counts_against_no_quota(models: Any) -> None:
    tenant = models.tenant("schema", plan="pro")
    open_shop(models, tenant)
    query = "select members, projects from metering.accounts where tenant_id = %s"
    before = models.rows(query, (tenant.id,))
    land(tenant, models.settings)
    assert models.rows(query, (tenant.id,)) == before == [(1, 1)]


def test_a_closed_tenant_and_one_with_shared_tables_are_passed_over(models: Any) -> None:
    closed, moved, tenant = (models.tenant("schema") for _ in range(3))
    for each in (closed, moved, tenant):
        open_shop(models, each)
    suspended = suspend(closed, settings=models.settings)
    assert land(suspended, models.settings).passed_over == "model schema, suspended"
    assert land(models.tenant("shared"), models.settings).passed_over == "model shared, active"
    # Another tenant's fence is no concern of this one's landing; its own is.
    fence_writes(moved, "is being moved", models.settings)
    land(tenant, models.settings)
    with pytest.raises(psycopg.Error, match="closed to writes"):
        land(moved, models.settings)
    assert shared(models, moved) == {}
    unfence(moved, models.settings)
    found = {each.tenant.id: each for each in land_all("na", models.settings)}
    assert found[moved.id].passed_over is None
    assert found[closed.id].passed_over is not None
    resume(closed, models.settings)
