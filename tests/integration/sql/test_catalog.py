"""The live catalog against what is declared: relations, privileges, comments, regions."""

from typing import Any

import pytest

from orchestration.cells.regions import REGIONS
from orchestration.cells.relations import Relation, load_relations

MIGRATED = [relation for relation in load_relations() if not relation.built_by_dbt]

LIVE = """
    select n.nspname || '.' || c.relname,
        case when h.id is not null then 'hypertable' when c.relkind = 'v' then 'view'
            when c.relkind in ('r', 'p') then 'table' else c.relkind::text end
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    left join _timescaledb_catalog.hypertable h on h.schema_name = n.nspname and h.table_name = c.relname
    where n.nspname in (
            'platform', 'metering', 'geo', 'saas', 'ecommerce', 'analytics', 'public',
            'staging', 'intermediate', 'marts'
        )
        and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""
COLUMNS = """
    select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped
"""
PRIVILEGES = """
    select privilege_type from information_schema.table_privileges
    where table_schema || '.' || table_name = %s and grantee in ('app', 'PUBLIC')
    union
    select privilege_type from information_schema.column_privileges
    where table_schema || '.' || table_name = %s and grantee in ('app', 'PUBLIC')
"""
SECURITY = """
    select c.relrowsecurity and c.relforcerowsecurity,
        (select array_agg(concat_ws('|', polname, polcmd, polpermissive, polroles::text,
            pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))) from pg_policy where polrelid = c.oid)
    from pg_class c where c.oid = %s::regclass
"""
UNCOMMENTED = """
    select c.oid::regclass::text || coalesce('.' || a.attname, '')
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    left join lateral (
        select 0 as attnum, null as attname
        union all
        select attnum, attname from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped
    ) a on true
    where n.nspname in ('platform', 'metering', 'geo', 'saas', 'ecommerce', 'analytics')
        and c.relkind in ('r', 'p', 'v', 'm')
        and coalesce(col_description(c.oid, a.attnum), obj_description(c.oid, 'pg_class')) is null
        or n.nspname in ('platform', 'metering', 'geo', 'saas', 'ecommerce', 'analytics')
        and c.relkind in ('r', 'p', 'v', 'm')
        and a.attnum > 0 and col_description(c.oid, a.attnum) is null
