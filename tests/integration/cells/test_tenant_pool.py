"""Whoever borrows a connection has its own tenant and nothing of the borrower before, whatever became of that one."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.cells.tenant_context import (
    MalformedTenantError,
    SuspendedTenantError,
    TenantBusyError,
    TenantContextError,
    UnknownTenantError,
    async_tenant_context,
)
from orchestration.cells.tenant_pool import AsyncTenantPool, TenantConnection, TenantPool
from orchestration.cells.usage_meter import UsageMeter

OWNER = "select distinct tenant_id from saas.projects"
SESSION = """
    select coalesce(current_setting('app.current_tenant', true), ''), current_setting('statement_timeout'),
        current_setting('search_path'), (select count(*) from pg_cursors),
        (select count(*) from pg_listening_channels()), (select count(*) from pg_prepared_statements where from_sql)
"""
CLEAN = ("", "0", '"$user", public', 0, 0, 0)


@pytest.fixture(scope="module")
def pool(serving: Any) -> Iterator[TenantPool]:
    """One connection for all: every borrower gets the one before's."""
    with TenantPool(serving.dsn(), max_size=1) as pool:
        yield pool


def session(pool: TenantPool) -> tuple[Any, ...] | None:
    """What somebody who borrows without any tenant would find."""
    with pool._pool.connection() as connection:
        row = connection.execute(SESSION).fetchone()
        connection.rollback()
    return row


def owners(connection: psycopg.Connection[Any]) -> set[UUID]:
    return {owner for (owner,) in connection.execute(OWNER)}


def test_each_borrower_sees_its_own_rows_and_the_one_without_a_tenant_none(pool: TenantPool, serving: Any) -> None:
    for tenant in serving.tenants * 2:
        with pool.tenant(tenant) as connection:
            assert owners(connection) == {tenant}
        assert session(pool) == CLEAN
    with pool._pool.connection() as connection:
        assert owners(connection) == set()


def test_a_decorated_function_is_called_with_a_tenant_in_place_of_the_connection(
    pool: TenantPool, serving: Any
) -> None:
    @pool.in_tenant
    def renamed(connection: TenantConnection, name: str, *, again: bool = False) -> tuple[set[UUID], str, bool]:
        return owners(connection), name, again

    tenant = serving.tenants[0]
    assert renamed(tenant, "x", again=True) == ({tenant}, "x", True)
    assert renamed(str(tenant), "y") == ({tenant}, "y", False)
    assert renamed.__name__ == "renamed"


def misuse(connection: psycopg.Connection[Any], how: str, other: UUID) -> None:  # noqa: PLR0912 (a list of cases)
    """What a careless or hostile block may do to the session."""
    match how:
        case "nothing":
            pass
        case "error":
            connection.execute("select 1 / 0")
        case "own error":
            raise KeyError(how)
        case "caught error":
            with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
                connection.execute("select 1 / 0")
        case "session setting":
            connection.execute("select set_config('app.current_tenant', %s, false)", [str(other)])
            connection.execute("set search_path = saas")
        case "committed setting":
            connection.execute("commit")
            connection.execute("select set_config('app.current_tenant', %s, false)", [str(other)])
            connection.execute("commit")
        case "committed setting and error":
            connection.execute("commit")
            connection.execute("select set_config('app.current_tenant', %s, false)", [str(other)])
            connection.execute("commit")
            raise KeyError(how)
        case "held cursor":
            connection.execute("declare held cursor with hold for select * from saas.projects")
        case "listening":
            connection.execute("listen tenants")
        case "prepared":
            connection.execute("prepare mine as select 'secret'")
        case "timeout":
            connection.execute("set local statement_timeout = 10")
            connection.execute("select pg_sleep(5)")
        case "pipeline":
            with connection.pipeline():
                connection.execute("select 1")
                connection.execute("select 2")
        case "pipeline error":
            with connection.pipeline():
                connection.execute("select 1")
                connection.execute("select 1 / 0")
                connection.execute("select 2")
        case "half pipeline":
            connection.pipeline().__enter__()
            connection.execute("select 1")
        case "rollback":
            raise psycopg.Rollback
        case "interrupt":
            raise KeyboardInterrupt
        case "terminated":
            connection.close()


