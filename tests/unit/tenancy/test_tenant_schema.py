"""The migrations of the shared schemas, said of one tenant's: what is renamed, what stays shared, what is left out."""

from pathlib import Path
from uuid import UUID

import pytest

from orchestration.migrations.files import plan, read_migration
from orchestration.migrations.statements import split
from orchestration.tenancy.placement import (
    OPERATIONAL_DOMAINS,
    operational_relations,
    operators_relations,
    schema_names,
    tenant_of_schema,
)
from orchestration.tenancy.tenant_schema import in_schemas, is_tenants, tenant_statements

TENANT = UUID("0b3c1f1e-5a53-4d3e-9d5c-6f1f7a1c9d10")
NAMES = schema_names(TENANT)
SAAS, ECOMMERCE = NAMES["saas"], NAMES["ecommerce"]


def test_a_schema_names_its_tenant_and_fits_a_name() -> None:
    for schema in NAMES.values():
        assert tenant_of_schema(schema) == TENANT
        assert len(schema) < 63
    for other in ("saas", "t_1_saas", f"{SAAS}x", "t_0b3c1f1e5a534d3e9d5c6f1f7a1c9d10_geo"):
        assert tenant_of_schema(other) is None


@pytest.mark.parametrize(
    ("text", "renamed"),
    [
        ("select * from saas.users", f"select * from {SAAS}.users"),
        ("references saas.tenants (id)", "references saas.tenants (id)"),
        ("references saas.users (tenant_id, id)", f"references {SAAS}.users (tenant_id, id)"),
        ("select p.plan from saas.plans as p", "select p.plan from saas.plans as p"),
        ("select 'ecommerce.orders'::regclass", f"select '{ECOMMERCE}.orders'::regclass"),
        ("comment on column saas.users.id is 'x'", f"comment on column {SAAS}.users.id is 'x'"),
        ("-- saas.users stays\nselect 1", "-- saas.users stays\nselect 1"),
        ("/* saas.users stays */ select 1", "/* saas.users stays */ select 1"),
        ("select x.saas.users, mysaas.users, geo.users", "select x.saas.users, mysaas.users, geo.users"),
        ("update saas.tenant_fences set reads = true", "update saas.tenant_fences set reads = true"),
        ("declare v ecommerce.store_settings;", f"declare v {ECOMMERCE}.store_settings;"),
    ],
)
def test_names_are_replaced_where_they_are_the_tenants(text: str, renamed: str) -> None:
    assert in_schemas(text, NAMES) == renamed


@pytest.mark.parametrize(
    ("text", "tenants"),
    [
        ("create table saas.later (id int)", True),
        ("create table saas.tenants (id int)", False),
        ("create index i on saas.users (id)", True),
        ("create index i on saas.tenants (id)", False),
        ("alter table saas.plans add column x int", False),
        ("create trigger t before update on ecommerce.users for each row execute function platform.f()", True),
        ("create trigger t after update on saas.tenants for each row execute function saas.f()", False),
        ("create function platform.f() returns int language sql return 1", False),
        ("call platform.install_write_fences()", False),
        ("insert into metering.accounts select id from saas.tenants", False),
        ("update saas.users set role = 'owner'", True),
        ("create sequence saas.newest_fence", False),
        ("reset role", True),
        ("do $$ begin perform saas.f(); end $$", True),
        ("do $$ begin update saas.tenants set name = 'x'; end $$", False),
    ],
)
def test_a_statement_is_the_tenants_by_what_it_concerns_first(text: str, tenants: bool) -> None:
    (statement,) = split(f"{text};")
    assert is_tenants(statement) is tenants


def test_the_shipped_files_make_every_operational_table_and_nothing_of_the_operators() -> None:
    made = "\n".join(
        statement.text
        for domain in OPERATIONAL_DOMAINS
        for migration in plan(domain)
        for statement in tenant_statements(migration, NAMES)
    )
    for relation in operational_relations():
        schema = SAAS if relation.schema == "saas" else ECOMMERCE
        assert f"create table {schema}.{relation.table} (" in made
        assert f"create table {relation.name} (" not in made
    for relation in operators_relations():
        assert f"create table {relation.name} " not in made
        assert f".{relation.table} (" not in made.replace(f"references {relation.name} (", "")
    assert "metering." not in made.split("function")[0]


def test_a_statement_keeps_its_line_so_that_an_error_names_it(tmp_path: Path) -> None:
    (tmp_path / "001_first.sql").write_text(
        "create table saas.tenants (id int);\n\ncreate table saas.users (id int);\n"
    )
    (statement,) = tenant_statements(read_migration("saas", tmp_path / "001_first.sql"), NAMES)
    assert statement.line == 3
