"""Tenants' own schemas and databases are proved like the shared tables, and make no cell another shape."""

from pathlib import Path
from typing import Any

import pytest

from orchestration.proofs.cell_shape import compare
from orchestration.proofs.proof import SUITES, Proof, prove
from orchestration.tenancy.placement import schema_names
from orchestration.tenancy.registry import Tenant, find
from orchestration.tenancy.suspension import resume, suspend

# As of a tenant that is not registered.
NOBODYS = "t_00000000000000000000000000000000_saas"
SEED = Path(__file__).parents[2] / "proofs" / "seed.sql"


@pytest.fixture(scope="module")
def tenant(models: Any) -> Tenant:
    """A tenant with schemas of its own in a cell that also has shared tenants and one with a database."""
    # The seed's shops have more staff and projects than the plan allows.
    models.execute("update saas.plans set max_projects = null, max_users = null where plan = 'free'")
    with models.connect("loader") as loader, loader.transaction():
        loader.execute("select set_config('seed.region', 'na', true), set_config('seed.tenants', '3', true)")
        loader.execute(SEED.read_bytes())
    with models.connect("migrator") as connection:
        connection.execute("call analytics.refresh_events_hourly(now() - interval '10 days', now())")
    models.tenant("database")
    found: Tenant = models.tenant("schema")
    return found


def names(tenant: Tenant) -> dict[str, str]:
    return {str(domain): schema for domain, schema in schema_names(tenant.id).items()}


def isolation(models: Any) -> Proof:
    return prove("na", ("tenant_isolation",), settings=models.settings)[0]


def broken(models: Any, tenant: Tenant, plant: str) -> set[str]:
    """Return the rules that a statement in the tenant's schemas breaks."""
    models.execute(plant.format(**names(tenant)))
    return {offender.rule for offender in isolation(models).offenders}


def test_a_cell_with_tenants_of_all_models_is_proven(models: Any, tenant: Tenant) -> None:
    for proof in prove("na", SUITES, settings=models.settings):
        assert (list(proof.offenders), proof.errors, proof.verdict) == ([], (), "green")
    assert tenant.model == "schema"


def test_a_suspended_tenant_leaves_the_cell_proven(models: Any, tenant: Tenant) -> None:
    shared = models.rows("select id from saas.tenants where model = 'shared' order by subdomain limit 1")[0][0]
    for each in (find(shared, "na", models.settings), tenant):
        suspend(each, settings=models.settings)
    proof = isolation(models)
    assert (list(proof.offenders), proof.errors, proof.verdict) == ([], (), "green")
    for each in (find(shared, "na", models.settings), tenant):
        resume(each, settings=models.settings)


def test_tenants_of_other_models_make_no_cell_another_shape(models: Any, tenant: Tenant) -> None:
    assert tenant.model == "schema"
    compared = compare("na", settings=models.settings)
    assert set(compared.compared) == {"eu", "apac"}
    assert compared.differences == ()


@pytest.mark.parametrize(
    ("plant", "mend", "rule"),
    [
        ("create table {saas}.hole (tenant_id uuid)", "drop table {saas}.hole", "relations_are_declared"),
        (
            "alter table {ecommerce}.orders no force row level security",
            "alter table {ecommerce}.orders force row level security",
            "row_security_is_forced",
        ),
        (
            "grant truncate on {ecommerce}.orders to app",
            "revoke truncate on {ecommerce}.orders from app",
            "no_table_level_rights",
        ),
        (
            "create policy open_to_all on {saas}.users using (true)",
            "drop policy open_to_all on {saas}.users",
            "policies_are_exact",
        ),
        (
            "alter table {saas}.users add column extra text",
            "alter table {saas}.users drop column extra",
            "tenant_schemas_look_like_the_shared",
        ),
        (
            "alter table {saas}.users disable trigger fence_writes",
            "alter table {saas}.users enable trigger fence_writes",
            "tenant_schemas_look_like_the_shared",
        ),
        (
            f"create schema {NOBODYS} create table {NOBODYS}.users (id int)",
            f"drop schema {NOBODYS} cascade",
            "relations_are_declared",
        ),
    ],
)
def test_a_hole_in_a_tenants_schema_is_named(models: Any, tenant: Tenant, plant: str, mend: str, rule: str) -> None:
    try:
        assert rule in broken(models, tenant, plant)
    finally:
        models.execute(mend.format(**names(tenant)))