MISUSES = (
    "nothing", "error", "own error", "caught error", "session setting", "committed setting",
    "committed setting and error", "held cursor", "listening", "prepared", "timeout", "pipeline", "pipeline error",
    "half pipeline", "rollback", "interrupt", "terminated",
)  # fmt: skip


def abuse(pool: TenantPool, tenant: UUID, how: str, other: UUID) -> None:
    try:
        with pool.tenant(tenant) as connection:
            assert owners(connection) == {tenant}
            misuse(connection, how, other)
    except (psycopg.Error, KeyError, KeyboardInterrupt):
        pass


@pytest.mark.parametrize("how", MISUSES)
def test_nothing_of_a_borrower_reaches_the_next(pool: TenantPool, serving: Any, how: str) -> None:
    first, second, _ = serving.tenants
    abuse(pool, first, how, second)
    assert session(pool) == CLEAN
    with pool.tenant(second) as connection:
        assert owners(connection) == {second}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turns=st.lists(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(MISUSES)), max_size=4), min_size=2, max_size=4)
)
def test_in_any_interleaving_of_borrowers_nobody_sees_anothers_rows(
    serving: Any, turns: list[list[tuple[int, str]]]
) -> None:
    wrong: list[BaseException] = []

    def borrow(pool: TenantPool, steps: list[tuple[int, str]]) -> None:
        for number, how in steps:
            try:
                abuse(pool, serving.tenants[number], how, serving.tenants[(number + 1) % 3])
            except BaseException as error:  # noqa: BLE001 (handed to the test)
                wrong.append(error)

    with TenantPool(serving.dsn(), max_size=2, max_per_tenant=2, wait=30) as shared:
        threads = [threading.Thread(target=borrow, args=(shared, steps)) for steps in turns]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        for _ in range(2):
            assert session(shared) == CLEAN


def test_statements_that_the_driver_prepares_serve_one_tenant_after_another(pool: TenantPool, serving: Any) -> None:
    for tenant in serving.tenants * 4:
        with pool.tenant(tenant) as connection:
            assert owners(connection) == {tenant}
    with pool._pool.connection() as connection:
        row = connection.execute("select count(*) from pg_prepared_statements where not from_sql").fetchone()
    assert row is not None
    assert row[0] >= 2


@pytest.mark.parametrize(
    ("tenant", "error", "status"),
    [("", MalformedTenantError, 400), ("' or '1'='1", MalformedTenantError, 400), (uuid4(), UnknownTenantError, 404)],
)
def test_a_tenant_that_cannot_be_is_an_error_with_a_status(
    pool: TenantPool, tenant: Any, error: type[TenantContextError], status: int
) -> None:
    with pytest.raises(error) as raised, pool.tenant(tenant):
        pytest.fail("the block must not run")
    assert raised.value.status == status
    assert session(pool) == CLEAN


@contextmanager
def fenced(serving: Any, tenant: UUID) -> Iterator[None]:
    with serving.operator() as operator:
        operator.execute(
            "insert into saas.tenant_fences (tenant_id, reads, writes, reason) values (%s, true, true, 'unpaid')",
            [tenant],
        )
        try:
            yield
        finally:
            operator.execute("delete from saas.tenant_fences where tenant_id = %s", [tenant])


def test_a_suspended_tenant_is_refused_by_the_database_with_the_reason(pool: TenantPool, serving: Any) -> None:
    tenant = serving.tenants[0]
    with fenced(serving, tenant), pytest.raises(SuspendedTenantError, match="unpaid") as raised, pool.tenant(tenant):
        pytest.fail("the block must not run")
    assert raised.value.status == 403
    with pool.tenant(tenant) as connection:
        assert owners(connection) == {tenant}


