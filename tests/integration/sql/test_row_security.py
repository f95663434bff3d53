"""What role app may see and do: everything of its own tenant, nothing of another's, nothing without a context."""

from contextlib import AbstractContextManager
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors, sql

from orchestration.cells.relations import Relation, load_relations
from orchestration.cells.tenant_context import tenant_context

TENANT_TABLES = [
    relation
    for relation in load_relations()
    if relation.kind == "tenant"
    and relation.relkind == "table"
    and "select" in relation.app
    and not relation.built_by_dbt
]
NAMES = [relation.name for relation in TENANT_TABLES]
# An open tenant has no fence.
FILLED = [relation for relation in TENANT_TABLES if relation.name != "saas.tenant_fences"]


def identifier(relation: Relation) -> sql.Identifier:
    return sql.Identifier(relation.schema, relation.table)


def count(connection: psycopg.Connection[Any], relation: Relation) -> int:
    row = connection.execute(sql.SQL("select count(*) from {}").format(identifier(relation))).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("relation", FILLED, ids=[relation.name for relation in FILLED])
def test_a_tenant_sees_its_own_rows_and_no_others(connect: Any, full_shops: Any, relation: Relation) -> None:
    for shop in full_shops:
        with connect("app") as app, tenant_context(app, shop.tenant_id):
            assert count(app, relation) >= 1
            row = app.execute(
                sql.SQL("select count(*) from {} where tenant_id <> %s").format(identifier(relation)), (shop.tenant_id,)
            ).fetchone()
            assert row == (0,)


@pytest.mark.parametrize("relation", TENANT_TABLES, ids=NAMES)
@pytest.mark.parametrize(
    "context", [None, "", "nonsense", "00000000-0000-0000-0000-00000000000", "5f0c9d7e-2f57-4a41-9a53-0d3f6f0f6a11"]
)
def test_without_a_usable_context_there_are_no_rows_and_no_error(
    connect: Any, full_shops: Any, relation: Relation, context: str | None
) -> None:
    del full_shops
    with connect("app") as app:
        if context is not None:
            app.execute("select set_config('app.current_tenant', %s, true)", (context,))
        assert count(app, relation) == 0


@pytest.mark.parametrize("relation", TENANT_TABLES, ids=NAMES)
def test_a_tenant_changes_removes_and_moves_nothing_of_another(
    connect: Any, full_shops: Any, relation: Relation
) -> None:
    ours, theirs = full_shops
    name = identifier(relation)
    with connect("app") as app:
        if "update" in relation.app:
            with tenant_context(app, ours.tenant_id):
                update = sql.SQL("update {} set tenant_id = tenant_id where tenant_id = %s").format(name)
                assert app.execute(update, (theirs.tenant_id,)).rowcount == 0
            with pytest.raises(errors.InsufficientPrivilege), tenant_context(app, ours.tenant_id):
                app.execute(sql.SQL("update {} set tenant_id = %s").format(name), (theirs.tenant_id,))
        if "delete" in relation.app:
            with tenant_context(app, ours.tenant_id):
                delete = sql.SQL("delete from {} where tenant_id = %s").format(name)
                assert app.execute(delete, (theirs.tenant_id,)).rowcount == 0
        else:
            with pytest.raises(errors.InsufficientPrivilege), tenant_context(app, theirs.tenant_id):
                app.execute(sql.SQL("delete from {}").format(name))


