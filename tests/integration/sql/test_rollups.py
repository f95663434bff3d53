"""The rollups equal the events whenever they are asked: beside writers, after late events, deletions and retention."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors, sql

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.cells.tenant_context import tenant_context
from orchestration.engines.local import LocalEngines
from orchestration.settings import Settings, get_settings

HOUR = timedelta(hours=1)


def running_day() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


# When the tests were collected: midnight may have passed when one runs, so what is of the running day asks again.
TODAY = running_day()
# Of the current day, of the days before, and late by most of a year; around the bounds of buckets.
TIMES = [
    TODAY - timedelta(days=days) + offset
    for days in (0, 1, 2, 300)
    for offset in (timedelta(0), timedelta(minutes=59, seconds=59, microseconds=999_999), HOUR, 23 * HOUR)
]
TENANTS = [UUID(int=1), UUID(int=2)]
DIFFERENCES = Path(__file__).with_name("rollup_differences.sql").read_text()
INSERT = """
    insert into analytics.events (time, tenant_id, event_id, session_id, user_id, event_type, page_url, device_type,
        country, origin, load_id)
    values (%s, %s, gen_random_uuid(), %s, %s, %s, %s, %s, 'US', 'synthetic', gen_random_uuid())
"""
CHANGED = "select (select count(*) from analytics.changed_hours), (select count(*) from analytics.changed_days)"
KEPT = """
    select (select count(*) from analytics.events_hourly_kept), (select count(*) from analytics.events_daily_kept),
        (select count(*) from analytics.page_views_daily_kept), (select count(*) from analytics.user_days_kept),
        (select count(*) from analytics.page_users_hourly_kept)
"""


class Cell:
    """A database whose events belong to these tests, and connections to it."""

    def __init__(self, of: Settings) -> None:
        self.settings = of
        self.open: list[Any] = []

    def connect(self, role: Any, *, autocommit: bool = True) -> Any:
        self.open.append(routing.connect("na", role, autocommit=autocommit, settings=self.settings))
        # One thread drives all connections: whoever waits for another one waits for ever.
        self.open[-1].execute("set statement_timeout = '20s'")
        self.open[-1].commit()
        return self.open[-1]

    def close(self) -> None:
        while self.open:
            self.open.pop().close()


@pytest.fixture(scope="module")
def database(engines: LocalEngines) -> Iterator[Settings]:
    """Settings whose cell na is a database of this module's own."""
    del engines
    name = f"rollups_{uuid4().hex[:12]}"
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    found = Settings(home=get_settings().home, dsn_na=endpoints.dsn("na", "superuser", database=name))
    migrations.apply_all("na", settings=found)
    yield found
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def lasting(database: Settings) -> Iterator[Cell]:
    cell = Cell(database)
    yield cell
    cell.close()


@pytest.fixture
def cell(database: Settings) -> Iterator[Cell]:
    """The database without events."""
    found = Cell(database)
    found.connect("superuser").execute("truncate analytics.events")
    found.connect("migrator").execute("call analytics.refresh_rollups(null, 'infinity')")
    yield found
    found.close()


def differences(connection: Any) -> list[Any]:
    return connection.execute(DIFFERENCES).fetchall()  # type: ignore[no-any-return]


def insert(
    connection: Any, *times: datetime, tenant: UUID = TENANTS[0], user: int | None = 1, event_type: str = "page_view"
) -> None:
    for time in times:
        connection.execute(INSERT, (time, tenant, uuid4(), user, event_type, "/", None))


EVENT = st.tuples(
    st.sampled_from(TIMES),
    st.sampled_from(TENANTS),
    st.sampled_from([UUID(int=7), UUID(int=8), None]),
    st.sampled_from([1, 2, None]),
    st.sampled_from(["page_view", "click"]),
    st.sampled_from(["/a", "/b", None]),
    st.sampled_from(["mobile", None]),
)
STEP = st.one_of(
    st.tuples(st.just("insert"), st.sampled_from([0, 1]), st.lists(EVENT, min_size=1, max_size=6)),
    st.tuples(st.just("delete"), st.sampled_from([0, 1]), st.sampled_from([1, 2])),
    st.tuples(st.just("update"), st.sampled_from([0, 1]), st.sampled_from(["/a", "/b"])),
    st.tuples(st.just("commit"), st.sampled_from([0, 1]), st.none()),
    st.tuples(st.just("rollback"), st.sampled_from([0, 1]), st.none()),
    st.tuples(st.just("refresh"), st.none(), st.tuples(st.sampled_from([None, *TIMES[::3]]), st.sampled_from(TENANTS))),
    st.tuples(st.just("refresh all"), st.none(), st.none()),
    st.tuples(st.just("rebuild"), st.none(), st.none()),
)