def test_a_login_that_row_security_does_not_restrict_is_refused(serving: Any) -> None:
    with (
        TenantPool(serving.dsn("superuser"), max_size=1) as wrong,
        pytest.raises(TenantContextError, match="bypasses row security"),
        wrong.tenant(serving.tenants[0]),
    ):
        pytest.fail("the block must not run")


def test_a_plans_longest_statement_ends_a_longer_one_and_a_shorter_wish_stays(
    pool: TenantPool, serving: Any, new_plan: Any
) -> None:
    tenant = serving.new_tenant(new_plan(statement_timeout_ms=50))
    with pytest.raises(psycopg.errors.QueryCanceled), pool.tenant(tenant) as connection:
        connection.execute("select pg_sleep(10)")
    assert session(pool) == CLEAN


def test_a_plans_transactions_at_once_are_counted_over_all_pools(serving: Any, new_plan: Any) -> None:
    tenant = serving.new_tenant(new_plan(max_connections=2))
    with (
        TenantPool(serving.dsn(), max_size=4, max_per_tenant=4) as one,
        TenantPool(serving.dsn(), max_size=4, max_per_tenant=4) as other,
    ):
        with one.tenant(tenant), other.tenant(tenant):
            with pytest.raises(TenantBusyError) as raised, one.tenant(tenant):
                pytest.fail("the block must not run")
            assert raised.value.status == 429
            with one.tenant(serving.tenants[0]) as connection:
                assert owners(connection) == {serving.tenants[0]}
        with one.tenant(tenant) as connection:
            assert owners(connection) == {tenant}


def test_a_tenant_over_its_share_waits_outside_and_the_others_get_connections(serving: Any) -> None:
    greedy, modest, _ = serving.tenants
    with TenantPool(serving.dsn(), max_size=2, max_per_tenant=1, wait=0.2) as pool:
        with pool.tenant(greedy):
            with pytest.raises(TenantBusyError, match="share"), pool.tenant(greedy):
                pytest.fail("the block must not run")
            with pool.tenant(modest) as connection:
                assert owners(connection) == {modest}
        with pool.tenant(greedy) as connection:
            assert owners(connection) == {greedy}


def test_use_is_metered_per_tenant_and_written_in_one_call(serving: Any) -> None:
    tenant, other, _ = serving.tenants
    meter = UsageMeter.of_cell("na", serving.settings)
    with TenantPool(serving.dsn(), max_size=1, meter=meter) as pool:
        for _ in range(3):
            with pool.tenant(tenant) as connection:
                connection.execute("select 1")
                connection.execute("select 2")
        with pytest.raises(KeyError), pool.tenant(other):
            raise KeyError
    with psycopg.connect(serving.dsn("auditor")) as auditor:
        rows = auditor.execute(
            "select tenant_id, sum(requests), sum(failures), sum(queries), sum(max_us) > 0,"
            " sum((select sum(n) from unnest(latencies) as n))"
            " from metering.request_hours where tenant_id = any(%s) group by 1",
            [[tenant, other]],
        ).fetchall()
    assert {row[0]: row[1:] for row in rows} == {tenant: (3, 0, 6, True, 3), other: (1, 1, 0, True, 1)}


# --- asynchronous


async def async_owners(connection: psycopg.AsyncConnection[Any]) -> set[UUID]:
    cursor = await connection.execute(OWNER)
    return {owner for (owner,) in await cursor.fetchall()}


async def async_session(pool: AsyncTenantPool) -> tuple[Any, ...] | None:
    async with pool._pool.connection() as connection:
        row = await (await connection.execute(SESSION)).fetchone()
        await connection.rollback()
    return row


