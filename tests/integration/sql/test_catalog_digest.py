"""The catalog's watermark: the same for the same catalog, another for anything isolation rests on."""

from collections.abc import Iterator
from typing import Any, LiteralString

import pytest

INSERT_EVENTS = """
    insert into analytics.events (time, tenant_id, event_id, event_type, origin, load_id)
    select now() - n * interval '1 day', gen_random_uuid(), gen_random_uuid(), 'click', 'import', gen_random_uuid()
    from generate_series(%s::int, %s) n
"""
NEWEST_CHUNK = """
    select format('%I.%I', k.schema_name, k.table_name)
    from _timescaledb_catalog.chunk k
    join _timescaledb_catalog.hypertable h on h.id = k.hypertable_id and h.table_name = 'events'
    where not k.dropped order by k.id desc limit 1
"""
ALWAYS_THE_SAME_TENANT = """
    create or replace function platform.current_tenant() returns uuid language sql stable parallel safe
    return '00000000-0000-0000-0000-000000000000'::uuid
"""
VIEW_OF_ALL_TENANTS = """
    create or replace view analytics.tenant_events_hourly with (security_barrier) as
    select bucket, tenant_id, event_type, device_type, country, event_count, unique_users, sessions
    from analytics.events_hourly
"""


@pytest.fixture
def superuser(connect: Any) -> Iterator[Any]:
    """A superuser's connection whose changes are undone."""
    with connect("superuser") as connection:
        yield connection
        connection.rollback()


def digest(connection: Any) -> str:
    return str(connection.execute("select platform.catalog_digest()").fetchone()[0])


def build(connection: Any, name: str, *, grants: tuple[str, ...]) -> None:
    """Build a mart as dbt does: another table of another oid under the same name."""
    connection.execute("set local role transformer")
    connection.execute(f"create table marts.{name} (tenant_id uuid not null, day date, revenue numeric(12, 2))")
    connection.execute(f"alter table marts.{name} enable row level security, force row level security")
    connection.execute(
        f"create policy tenant_isolation on marts.{name} using (tenant_id = (select platform.current_tenant()))"
    )
    for role in grants:
        connection.execute(f"grant select on marts.{name} to {role}")
    connection.execute("set local role none")


def test_a_table_that_is_rebuilt_the_same_gives_the_same_digest(superuser: Any) -> None:
    build(superuser, "fct_test", grants=("app", "loader"))
    before = digest(superuser)
    superuser.execute("drop table marts.fct_test")
    # Granted in another order, and with an index whose name dbt dates.
    build(superuser, "fct_test", grants=("loader", "app"))
    superuser.execute("create index idx_20260301 on marts.fct_test (tenant_id)")
    assert digest(superuser) == before


def test_a_rebuild_that_forgets_something_gives_another_digest(superuser: Any) -> None:
    build(superuser, "fct_test", grants=("app",))
    before = digest(superuser)
    superuser.execute("drop table marts.fct_test")
    build(superuser, "fct_test", grants=())
    assert digest(superuser) != before


def test_rows_statistics_and_new_chunks_leave_the_digest_alone(superuser: Any) -> None:
    before = digest(superuser)
    superuser.execute(INSERT_EVENTS, (30, 60))
    superuser.execute("analyze analytics.events")
    assert digest(superuser) == before
    superuser.execute("delete from analytics.events")
    assert digest(superuser) == before


CHANGES: list[LiteralString] = [
    "create table saas.forgotten (id int)",
    "create table public.forgotten (id int)",
    "create unlogged table analytics_chunks.forgotten (id int)",
    "create view saas.forgotten as select * from saas.users",
    "create materialized view saas.forgotten as select * from saas.users",
    "drop view analytics.tenant_events",
    "alter view analytics.tenant_events set (security_barrier = false)",
    VIEW_OF_ALL_TENANTS,
    "alter table saas.users disable row level security",
    "alter table saas.users no force row level security",
    "create policy everything on saas.users using (true)",
    "drop policy tenant_isolation on saas.users",
    "alter policy tenant_isolation on saas.users using (true)",
    "alter policy tenant_isolation on saas.users with check (true)",
    "alter policy tenant_isolation on saas.users to app",
    "grant select on geo.users to app",
    "grant select (email) on geo.users to app",
    "grant truncate on saas.users to app",
    "grant select on analytics.events to app",
    "grant usage on schema analytics_chunks to app",
    "grant create on schema public to app",
    "grant select on sequence ecommerce.users_id_seq to app",
    "grant connect on database DATABASE to public",
    "alter table saas.users owner to app",
    "alter table saas.users add column note text",
    "alter table saas.users alter column email type varchar(320)",
    "alter table saas.users alter column email drop not null",
    "alter table saas.users alter column tenant_id drop default",
    "alter table saas.users alter column tenant_id set default gen_random_uuid()",
    "alter table saas.projects drop constraint projects_tenant_id_created_by_fkey",
    "alter table ecommerce.orders disable trigger set_updated_at",
    "create rule forgotten as on insert to saas.plans do nothing",
    "create function saas.leak() returns int language sql security definer return 1",
    "alter function platform.current_tenant() immutable",
    ALWAYS_THE_SAME_TENANT,
    "alter function ecommerce.process_checkout(bigint, jsonb, bigint, bigint) security definer",
    "alter function ecommerce.process_checkout(bigint, jsonb, bigint, bigint) reset search_path",
    "grant execute on function platform.catalog_digest() to app",
    "grant execute on function _timescaledb_functions.drop_chunk(regclass) to public",
    "grant execute on function pg_stat_get_activity(integer) to app",
    "alter role app bypassrls",
    "alter role app superuser",
    "alter role app createrole",
    "alter role owner login",
    "alter role app set app.current_tenant = '00000000-0000-0000-0000-000000000000'",
    "grant owner to app",
    "grant pg_read_all_data to app",
    "create role somebody",
    "alter default privileges for role owner grant select on tables to app",
    "alter default privileges for role owner in schema saas grant select on tables to public",
    "create publication everything for all tables",
    "create publication people for table geo.users",
    "create publication people for tables in schema geo",
    "create publication people for table geo.users where (region = 'na')",
    "create extension dblink",
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_isolation_rests_on_changes_the_digest(superuser: Any, change: LiteralString) -> None:
    before = digest(superuser)
    superuser.execute(change.replace("DATABASE", superuser.info.dbname))
    assert digest(superuser) != before
    superuser.rollback()
    assert digest(superuser) == before


CHUNK_CHANGES = ["grant select on {} to app", "grant select (user_id) on {} to app", "grant select on {} to public"]


@pytest.mark.parametrize("change", CHUNK_CHANGES)
def test_a_chunk_that_differs_from_its_hypertable_changes_the_digest(superuser: Any, change: str) -> None:
    superuser.execute(INSERT_EVENTS, (1, 1))
    before = digest(superuser)
    chunk = superuser.execute(NEWEST_CHUNK).fetchone()[0]
    superuser.execute(change.format(chunk))
    assert digest(superuser) != before


def test_a_changed_publication_filter_changes_the_digest(superuser: Any) -> None:
    superuser.execute("create publication people for table geo.users where (region = 'na')")
    before = digest(superuser)
    superuser.execute("alter publication people set table geo.users where (region = 'eu')")
    assert digest(superuser) != before


@pytest.mark.parametrize("role", ["loader", "transformer", "auditor", "migrator"])
def test_every_role_that_may_ask_gets_the_same_digest(connect: Any, superuser: Any, role: str) -> None:
    with connect(role) as connection:
        connection.execute("set local search_path = marts, public")
        assert digest(connection) == digest(superuser)