def take(step: tuple[str, int | None, Any], writers: Sequence[Any], migrator: Any) -> None:
    match step:
        case ("insert", int(who), events):
            for event in events:
                writers[who].execute(INSERT, event)
        case ("delete", int(who), user):
            # Of its own rows or of those of that tenant alone: two writers that delete the same row would wait.
            writers[who].execute(
                "delete from analytics.events where user_id = %s and tenant_id = %s", (user, TENANTS[who])
            )
        case ("update", int(who), page):
            writers[who].execute(
                "update analytics.events set page_url = 'new', user_id = 3 where page_url = %s and tenant_id = %s",
                (page, TENANTS[who]),
            )
        case ("commit", int(who), _):
            writers[who].commit()
        case ("rollback", int(who), _):
            writers[who].rollback()
        case ("refresh", _, (start, tenant)):
            migrator.execute("call analytics.refresh_rollups(%s, %s, %s)", (start, None, tenant))
        case ("refresh all", _, _):
            migrator.execute("call analytics.refresh_rollups(null, 'infinity')")
        case _:
            migrator.execute("call analytics.rebuild_rollups(%s, %s)", (TIMES[-1], TIMES[0] + HOUR))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(steps=st.lists(STEP, min_size=4, max_size=14))
def test_whatever_is_written_while_it_is_refreshed_every_rollup_equals_its_events(
    lasting: Cell, steps: list[tuple[str, int | None, Any]]
) -> None:
    lasting.close()
    superuser = lasting.connect("superuser")
    # Chunks that are there: whoever makes one keeps others from it until the transaction's end.
    insert(superuser, *TIMES)
    superuser.execute("delete from analytics.events")
    writers = [lasting.connect("loader", autocommit=False) for _ in range(2)]
    migrator, auditor = lasting.connect("migrator"), lasting.connect("auditor")
    for step in steps:
        take(step, writers, migrator)
        assert differences(auditor) == []
        # A writer sees its own rows counted before anybody else does.
        assert differences(writers[0]) == []
    for writer in writers:
        writer.commit()
    migrator.execute("call analytics.refresh_rollups(null, 'infinity')")
    assert differences(auditor) == []
    assert auditor.execute(CHANGED).fetchone() == (0, 0)


def test_a_refresh_neither_waits_for_a_writer_nor_clears_what_it_has_not_seen(cell: Cell) -> None:
    writer, migrator, auditor = (
        cell.connect("loader", autocommit=False),
        cell.connect("migrator"),
        cell.connect("auditor"),
    )
    insert(cell.connect("loader"), TIMES[4], TIMES[5])
    insert(writer, TIMES[5], user=2)
    migrator.execute("call analytics.refresh_rollups()")
    assert differences(auditor) == []
    assert auditor.execute(CHANGED).fetchone() == (0, 0)
    writer.commit()
    assert auditor.execute(CHANGED).fetchone() == (1, 1)
    assert differences(auditor) == []


def test_a_writer_does_not_wait_for_a_refresh(cell: Cell) -> None:
    migrator, writer, auditor = (
        cell.connect("migrator", autocommit=False),
        cell.connect("loader"),
        cell.connect("auditor"),
    )
    insert(writer, TIMES[4])
    migrator.execute("call analytics.refresh_rollups()")
    insert(writer, TIMES[4], user=2)
    # Until the refresh commits, readers count the hour themselves; so they do after it, for it changed meanwhile.
    assert differences(auditor) == []
    migrator.commit()
    assert differences(auditor) == []
    assert auditor.execute(CHANGED).fetchone() == (1, 1)


def test_a_refresh_leaves_the_current_day_to_readers_and_keeps_its_hours(cell: Cell) -> None:
    writer, migrator, auditor = cell.connect("loader"), cell.connect("migrator"), cell.connect("auditor")
    insert(writer, running_day(), running_day() - HOUR)
    migrator.execute("call analytics.refresh_rollups()")
    assert auditor.execute(CHANGED).fetchone() == (0, 1)
    assert auditor.execute(KEPT).fetchone() == (2, 1, 1, 1, 2)
    assert differences(auditor) == []