def test_a_task_that_is_cancelled_or_timed_out_leaves_nothing_to_the_next(serving: Any) -> None:
    first, second, _ = serving.tenants

    async def borrow(pool: AsyncTenantPool, query: str, begun: asyncio.Event) -> None:
        async with pool.tenant(first) as connection:
            await connection.execute("select set_config('app.current_tenant', %s, false)", [str(first)])
            begun.set()
            await connection.execute(query)

    async def scenario() -> None:
        async with AsyncTenantPool(serving.dsn(), max_size=1) as pool:
            for _ in range(3):
                begun = asyncio.Event()
                task = asyncio.create_task(borrow(pool, "select pg_sleep(30)", begun))
                await begun.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await async_session(pool) == CLEAN
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(borrow(pool, "select pg_sleep(30)", asyncio.Event()), 0.2)
                async with pool.tenant(second) as connection:
                    assert await async_owners(connection) == {second}
                assert await async_session(pool) == CLEAN

    started = time.monotonic()
    asyncio.run(scenario())
    assert time.monotonic() - started < 25


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(("read", "error", "cancel", "setting"))), max_size=12)
)
def test_in_any_interleaving_of_tasks_nobody_sees_anothers_rows(serving: Any, steps: list[tuple[int, str]]) -> None:
    async def step(pool: AsyncTenantPool, number: int, how: str) -> None:
        tenant = serving.tenants[number]

        @pool.in_tenant
        async def work(connection: psycopg.AsyncConnection[Any]) -> set[UUID]:
            seen = await async_owners(connection)
            if how == "error":
                await connection.execute("select 1 / 0")
            elif how == "setting":
                other = str(serving.tenants[(number + 1) % 3])
                await connection.execute("select set_config('app.current_tenant', %s, false)", [other])
            elif how == "cancel":
                await asyncio.wait_for(connection.execute("select pg_sleep(5)"), 0.01)
            return seen

        try:
            assert await work(tenant) == {tenant}
        except (psycopg.errors.DivisionByZero, TimeoutError):
            assert how in ("error", "cancel")

    async def scenario() -> None:
        async with AsyncTenantPool(serving.dsn(), max_size=2, max_per_tenant=2, wait=30) as pool:
            await asyncio.gather(*(step(pool, number, how) for number, how in steps))
            for _ in range(2):
                assert await async_session(pool) == CLEAN

    asyncio.run(scenario())


def test_errors_over_share_and_metering_are_the_same_for_tasks(serving: Any, new_plan: Any) -> None:
    tenant = serving.new_tenant(new_plan(max_connections=1))

    async def scenario() -> None:
        async with AsyncTenantPool(serving.dsn(), max_size=3, max_per_tenant=2, wait=0.2) as pool:
            for bad, error in (("x", MalformedTenantError), (uuid4(), UnknownTenantError)):
                with pytest.raises(error):
                    async with pool.tenant(bad):
                        pytest.fail("the block must not run")
            async with pool.tenant(tenant):
                with pytest.raises(TenantBusyError, match="plan"):
                    async with pool.tenant(tenant):
                        pytest.fail("the block must not run")
            async with pool.tenant(serving.tenants[0]), pool.tenant(serving.tenants[0]):
                with pytest.raises(TenantBusyError, match="share"):
                    async with pool.tenant(serving.tenants[0]):
                        pytest.fail("the block must not run")
            assert pool._shares == {}
            with fenced(serving, tenant), pytest.raises(SuspendedTenantError):
                async with pool.tenant(tenant):
                    pytest.fail("the block must not run")

    asyncio.run(scenario())


def test_the_bare_context_on_an_asynchronous_connection_ends_with_its_block(serving: Any) -> None:
    tenant = serving.tenants[0]

    async def scenario() -> None:
        async with await psycopg.AsyncConnection.connect(serving.dsn()) as connection:
            async with async_tenant_context(connection, tenant):
                assert await async_owners(connection) == {tenant}
            assert await async_owners(connection) == set()
            with pytest.raises(TenantContextError, match="already open"):
                async with async_tenant_context(connection, tenant):
                    pytest.fail("the block must not run")

    asyncio.run(scenario())