"""
POLICY = (
    "tenant_isolation|*|t|{0}|(tenant_id = ( SELECT platform.current_tenant() AS current_tenant))"
    "|(tenant_id = ( SELECT platform.current_tenant() AS current_tenant))"
)
# current_tenant() reads the fences: their own policy cannot ask it.
POLICY_OF_FENCES = POLICY.replace("current_tenant", "claimed_tenant")


def test_exactly_the_declared_relations_exist_and_are_what_they_are_declared_as(connect: Any) -> None:
    with connect("auditor") as auditor:
        live = dict(auditor.execute(LIVE).fetchall())
    assert live == {relation.name: relation.relkind for relation in MIGRATED}


@pytest.mark.parametrize("relation", MIGRATED, ids=[relation.name for relation in MIGRATED])
def test_a_relation_has_the_declared_columns_privileges_and_row_security(connect: Any, relation: Relation) -> None:
    with connect("auditor") as auditor:
        columns = {name for (name,) in auditor.execute(COLUMNS, (relation.name,)).fetchall()}
    assert set(relation.personal) <= columns
    # No tenant's role enters the schema of counters and limits, so they need no row security.
    assert ("tenant_id" in columns) == (relation.kind == "tenant" or relation.schema == "metering")
    # information_schema shows a role only what concerns it.
    with connect("superuser") as superuser:
        privileges = superuser.execute(PRIVILEGES, (relation.name, relation.name)).fetchall()
        assert {name.lower() for (name,) in privileges} == set(relation.app)
        secured, policies = superuser.execute(SECURITY, (relation.name,)).fetchone()
    if relation.kind == "tenant" and relation.relkind == "table":
        expected = POLICY_OF_FENCES if relation.name == "saas.tenant_fences" else POLICY
        assert (secured, policies) == (True, [expected])
    elif relation.kind == "person":
        assert (secured, policies) == (True, None)


def test_a_tenants_table_has_its_tenant_in_every_key_and_foreign_key(connect: Any) -> None:
    tables = [r.name for r in MIGRATED if r.kind == "tenant" and r.relkind == "table" and r.schema != "analytics"]
    query = """
        select c.conrelid::regclass::text, pg_get_constraintdef(c.oid)
        from pg_constraint c
        where c.conrelid::regclass::text = any(%s) and c.contype in ('p', 'u', 'f')
            and c.confrelid not in ('geo.users'::regclass, 'saas.tenants'::regclass, 'saas.plans'::regclass)
            and not exists (
                select from pg_attribute a
                where a.attrelid = c.conrelid and a.attnum = any(c.conkey) and a.attname = 'tenant_id'
            )
    """
    with connect("auditor") as auditor:
        rows = auditor.execute(query, (tables,)).fetchall()
    # A tenant's own identity and subdomain are unique in the cell.
    assert {table for table, _ in rows} <= {"saas.tenants"}


def test_every_relation_and_column_is_commented(connect: Any) -> None:
    with connect("auditor") as auditor:
        assert auditor.execute(UNCOMMENTED).fetchall() == []


def test_no_money_is_a_float_or_integer_and_no_time_is_without_zone(connect: Any) -> None:
    query = """
        select table_schema || '.' || table_name || '.' || column_name, data_type
        from information_schema.columns
        where table_schema in ('platform', 'metering', 'geo', 'saas', 'ecommerce', 'analytics')
            and (data_type in ('timestamp without time zone', 'money', 'real', 'double precision')
                or column_name ~ '(price|amount|subtotal)' and data_type <> 'numeric')
    """
    with connect("superuser") as superuser:
        assert superuser.execute(query).fetchall() == []


def test_functions_pin_what_they_mean_and_public_executes_none(connect: Any) -> None:
    query = """
        select p.oid::regprocedure::text,
            -- A trigger fires whoever may call it; nobody can call a trigger's function otherwise.
            p.prosecdef and p.prorettype <> 'trigger'::regtype
            -- Only the gateway has the right to call its two, and only the publisher its one.
            and (
                p.proname not in ('resolve_tenant', 'record_requests', 'assert_publishing_open')
                or has_function_privilege('app', p.oid, 'execute')
                or has_function_privilege('replicator', p.oid, 'execute')
            ),
            p.proconfig is not null or p.prosqlbody is not null,
            has_function_privilege('public', p.oid, 'execute')
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in (
                'platform', 'metering', 'geo', 'saas', 'ecommerce', 'analytics', 'staging', 'intermediate', 'marts'
            )
    """
    with connect("auditor") as auditor:
        rows = auditor.execute(query).fetchall()
    assert len(rows) > 8
    assert [name for name, definer, pinned, public in rows if definer or not pinned or public] == []


def test_app_executes_nothing_of_ours_but_the_context_the_checkout_and_counts_of_its_own_day(connect: Any) -> None:
    query = """
        select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in (
                'platform', 'metering', 'geo', 'saas', 'ecommerce', 'analytics', 'staging', 'intermediate', 'marts'
            )
            and has_function_privilege('app', p.oid, 'execute')
    """
    with connect("auditor") as auditor:
        assert {name for (name,) in auditor.execute(query).fetchall()} == {
            "claimed_tenant",
            "current_tenant",
            "enter_tenant",
            "events_of_changed_day",
            "fence_key",
            "page_views_of_changed_day",
            "process_checkout",
            "users_of_changed_day",
        }


def test_a_table_function_or_schema_added_later_gives_public_and_app_nothing(connect: Any) -> None:
    with connect("migrator") as migrator:
        migrator.execute("set local role owner")
        migrator.execute("create table saas.later (tenant_id uuid)")
        migrator.execute("create function saas.later() returns int language sql return 1")
        row = migrator.execute(
            "select has_table_privilege('app', 'saas.later', 'select'),"
            " has_function_privilege('app', 'saas.later()', 'execute'),"
            " has_table_privilege('auditor', 'saas.later', 'select'),"
            " has_table_privilege('transformer', 'saas.later', 'select')"
        ).fetchone()
        migrator.rollback()
    assert row == (False, False, True, True)


def test_roles_are_as_declared(connect: Any) -> None:
    query = """
        select rolname, rolcanlogin, rolbypassrls, rolsuper or rolcreaterole or rolcreatedb, rolreplication
        from pg_roles
        where rolname in ('owner', 'migrator', 'loader', 'transformer', 'app', 'auditor', 'replicator', 'gateway')
        order by rolname
    """
    with connect("auditor") as auditor:
        assert auditor.execute(query).fetchall() == [
            ("app", True, False, False, False),
            ("auditor", True, True, False, False),
            ("gateway", True, False, False, False),
            ("loader", True, True, False, False),
            ("migrator", True, True, False, False),
            ("owner", False, False, False, False),
            ("replicator", True, False, False, True),
            ("transformer", True, True, False, False),
        ]


def test_the_regions_in_the_database_are_those_of_the_code(connect: Any) -> None:
    with connect("app") as app:
        rows = app.execute("select region, name, residency from geo.regions").fetchall()
    assert {row[0]: (row[1], tuple(row[2])) for row in rows} == {
        region.cell: (region.name, region.residency) for region in REGIONS.values()
    }


@pytest.mark.parametrize(
    "number", ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005"]
)
def test_a_card_number_is_not_taken_for_a_token(connect: Any, full_shops: Any, number: str) -> None:
    from psycopg import errors

    with connect("loader") as loader, pytest.raises(errors.CheckViolation, match="provider_token"):
        loader.execute(
            "update ecommerce.payments set provider_token = %s where tenant_id = %s", (number, full_shops[0].tenant_id)
        )
