"""Tenants are made once, wherever they are asked for, and what cannot be one is refused by name."""

import time
from typing import Any
from uuid import uuid4

import pytest
from psycopg import sql
from pydantic import SecretStr

from orchestration.cells import routing
from orchestration.tenancy.creating import (
    HostsUnknownError,
    InvalidTenantError,
    TenantConflictError,
    TenantSpec,
    create_tenant,
    create_tenants,
)
from orchestration.tenancy.placement import placement_of
from orchestration.tenancy.registry import UnknownTenantError, find, tenants, tenants_by_model


def test_a_tenant_is_made_once_and_asked_for_again_returned_as_it_is(models: Any) -> None:
    spec = TenantSpec("Once", "once", "free")
    first, second = (create_tenant("na", spec, models.settings) for _ in range(2))
    assert (first.made, second.made) == (True, False)
    assert first.tenant == second.tenant == find("once", settings=models.settings)
    assert first.tenant.status == "active"
    assert models.rows("select currency from ecommerce.store_settings where tenant_id = %s", (first.tenant.id,)) == [
        ("USD",)
    ]


def test_a_tenant_is_found_by_id_and_subdomain_in_whichever_cell(models: Any) -> None:
    made = create_tenant("eu", TenantSpec("Là-bas", "la-bas"), models.settings).tenant
    assert find(str(made.id).upper(), settings=models.settings) == made
    assert find("la-bas", "eu", models.settings) == made
    with pytest.raises(UnknownTenantError, match="in cell 'na'"):
        find("la-bas", "na", models.settings)
    with pytest.raises(UnknownTenantError, match="no tenant"):
        find(uuid4(), settings=models.settings)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (TenantSpec("", "a"), "name ''"),
        (TenantSpec(" ", "a"), "name ' '"),
        (TenantSpec("x" * 101, "a"), "1 to 100"),
        (TenantSpec("a\0b", "a"), "printable"),
        (TenantSpec("a\nb", "a"), "printable"),
        (TenantSpec("A", "Shop"), "subdomain 'Shop'"),
        (TenantSpec("A", "-a"), "subdomain"),
        (TenantSpec("A", "a\n"), "subdomain"),
        (TenantSpec("A", "a'; drop table saas.tenants; --"), "subdomain"),
        (TenantSpec("A", "x" * 51), "at most 50"),
        (TenantSpec("A", "0b3c1f1e-5a53-4d3e-9d5c-6f1f7a1c9d10"), "form of a tenant's id"),
        (TenantSpec("A", "a", "gold"), "plan 'gold' does not exist: cell 'na' has free, starter, pro, enterprise"),
        (TenantSpec("A", "a", "' or '1' = '1"), "does not exist"),
        (TenantSpec("A", "a", model="own"), "unknown model 'own'"),  # type: ignore[arg-type]
        (TenantSpec("A", "a", currency="usd"), "ISO 4217"),
    ],
)
def test_what_cannot_be_a_tenant_is_refused_by_name(models: Any, spec: TenantSpec, said: str) -> None:
    before = models.value("select count(*) from saas.tenants")
    with pytest.raises(InvalidTenantError, match=said):
        create_tenant("na", spec, models.settings)
    assert models.value("select count(*) from saas.tenants") == before


@pytest.mark.parametrize("name", ["O'Brien & Söhne", 'The "Shop"', "'; drop table saas.tenants; --", "%s {} \\'", "店"])
def test_a_name_with_quotes_or_sql_in_it_is_a_name(models: Any, name: str) -> None:
    made = create_tenant("na", TenantSpec(name, f"quoted-{uuid4().hex[:8]}"), models.settings).tenant
    assert find(made.id, "na", models.settings).name == name