def test_the_users_of_a_day_are_kept_in_lists_of_a_thousand_each_once(cell: Cell) -> None:
    cell.connect("loader").execute(
        "insert into analytics.events (time, tenant_id, event_id, user_id, event_type, origin, load_id) "
        "select %s, %s, gen_random_uuid(), n %% 2500, 'page_view', 'synthetic', gen_random_uuid() "
        "from generate_series(1, 5100) as n",
        (TODAY - HOUR, TENANTS[0]),
    )
    cell.connect("migrator").execute("call analytics.refresh_rollups()")
    auditor = cell.connect("auditor")
    kept = auditor.execute("select cardinality(user_ids), user_ids[1] from analytics.user_days_kept order by 2")
    assert kept.fetchall() == [(1000, 0), (1000, 1000), (500, 2000)]
    assert differences(auditor) == []
    counted = auditor.execute("select count(*), count(distinct user_id), sum(event_count) from analytics.user_days")
    assert counted.fetchone() == (2500, 2500, 5100)


def test_a_refresh_of_what_has_not_changed_writes_nothing(cell: Cell) -> None:
    insert(cell.connect("loader"), *TIMES)
    migrator = cell.connect("migrator", autocommit=False)
    migrator.execute("call analytics.refresh_rollups(null, 'infinity')")
    migrator.commit()
    migrator.execute("call analytics.refresh_rollups(null, 'infinity')")
    assert migrator.execute("select pg_current_xact_id_if_assigned()").fetchone() == (None,)


def test_truncated_events_leave_no_rollup(cell: Cell) -> None:
    writer, migrator, auditor = cell.connect("loader"), cell.connect("migrator"), cell.connect("auditor")
    insert(writer, *TIMES)
    migrator.execute("call analytics.refresh_rollups(null, 'infinity')")
    insert(writer, TIMES[3])
    migrator.execute("truncate analytics.events")
    assert auditor.execute(KEPT).fetchone() == (0, 0, 0, 0, 0)
    assert auditor.execute(CHANGED).fetchone() == (0, 0)
    older = cell.connect("migrator", autocommit=False)
    older.execute("set transaction isolation level repeatable read")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="read committed"):
        older.execute("truncate analytics.events")


def test_buckets_go_with_the_events_that_retention_drops_and_with_no_others(cell: Cell) -> None:
    writer, migrator, auditor = cell.connect("loader"), cell.connect("migrator"), cell.connect("auditor")
    expired = TODAY - timedelta(days=400)
    insert(writer, expired, expired + HOUR, *TIMES)
    migrator.execute("call analytics.refresh_rollups()")
    insert(writer, expired + 2 * HOUR)
    (before,) = auditor.execute("select count(*) from analytics.events_hourly").fetchone()
    migrator.execute("call analytics.drop_events_before(%s)", (TODAY - timedelta(days=366),))
    assert auditor.execute("select count(*) from analytics.events_hourly").fetchone() == (before - 3,)
    assert auditor.execute("select min(time) from analytics.events").fetchone() == (TIMES[12],)
    assert differences(auditor) == []
    # Later still: it is counted, until the next night drops it.
    insert(writer, expired)
    assert differences(auditor) == []


def test_kept_rows_that_were_meddled_with_are_put_right_by_a_rebuild(cell: Cell) -> None:
    superuser, migrator = cell.connect("superuser"), cell.connect("migrator")
    insert(cell.connect("loader"), *TIMES)
    migrator.execute("call analytics.refresh_rollups(null, 'infinity')")
    superuser.execute("update analytics.events_hourly_kept set event_count = 7")
    superuser.execute("update analytics.user_days_kept set event_counts = array_fill(7, array[cardinality(user_ids)])")
    superuser.execute("insert into analytics.page_views_daily_kept values (%s, %s, '/', 1, 1)", (TIMES[8], TENANTS[1]))
    meddled = "insert into analytics.page_users_hourly_kept values (%s, %s, '/', '{1}', '{1}')"
    superuser.execute(meddled, (TIMES[8], TENANTS[1]))
    assert [name for name, _ in differences(superuser)] == [
        "events_hourly",
        "page_users_hourly",
        "page_views_daily",
        "user_days",
    ]
    migrator.execute("call analytics.rebuild_rollups(%s, %s)", (TIMES[-1] - 24 * HOUR, TODAY + HOUR))
    assert differences(superuser) == []


