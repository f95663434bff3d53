"""A plan's limits hold in the database: no race, no bulk statement and no isolation level lets one more in."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from orchestration.cells import routing
from orchestration.cells.tenant_context import tenant_context

# May be repeated: the isolation level promises that nothing was written.
RETRY = psycopg.errors.SerializationFailure

PROJECT = "insert into saas.projects (name) select 'p' || i from generate_series(1, %s) as i"
EVENTS = """
    insert into analytics.events (time, tenant_id, event_id, event_type, origin, load_id)
    select %s, %s, gen_random_uuid(), 'page_view', %s, %s from generate_series(1, %s)
"""
JUNE = datetime(2026, 6, 30, 23, 59, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)


def as_tenant(serving: Any, tenant: UUID, level: str, work: Callable[[psycopg.Connection[Any]], object]) -> str | None:
    """Run ``work`` as the tenant, repeating what has to be repeated; return the limit that refused it, if one did."""
    with psycopg.connect(serving.dsn()) as connection:
        connection.isolation_level = getattr(psycopg.IsolationLevel, level)
        while True:
            try:
                with tenant_context(connection, tenant):
                    work(connection)
            except RETRY:
                continue
            except psycopg.errors.CheckViolation as error:
                return error.diag.constraint_name
            return None


def counted(serving: Any, tenant: UUID) -> tuple[int, int, int, int]:
    """Return members and projects by their counters, then by their rows."""
    with psycopg.connect(serving.dsn("auditor")) as auditor:
        row = auditor.execute(
            "select a.members, a.projects, (select count(*) from saas.users as u where u.tenant_id = a.tenant_id),"
            " (select count(*) from saas.projects as p where p.tenant_id = a.tenant_id)"
            " from metering.accounts as a where a.tenant_id = %s",
            [tenant],
        ).fetchone()
    assert row is not None
    return row


def at_once(number: int, work: Callable[[int], object]) -> list[Any]:
    results: list[Any] = [None] * number
    barrier = threading.Barrier(number)

    def run(index: int) -> None:
        barrier.wait()
        results[index] = work(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("level", ["READ_COMMITTED", "REPEATABLE_READ", "SERIALIZABLE"])
def test_of_many_who_want_the_last_places_exactly_as_many_get_one(serving: Any, new_plan: Any, level: str) -> None:
    # One project is there; three places are left for eight.
    tenant = serving.new_tenant(new_plan(max_projects=4))
    refused = at_once(8, lambda _: as_tenant(serving, tenant, level, lambda c: c.execute(PROJECT, [1])))
    assert sorted(refused, key=str) == [None] * 3 + ["plan_projects"] * 5
    assert counted(serving, tenant) == (0, 4, 0, 4)


def test_members_are_counted_and_limited_like_projects(serving: Any, new_plan: Any) -> None:
    tenant = serving.new_tenant(new_plan(max_users=2))
    person = uuid4()
    with serving.operator() as operator:
        operator.execute("insert into geo.users (id, email, region) values (%s, 'm@example.com', 'na')", [person])

    def join(connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            "insert into saas.users (person_id, email) values (%s, %s)", [person, f"{uuid4()}@example.com"]
        )

    refused = at_once(6, lambda _: as_tenant(serving, tenant, "READ_COMMITTED", join))
    assert sorted(refused, key=str) == [None] * 2 + ["plan_members"] * 4
    assert (
        as_tenant(
            serving,
            tenant,
            "READ_COMMITTED",
            lambda c: c.execute("delete from saas.users where id = (select id from saas.users limit 1)"),
        )
        is None
    )
    assert as_tenant(serving, tenant, "READ_COMMITTED", join) is None
    assert counted(serving, tenant)[0] == counted(serving, tenant)[2] == 2


def test_a_snapshot_from_before_others_took_the_places_lets_nobody_in(serving: Any, new_plan: Any) -> None:
    tenant = serving.new_tenant(new_plan(max_projects=2))
    with psycopg.connect(serving.dsn()) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(RETRY), tenant_context(old, tenant):  # noqa: PT012 (the last statement fails)
            assert old.execute("select count(*) from saas.projects").fetchone() == (1,)
            assert as_tenant(serving, tenant, "READ_COMMITTED", lambda c: c.execute(PROJECT, [1])) is None
            old.execute(PROJECT, [1])
        assert old.info.transaction_status == TransactionStatus.IDLE
    assert counted(serving, tenant) == (0, 2, 0, 2)


def test_a_bulk_statement_is_let_in_whole_or_not_at_all(serving: Any, new_plan: Any) -> None:
    tenant = serving.new_tenant(new_plan(max_projects=5))
    assert as_tenant(serving, tenant, "READ_COMMITTED", lambda c: c.execute(PROJECT, [5])) == "plan_projects"
    assert counted(serving, tenant) == (0, 1, 0, 1)
    assert as_tenant(serving, tenant, "READ_COMMITTED", lambda c: c.execute(PROJECT, [4])) is None
    replaced = "with gone as (delete from saas.projects) insert into saas.projects (name) values ('one')"
    # Both parts see the same rows; the counter follows what each did.
    assert as_tenant(serving, tenant, "READ_COMMITTED", lambda c: c.execute(replaced)) in (None, "plan_projects")
    assert counted(serving, tenant)[1] == counted(serving, tenant)[3]
    on_conflict = "insert into saas.projects (id, name) select id, name from saas.projects on conflict do nothing"
    assert as_tenant(serving, tenant, "READ_COMMITTED", lambda c: c.execute(on_conflict)) is None
    assert counted(serving, tenant)[1] == counted(serving, tenant)[3]


def test_what_is_rolled_back_also_to_a_savepoint_is_not_counted(serving: Any, new_plan: Any) -> None:
    tenant = serving.new_tenant(new_plan(max_projects=2))

    def try_twice(connection: psycopg.Connection[Any]) -> None:
        with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
            connection.execute(PROJECT, [2])
        connection.execute(PROJECT, [1])

    assert as_tenant(serving, tenant, "READ_COMMITTED", try_twice) is None
    assert counted(serving, tenant) == (0, 2, 0, 2)


@pytest.mark.parametrize(
    "statement",
    [
        "update saas.tenants set plan = 'roomy'",
        "update saas.plans set max_projects = null",
        "update platform.tenant_usage set projects = 0",
        "update platform.tenant_event_months set events = 0",
        "update metering.accounts set projects = 0",
        "delete from metering.event_months",
        "alter table saas.projects disable trigger count_added",
        "set session_replication_role = replica",
        "select metering.count_added()",
        "truncate saas.projects",
    ],
)
def test_a_tenant_changes_neither_its_plan_nor_a_counter(serving: Any, new_plan: Any, statement: str) -> None:
    tenant = serving.new_tenant(new_plan(max_projects=1))
    with (
        psycopg.connect(serving.dsn()) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        tenant_context(connection, tenant),
    ):
        connection.execute(statement.encode())

    # Saying that one is the operator does not make it so.
    def as_operator(connection: psycopg.Connection[Any]) -> None:
        connection.execute("select set_config('app.fence_pass', 'restore', true)")
        connection.execute(PROJECT, [1])

    assert as_tenant(serving, tenant, "READ_COMMITTED", as_operator) == "plan_projects"


def test_a_tenant_reads_its_limits_and_its_use_of_them(serving: Any, new_plan: Any) -> None:
    tenant = serving.new_tenant(new_plan(max_projects=3, max_connections=2))
    with psycopg.connect(serving.dsn()) as connection, tenant_context(connection, tenant):
        usage = "select tenant_id, projects, max_projects, max_connections from platform.tenant_usage"
        assert connection.execute(usage).fetchall() == [(tenant, 1, 3, 2)]


def test_a_changed_plan_holds_for_the_next_one_in_whatever_snapshot(serving: Any, new_plan: Any) -> None:
    tenant = serving.new_tenant(new_plan(max_projects=9))
    small = new_plan(max_projects=1)
    with psycopg.connect(serving.dsn()) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(RETRY), tenant_context(old, tenant):  # noqa: PT012 (the last statement fails)
            old.execute("select count(*) from saas.projects")
            with serving.operator() as operator:
                operator.execute("update saas.tenants set plan = %s where id = %s", [small, tenant])
            old.execute(PROJECT, [1])
    assert as_tenant(serving, tenant, "READ_COMMITTED", lambda c: c.execute(PROJECT, [1])) == "plan_projects"
    with serving.operator() as operator:
        operator.execute("update saas.plans set max_projects = 2 where plan = %s", [small])
    assert as_tenant(serving, tenant, "READ_COMMITTED", lambda c: c.execute(PROJECT, [1])) is None


def test_the_operator_who_restores_a_tenant_is_counted_and_not_refused(serving: Any, new_plan: Any) -> None:
    tenant = serving.new_tenant(new_plan(max_projects=1, max_events_per_month=1))
    many = "insert into saas.projects (tenant_id, name) select %s, 'p' || i from generate_series(1, 3) as i"
    with routing.connect("na", "loader", settings=serving.settings) as loader:
        with pytest.raises(psycopg.errors.CheckViolation), loader.transaction():
            loader.execute(many, [tenant])
        loader.execute("select set_config('app.fence_pass', 'restore', true)")
        loader.execute(many, [tenant])
        loader.execute(EVENTS, [JUNE, tenant, "stream", uuid4(), 3])
    assert counted(serving, tenant) == (0, 4, 0, 4)
    assert events_counted(serving, tenant) == {}
    # A suspended tenant's rows are counted too: its policies hide them from the owner, not its counter.
    with serving.operator() as operator:
        operator.execute("insert into saas.tenant_fences (tenant_id, reads, reason) values (%s, true, 'x')", [tenant])
        operator.execute("select set_config('app.fence_pass', 'erase', false)")
        operator.execute("delete from saas.projects where tenant_id = %s", [tenant])
    assert counted(serving, tenant) == (0, 0, 0, 0)
    with serving.operator() as operator:
        operator.execute("delete from saas.tenants where id = %s", [tenant])
    with psycopg.connect(serving.dsn("auditor")) as auditor:
        assert auditor.execute("select from metering.accounts where tenant_id = %s", [tenant]).fetchone() is None


def events_counted(serving: Any, tenant: UUID) -> dict[str, int]:
    with psycopg.connect(serving.dsn("auditor")) as auditor:
        rows = auditor.execute("select month::text, events from metering.event_months where tenant_id = %s", [tenant])
        return dict(rows.fetchall())


@pytest.mark.parametrize("level", ["READ_COMMITTED", "REPEATABLE_READ"])
def test_live_events_are_limited_per_month_also_when_batches_arrive_at_once(
    serving: Any, new_plan: Any, level: str
) -> None:
    tenant = serving.new_tenant(new_plan(max_events_per_month=25))

    def deliver(_: int) -> str | None:
        with routing.connect("na", "loader", settings=serving.settings) as loader:
            loader.isolation_level = getattr(psycopg.IsolationLevel, level)
            while True:
                try:
                    with loader.transaction():
                        loader.execute(EVENTS, [JUNE, tenant, "stream", uuid4(), 10])
                except RETRY:
                    continue
                except psycopg.errors.CheckViolation as error:
                    return error.diag.constraint_name
                return None

    assert sorted(at_once(5, deliver), key=str) == [None] * 2 + ["plan_events"] * 3
    with serving.operator() as loader:
        # Another month has its own allowance; what operators load has none.
        loader.execute(EVENTS, [JULY, tenant, "stream", uuid4(), 25])
        loader.execute(EVENTS, [JUNE, tenant, "synthetic", uuid4(), 100])
        loader.execute(EVENTS, [JUNE, tenant, "import", uuid4(), 100])
        with (
            pytest.raises(psycopg.errors.CheckViolation),
            loader.cursor().copy(
                "copy analytics.events (time, tenant_id, event_id, event_type, origin, load_id) from stdin"
            ) as copy,
        ):
            copy.write_row((JULY, tenant, uuid4(), "page_view", "stream", uuid4()))
    assert events_counted(serving, tenant) == {"2026-06-01": 20, "2026-07-01": 25}