def test_a_subdomain_is_given_out_once_in_a_cell_and_over_all_cells(models: Any) -> None:
    there = create_tenant("eu", TenantSpec("There", "taken"), models.settings).tenant
    with pytest.raises(TenantConflictError, match="cell 'eu' has a tenant with the subdomain 'taken'"):
        create_tenant("na", TenantSpec("There", "taken"), models.settings)
    with pytest.raises(TenantConflictError, match="name 'There', not 'Other'; plan 'free', not 'pro'"):
        create_tenant("eu", TenantSpec("Other", "taken", "pro", "shared"), models.settings)
    with pytest.raises(TenantConflictError, match="is that of another tenant"):
        create_tenant("eu", TenantSpec("There", "taken-2", id=there.id), models.settings)
    with pytest.raises(TenantConflictError, match="twice"):
        create_tenants("na", [TenantSpec("A", "twice"), TenantSpec("B", "twice")], models.settings)


def test_of_many_tenants_all_are_made_or_none(models: Any) -> None:
    create_tenant("na", TenantSpec("First", "first"), models.settings)
    with pytest.raises(TenantConflictError, match="first"):
        create_tenants("na", [TenantSpec("Zero", "zero"), TenantSpec("Another", "first")], models.settings)
    with pytest.raises(UnknownTenantError):
        find("zero", "na", models.settings)


def test_while_a_cell_is_stopped_no_host_is_given_out_and_the_cell_is_named(models: Any) -> None:
    stopped = models.settings.model_copy(update={"dsn_eu": SecretStr("postgresql://x:y@127.0.0.1:1/x")})
    with pytest.raises(HostsUnknownError, match="cell 'eu' does not answer"):
        create_tenant("na", TenantSpec("A", "while-stopped"), stopped)
    with pytest.raises(routing.CellUnavailableError, match="'eu'"):
        create_tenant("eu", TenantSpec("A", "while-stopped"), stopped)
    with pytest.raises(UnknownTenantError, match="eu did not answer"):
        find("while-stopped", settings=stopped)


def test_the_plan_decides_the_model_unless_it_is_said(models: Any) -> None:
    assert create_tenant("na", TenantSpec("Free", "by-plan-free", "free"), models.settings).tenant.model == "shared"
    assert create_tenant("na", TenantSpec("Pro", "by-plan-pro", "pro"), models.settings).tenant.model == "schema"
    said = create_tenant("na", TenantSpec("Said", "said", "enterprise", "shared"), models.settings).tenant
    assert said.model == "shared"


@pytest.mark.parametrize("model", ["schema", "database"])
def test_a_creation_that_is_killed_after_any_step_goes_on_when_it_is_asked_again(models: Any, model: Any) -> None:
    class Kill(BaseException):
        """As SIGKILL: nothing after it runs."""

    for number, step in enumerate(("provision", "settings", "open")):
        spec = TenantSpec("Killed", f"killed-{model}-{number}", "pro", model)

        def kill(progress: Any, step: str = step) -> None:
            if progress.step == step and progress.moment == "worked":
                raise Kill

        with pytest.raises(Kill):
            create_tenant("na", spec, models.settings, progress=kill)
        tenant = create_tenant("na", spec, models.settings).tenant
        assert tenant.status == find(tenant.id, "na", models.settings).status == "active"
        with placement_of(tenant).connect("loader", models.settings) as connection:
            relation = placement_of(tenant).relation("ecommerce.store_settings")
            assert connection.execute(sql.SQL("select currency from {}").format(relation)).fetchall() == [("USD",)]
        if model == "database":
            return  # One is enough of a model that takes seconds: all steps but the first are the same.


def test_ten_thousand_tenants_are_made_within_a_minute(models: Any) -> None:
    specs = [TenantSpec(f"Merchant {number}", f"merchant-{number}") for number in range(10_000)]
    started = time.perf_counter()
    created = create_tenants("na", specs, models.settings)
    seconds = time.perf_counter() - started
    assert all(each.made and each.tenant.status == "active" for each in created)
    assert seconds < 60, f"{seconds:.1f} s"
    assert len(tenants("na", models.settings, after="merchant-", most=3)) == 3


def test_a_cells_tenants_are_counted_by_model(models: Any) -> None:
    before = tenants_by_model("apac", models.settings)
    models.tenant("schema", cell="apac")
    models.tenant("shared", cell="apac")
    after = tenants_by_model("apac", models.settings)
    assert {model: after[model] - before.get(model, 0) for model in after} == {"schema": 1, "shared": 1}