def shop(cell: Cell) -> None:
    superuser = cell.connect("superuser")
    superuser.execute(
        "insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0) on conflict do nothing"
    )
    superuser.execute(
        "insert into saas.tenants (id, name, subdomain) values (%s, 'Shop', 'shop') on conflict do nothing",
        (TENANTS[0],),
    )


def planned(app: Any, name: str) -> list[str]:
    """Return the plan of a tenant's query of two days."""
    query = "explain select * from analytics.tenant_{} where bucket >= '{}' and bucket < '{}'"
    with tenant_context(app, TENANTS[0]):
        app.execute("set local enable_seqscan = off")
        text = query.format(name, TODAY - timedelta(days=3), TODAY - timedelta(days=1))
        return [line for (line,) in app.execute(text).fetchall()]


def test_a_query_of_two_days_is_planned_for_their_chunks_or_for_none_and_the_tenants_index(cell: Cell) -> None:
    shop(cell)
    superuser, app = cell.connect("superuser"), cell.connect("app", autocommit=False)
    for days in range(20):
        insert(superuser, TODAY - timedelta(days=days))
    # A changed hour is counted by the plan itself, a changed day by a function that is planned when it is called.
    for name, chunks in (
        ("events_hourly", 2),
        ("page_users_hourly", 2),
        ("events_daily", 0),
        ("page_views_daily", 0),
        ("user_days", 0),
    ):
        plan = planned(app, name)
        assert len([line for line in plan if " on _hyper_1_" in line]) == chunks, name
        assert all("tenant_id" in line for line in plan if "Index Cond" in line)


def test_a_tenant_counts_its_own_events_of_a_changed_day_and_nobody_elses(cell: Cell) -> None:
    shop(cell)
    loader, auditor, app = cell.connect("loader"), cell.connect("auditor"), cell.connect("app", autocommit=False)
    insert(loader, TIMES[4], TIMES[5], TIMES[9])
    cell.connect("migrator").execute("call analytics.refresh_rollups()")
    insert(loader, TIMES[4], user=2)
    insert(loader, TIMES[4], TIMES[5], TIMES[8], tenant=TENANTS[1])
    assert differences(auditor) == []
    for name in ("events_hourly", "page_users_hourly", "events_daily", "page_views_daily", "user_days"):
        own = auditor.execute(
            sql.SQL("select * from {} where tenant_id = %s").format(sql.Identifier("analytics", name)), (TENANTS[0],)
        ).fetchall()
        with tenant_context(app, TENANTS[0]):
            shown = app.execute(sql.SQL("select * from {}").format(sql.Identifier("analytics", f"tenant_{name}")))
            assert sorted(shown.fetchall(), key=str) == sorted(own, key=str), name
    for function in ("events_of_changed_day", "page_views_of_changed_day", "users_of_changed_day"):
        counted = sql.SQL("select * from {}(%s, %s)").format(sql.Identifier("analytics", function))
        day = TIMES[4].replace(hour=0, minute=0)
        assert len(auditor.execute(counted, (TENANTS[1], day)).fetchall()) == 1, function
        with tenant_context(app, TENANTS[0]):
            assert app.execute(counted, (TENANTS[0], day)).fetchall(), function
            # What a view calls, its reader may call too: of others it is given nothing.
            assert app.execute(counted, (TENANTS[1], day)).fetchall() == [], function


def test_a_refresh_leaves_one_note_of_the_running_day_however_many_wrote_to_it(cell: Cell) -> None:
    loader, migrator, auditor = cell.connect("loader"), cell.connect("migrator"), cell.connect("auditor")
    today = running_day()
    for _ in range(3):
        insert(loader, today)
        insert(loader, today, tenant=TENANTS[1])
    assert auditor.execute(CHANGED).fetchone() == (6, 6)
    for _ in range(2):
        migrator.execute("call analytics.refresh_rollups()")
        assert auditor.execute(CHANGED).fetchone() == (0, 2)
        assert differences(auditor) == []
    insert(loader, today + HOUR)
    assert differences(auditor) == []