FORBIDDEN: list[LiteralString] = [
    "truncate ecommerce.orders",
    "select * from geo.users",
    "select * from geo.eu_user_data",
    "select * from analytics.events",
    "select * from analytics.events_hourly",
    "select * from platform.proofs",
    "select * from platform.loads",
    "select platform.catalog_digest()",
    "select platform.assert_gate_open()",
    "call analytics.refresh_events_hourly(now() - interval '1 hour', now())",
    "call analytics.drop_events_before(now() - interval '2 years')",
    "select public.drop_chunks('analytics.events', now())",
    "create table ecommerce.mine (id int)",
    "create table public.mine (id int)",
    "create temporary table mine (id int)",
    "create schema mine",
    "alter table ecommerce.orders disable row level security",
    "create policy more on ecommerce.orders using (true)",
    "create function public.f() returns int language sql as 'select 1'",
    "set role owner",
    "set session authorization loader",
    "select pg_catalog.lo_create(0)",
    "select * from pg_catalog.pg_stat_activity",
    "copy ecommerce.orders to program 'cat'",
    "insert into analytics.tenant_events select * from analytics.tenant_events",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_what_is_not_for_a_tenant_is_refused(connect: Any, full_shops: Any, statement: LiteralString) -> None:
    with connect("app") as app:
        app.execute("select set_config('app.current_tenant', %s, true)", (str(full_shops[0].tenant_id),))
        with pytest.raises(errors.InsufficientPrivilege):
            app.execute(statement)


def test_switching_row_security_off_shows_an_error_and_no_rows(connect: Any, full_shops: Any) -> None:
    del full_shops
    with connect("app") as app:
        app.execute("set local row_security = off")
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
            app.execute("select * from ecommerce.orders")


def test_a_row_cannot_lean_on_another_tenants(connect: Any, shops: Any) -> None:
    ours, theirs = shops
    with connect("app") as app, pytest.raises(errors.ForeignKeyViolation), tenant_context(app, ours.tenant_id):
        app.execute("insert into ecommerce.carts (user_id) values (%s)", (theirs.user_id,))


def test_a_tenant_reads_its_events_through_the_views(connect: Any, full_shops: Any) -> None:
    ours, _ = full_shops
    with connect("app") as app:
        with tenant_context(app, ours.tenant_id):
            assert app.execute("select distinct tenant_id from analytics.tenant_events").fetchall() == [
                (ours.tenant_id,)
            ]
            assert app.execute("select distinct tenant_id from analytics.tenant_events_hourly").fetchall() == [
                (ours.tenant_id,)
            ]
        assert app.execute("select count(*) from analytics.tenant_events").fetchone() == (0,)
        assert app.execute("select count(*) from analytics.tenant_events_hourly").fetchone() == (0,)


def test_a_leaky_condition_does_not_see_another_tenants_events(connect: Any, full_shops: Any) -> None:
    ours, theirs = full_shops
    # Divides by zero on the other tenant's row, if it is ever asked about it.
    leak = "select count(*) from analytics.tenant_events where 1 / (case when tenant_id = %s then 0 else 1 end) = 1"
    with connect("app") as app, tenant_context(app, ours.tenant_id):
        assert app.execute(leak, (theirs.tenant_id,)).fetchone() == (1,)


def test_no_chunk_is_readable_although_it_inherits_grants(connect: Any, full_shops: Any) -> None:
    del full_shops
    with connect("auditor") as auditor:
        chunks = auditor.execute("select schema_name, table_name from _timescaledb_catalog.chunk where not dropped")
        names = [sql.Identifier(schema, table) for schema, table in chunks.fetchall()]
    assert len(names) >= 2
    for name in names:
        with connect("app") as app, pytest.raises(errors.InsufficientPrivilege, match="schema analytics_chunks"):
            app.execute(sql.SQL("select * from {}").format(name))


def test_a_chunk_cannot_be_dropped_by_the_function_that_checks_no_owner(connect: Any, full_shops: Any) -> None:
    del full_shops
    with connect("auditor") as auditor:
        row = auditor.execute(
            "select c.oid from pg_class c join _timescaledb_catalog.chunk k on c.relname = k.table_name limit 1"
        ).fetchone()
    for role in ("app", "loader", "transformer", "auditor"):
        with connect(role) as connection, pytest.raises(errors.InsufficientPrivilege):
            connection.execute("select _timescaledb_functions.drop_chunk(%s::oid::regclass)", (row[0],))


def test_a_persons_row_stays_hidden_even_after_a_grant_by_mistake(connect: Any, shops: Any) -> None:
    del shops
    with connect("superuser") as superuser:
        superuser.execute("grant select on geo.users to app")
        superuser.execute("set local role app")
        assert superuser.execute("select count(*) from geo.users").fetchone() == (0,)
        superuser.rollback()


def test_all_tenants_may_read_plans_and_regions(connect: Any, shops: Any) -> None:
    del shops
    with connect("app") as app:
        assert app.execute("select count(*) from geo.regions").fetchone() == (3,)
        assert app.execute("select count(*) > 0 from saas.plans").fetchone() == (True,)


BYPASSING = ("loader", "transformer", "auditor", "migrator")


@pytest.mark.parametrize("role", BYPASSING)
def test_the_platforms_own_roles_see_every_row(connect: Any, shops: Any, role: str) -> None:
    tenants = [shop.tenant_id for shop in shops]
    with connect(role) as connection:
        query = "select count(*) from ecommerce.users where tenant_id = any(%s)"
        assert connection.execute(query, (tenants,)).fetchone() == (2,)


def test_the_loader_may_copy_into_a_table_under_row_security(connect: Any, shops: Any) -> None:
    with connect("loader") as loader:
        copy: AbstractContextManager[psycopg.Copy] = loader.cursor().copy(
            "copy saas.projects (tenant_id, name) from stdin"
        )
        with copy as rows:
            rows.write_row((shops[0].tenant_id, "copied"))
        loader.rollback()


def test_an_index_serves_a_tenants_query_under_row_security(connect: Any, full_shops: Any) -> None:
    with connect("app") as app, tenant_context(app, full_shops[0].tenant_id):
        app.execute("set local enable_seqscan = off")
        plan = app.execute("explain select * from ecommerce.orders order by created_at desc limit 10").fetchall()
    assert any("idx_orders_created" in line for (line,) in plan), plan
