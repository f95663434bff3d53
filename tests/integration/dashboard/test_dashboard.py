"""Every query of the dashboard is what plain Python counts from the stored rows, of its own tenant and of no other."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from orchestration.cells import endpoints
from orchestration.cells.tenant_pool import AsyncTenantPool, TenantPool
from orchestration.dashboard.answers import DashboardUnavailableError, ask, ask_all, ask_all_async
from orchestration.dashboard.queries import NAMES, Question, statement
from tests.integration.dashboard.conftest import AT, MIDNIGHT, Event, Shop

DAY = timedelta(days=1)
TOMORROW = MIDNIGHT + DAY
FUNNEL = ("product_view", "add_to_cart", "checkout_start", "purchase")
Rows = list[tuple[Any, ...]]


def rows(pool: TenantPool, tenant: UUID, name: str, **options: Any) -> Rows:
    return list(ask(pool, tenant, Question(name, AT, **options)).rows)


@pytest.mark.parametrize("event_type", [None, "purchase", "nobody's"])
@pytest.mark.parametrize(
    ("name", "unit", "last"),
    [
        ("events_per_minute", timedelta(minutes=1), 90),
        ("events_per_hour", timedelta(hours=1), 48),
        ("events_per_day", DAY, 30),
        ("events_per_day", DAY, 1),
    ],
)
def test_events_per_time_are_the_rows_of_each_and_zero_where_there_are_none(
    *, shop: Shop, pool: TenantPool, name: str, unit: timedelta, last: int, event_type: str | None
) -> None:
    stop = MIDNIGHT + ((AT - MIDNIGHT) // unit + 1) * unit
    for tenant in shop.tenants:
        counted = Counter(
            (event.time - MIDNIGHT) // unit
            for event in shop.of(tenant, stop - last * unit, stop)
            if event_type in (None, event.type)
        )
        starts = [stop - n * unit for n in range(last, 0, -1)]
        expected = [(start.date() if unit == DAY else start, counted[(start - MIDNIGHT) // unit]) for start in starts]
        assert rows(pool, tenant, name, last=last, event_type=event_type) == expected


@pytest.mark.parametrize("limit", [3, 100])
@pytest.mark.parametrize(
    ("name", "options", "start", "stop"),
    [
        ("top_pages", {"last": 14}, MIDNIGHT - 14 * DAY, MIDNIGHT),
        ("top_pages_today", {}, MIDNIGHT, TOMORROW),
    ],
    ids=["complete days", "today"],
)
def test_top_pages_are_the_most_viewed_with_their_users_of_each_day(
    *, shop: Shop, pool: TenantPool, name: str, options: dict[str, int], start: datetime, stop: datetime, limit: int
) -> None:
    for tenant in shop.tenants:
        views: Counter[str | None] = Counter()
        visitors: dict[str | None, set[tuple[date, int]]] = defaultdict(set)
        for event in shop.of(tenant, start, stop):
            if event.type == "page_view":
                views[event.page] += 1
                if event.user is not None:
                    visitors[event.page].add((event.time.date(), event.user))
        total = sum(views.values())
        ordered = sorted(views.items(), key=lambda item: (-item[1], item[0] is None, item[0] or ""))
        expected = [(page, count, len(visitors[page]), count / total) for page, count in ordered[:limit]]
        assert rows(pool, tenant, name, limit=limit, **options) == expected


def test_active_users_are_exact_and_count_a_user_once(shop: Shop, pool: TenantPool) -> None:
    for tenant in shop.tenants:

        def users(days: int, tenant: UUID = tenant) -> int:
            events = shop.of(tenant, TOMORROW - days * DAY, TOMORROW)
            return len({event.user for event in events} - {None})

        assert rows(pool, tenant, "active_users") == [(AT.date(), users(1), users(7), users(30), users(1) / users(30))]
        per_day = {
            MIDNIGHT.date() - n * DAY: len(
                {e.user for e in shop.of(tenant, TOMORROW - (n + 1) * DAY, TOMORROW - n * DAY)} - {None}
            )
            for n in range(30)
        }
        assert rows(pool, tenant, "active_users_per_day") == sorted(per_day.items())


@pytest.mark.parametrize(
    ("name", "value"),
    [("device_split", lambda event: event.device), ("country_split", lambda event: event.country)],
    ids=["device", "country"],
)
@pytest.mark.parametrize("event_type", [None, "search"])
def test_splits_add_up_to_all_events(
    *, shop: Shop, pool: TenantPool, name: str, value: Callable[[Event], str | None], event_type: str | None
) -> None:
    for tenant in shop.tenants:
        events = [e for e in shop.of(tenant, TOMORROW - 30 * DAY, TOMORROW) if event_type in (None, e.type)]
        counted = Counter(value(event) or "unknown" for event in events)
        found = rows(pool, tenant, name, event_type=event_type)
        assert {name: events for name, events, _ in found} == counted
        assert [events for _, events, _ in found] == sorted(counted.values(), reverse=True)
        assert [share for _, _, share in found] == [count / len(events) for _, count, _ in found]


def _depth(times: dict[str, list[datetime]]) -> int:
    """Return the steps of the longest path that starts on the day, lasts at most a day and never goes back in time."""
    deepest = 0
    for start in times["product_view"]:
        if start < MIDNIGHT:
            continue
        at, depth = start, 1
        for step in FUNNEL[1:]:
            later = [time for time in times[step] if at <= time <= start + DAY]
            if not later:
                break
            at, depth = min(later), depth + 1
        deepest = max(deepest, depth)
    return deepest


def test_the_funnel_of_today_counts_each_users_longest_path_that_began_today(shop: Shop, pool: TenantPool) -> None:
    for tenant in shop.tenants:
        times: dict[int, dict[str, list[datetime]]] = defaultdict(lambda: defaultdict(list))
        for event in shop.of(tenant, MIDNIGHT, TOMORROW + DAY):
            if event.user is not None:
                times[event.user][event.type].append(event.time)
        depths = [_depth(of_user) for of_user in times.values()]
        users = [sum(depth >= step for depth in depths) for step in range(1, 5)]
        assert users[0] > users[-1] > 0
        found = rows(pool, tenant, "funnel_today")
        assert [row[:4] for row in found] == [
            (step, FUNNEL[step - 1], users[step - 1], users[step - 1] / users[0]) for step in range(1, 5)
        ]
        # Nothing of the day before is in it, and yesterday's may go on today.
        assert found != list(ask(pool, tenant, Question("funnel_today", AT - DAY)).rows)


def test_conversion_has_every_day_and_its_rate_over_seven_is_a_ratio_of_sums(shop: Shop, pool: TenantPool) -> None:
    def entered(days_ago: int, base: int) -> int:
        return 0 if days_ago in (4, 5, 12) else days_ago + base

    def converted(days_ago: int) -> int:
        return 0 if days_ago in (4, 5, 12) else days_ago % 3

    for tenant, base in zip(shop.tenants, (10, 90), strict=True):
        expected = []
        for ago in range(29, -1, -1):
            week = range(ago, ago + 7)
            share = sum(map(converted, week)) / sum(entered(n, base) for n in week)
            there = entered(ago, base) > 0
            expected.append(
                (
                    MIDNIGHT.date() - ago * DAY,
                    entered(ago, base),
                    converted(ago),
                    converted(ago) / entered(ago, base) if there else None,
                    pytest.approx(share),
                    ago > 1 if there else None,
                )
            )
        assert rows(pool, tenant, "conversion_trend") == expected


def test_retention_shows_the_latest_weekly_cohorts_of_one_configured_cohort(shop: Shop, pool: TenantPool) -> None:
    for tenant, size in zip(shop.tenants, (50, 500), strict=True):
        found = rows(pool, tenant, "retention_glance", last=4)
        assert [(cohort, week, of, users) for cohort, week, of, users, *_ in found] == [
            (date(2026, 3, 9) - 7 * ago * DAY, week, size, size - week)
            for ago in (3, 2, 1, 0)
            for week in range(ago + 1)
        ]
        assert {row[-1] for row in found} == {True, False}


def test_trends_are_of_the_newest_complete_day_the_most_unusual_first(shop: Shop, pool: TenantPool) -> None:
    for tenant, events in zip(shop.tenants, (10, 90), strict=True):
        found = rows(pool, tenant, "event_trends")
        assert [row[:3] for row in found] == [
            (name, date(2026, 3, 10), events) for name in ("search", "click", "purchase")
        ]
        # As of the day before, its own day is not over.
        earlier = ask(pool, tenant, Question("event_trends", AT - DAY)).rows
        assert {row[1] for row in earlier} == {date(2026, 3, 9)}


@pytest.mark.parametrize("name", NAMES)
def test_a_tenant_without_events_sees_nothing_of_others(shop: Shop, pool: TenantPool, name: str) -> None:
    seen = ask(pool, shop.tenants[0], Question(name, AT)).rows
    assert any(isinstance(value, int) and value > 0 for row in seen for value in row)
    unseen = ask(pool, shop.empty, Question(name, AT)).rows
    assert not any(isinstance(value, int | float) and value for row in unseen for value in row)


@pytest.mark.parametrize("name", NAMES)
def test_two_tenants_answers_differ_and_no_context_has_no_rows(shop: Shop, pool: TenantPool, name: str) -> None:
    first, second = (ask(pool, tenant, Question(name, AT)).rows for tenant in shop.tenants)
    assert first != second
    asked = statement(Question(name, AT))
    with pool._pool.connection() as connection:  # a session as app that nobody entered
        unseen = connection.execute(asked.text, asked.parameters, prepare=False).fetchall()
    assert not any(isinstance(value, int | float) and value for row in unseen for value in row)


@pytest.mark.parametrize(
    ("name", "chunks"),
    [
        ("events_per_minute", 1),
        ("funnel_today", 1),
        ("top_pages_today", 1),
        ("active_users", 1),
        ("active_users_per_day", 1),
        ("events_per_day", 1),
        ("device_split", 1),
        ("country_split", 1),
        # Of days that are over: those that changed are no part of the plan.
        ("top_pages", 0),
    ],
)
def test_a_query_plans_no_more_chunks_of_events_than_todays(
    shop: Shop, pool: TenantPool, name: str, chunks: int
) -> None:
    asked = statement(Question(name, AT))
    with pool.tenant(shop.tenants[0]) as connection:
        plan = connection.execute(b"explain " + asked.text, asked.parameters, prepare=False).fetchall()
    words = {word for (line,) in plan for word in line.split()}
    # The events are the first hypertable that a cell makes.
    assert len({word for word in words if word.startswith("_hyper_1_") and "idx" not in word}) == chunks, plan


def test_tasks_get_the_answers_that_threads_get(shop: Shop, pool: TenantPool) -> None:
    questions = [Question(name, AT) for name in NAMES]

    async def asked() -> list[Any]:
        async with AsyncTenantPool(endpoints.dsn("na", "app", settings=shop.settings)) as tasks:
            return await ask_all_async(tasks, shop.tenants[0], questions)

    assert asyncio.run(asked()) == ask_all(pool, shop.tenants[0], questions)


def test_a_mart_that_is_not_built_is_named_with_the_way_out(shop: Shop, pool: TenantPool) -> None:
    from orchestration.cells import routing

    with routing.connect("na", "superuser", autocommit=True, settings=shop.settings) as connection:
        connection.execute("alter table marts.fct_event_trends rename to gone")
        try:
            with pytest.raises(DashboardUnavailableError, match=r"fct_event_trends is not there yet: `capstone up`"):
                ask(pool, shop.tenants[0], Question("event_trends", AT))
        finally:
            connection.execute("alter table marts.gone rename to fct_event_trends")


def test_times_come_in_utc(shop: Shop, pool: TenantPool) -> None:
    answer = ask(pool, shop.tenants[0], Question("events_per_hour", AT.astimezone(UTC), last=1))
    assert answer.as_json()["rows"][0]["hour"] == "2026-03-11T15:00:00+00:00"
