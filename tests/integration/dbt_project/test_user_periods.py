"""Kept period bitmaps: any order of loads and runs ends in what a rebuild gives, and retention from them is exact."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import TupleRow

Render = Callable[..., str]
Connection = psycopg.Connection[TupleRow]
Days = set[tuple[UUID, int, str, date]]

TENANTS = (UUID(int=1), UUID(int=2))
STEPS = ("T", "R")
# The turn of a year, a leap day, and months apart: weeks and months of every length, more than a word of 60 days.
DAYS = [date(2024, 12, 28) + timedelta(days=n) for n in range(8)] + [date(2024, 2, 29), date(2025, 3, 31)]
KEPT = "(select tenant_id, user_id, step, first_day, last_day, day_bits, week_bits, month_bits from {})"
NEW_ROWS = "new_rows"


def periods_query(render: Render, days: tuple[date, date | None], *, kept: str | None) -> str:
    first, last = days
    end = f"date '{last}'" if last else "null::date"
    bounds = (
        f"(select t.tenant_id, s.step, date '{first}' as from_day, {end} as to_day"
        " from (select distinct tenant_id from all_tenants) as t cross join (values ('T'), ('R')) as s (step))"
    )
    events = (
        "(select tenant_id, user_id, event_type as step, (occurred_at at time zone 'UTC')::date as day from stream)"
    )
    return render("cohort/user_periods.sql", "user_periods", events=events, bounds=bounds, kept=kept)


def run(connection: Connection, render: Render, first: date, last: date | None) -> None:
    """Do what the strategy does with the days of one run."""
    query = periods_query(render, (first, last), kept="kept")
    with connection.transaction():
        connection.execute(f"create temporary table {NEW_ROWS} on commit drop as select * from {query} as p".encode())
        connection.execute(
            f"delete from kept as t using {NEW_ROWS} as n"
            " where t.tenant_id = n.tenant_id and t.user_id = n.user_id and t.step = n.step".encode()
        )
        connection.execute(
            "delete from kept where first_day >= %(first)s and last_day <= coalesce(%(last)s, last_day)",
            {"first": first, "last": last},
        )
        connection.execute(f"insert into kept select * from {NEW_ROWS}".encode())


def rows(connection: Connection, relation: str) -> list[Any]:
    return connection.execute(f"select p::text from {relation} as p order by 1".encode()).fetchall()


def _period(period: str, day: date) -> date:
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day


def _periods(period: str, first: date, last: date) -> list[date]:
    found = [_period(period, first)]
    while found[-1] < _period(period, last):
        step = {"day": 1, "week": 7, "month": 31}[period]
        found.append(_period(period, found[-1] + timedelta(days=step)))
    return found


def brute_force(active: Days, period: str, kind: str, first: date, last: date) -> dict[tuple[UUID, date], list[int]]:
    """The definition, word by word, for target T and return R or T."""
    periods = _periods(period, first, last)
    found = {}
    for tenant in TENANTS:
        target, back = (
            {(u, _period(period, day)) for t, u, step, day in active if t == tenant and step == wanted}
            for wanted in STEPS
        )
        for index, cohort in enumerate(periods):
            users = {u for u, at in target if at == cohort}
            if kind == "first_time":
                users -= {u for u, at in target if at < cohort}
            if not users:
                continue
            later = periods[index + 1 :]
            found[tenant, cohort] = [len(users)] + [
                sum(any((u, at) in back for at in (later[j:] if kind == "rolling" else [later[j]])) for u in users)
                for j in range(len(later))
            ]
    return found


def retention(
    connection: Connection, render: Render, *, period: str, kind: str, first: date, last: date, back: str = "R"
) -> dict[tuple[UUID, date], list[int]]:
    query = render(
        "cohort/cohort_retention.sql",
        "cohort_retention_of_kept",
        kind=kind,
        period=period,
        targets="(select * from kept where step = 'T')",
        returns=f"(select * from kept where step = '{back}')",
        ranges=f"(select tenant_id, date '{_period(period, first)}' as first_period,"
        f" date '{_period(period, last)}' as last_period from (select distinct tenant_id from all_tenants) as t)",
    )
    found: dict[tuple[UUID, date], list[int]] = {}
    for tenant, cohort, offset, size, users in connection.execute(
        f"select * from {query} as r order by tenant_id, cohort, period_offset".encode()
    ).fetchall():
        counts = found.setdefault((tenant, cohort), [])
        assert offset == len(counts)
        counts.append(users)
        assert size == counts[0]
    return found


@pytest.fixture
def empty(events: Connection) -> Connection:
    events.execute("truncate stream; drop table if exists kept, all_tenants")
    events.execute(
        "create temporary table kept (tenant_id uuid, user_id bigint, step text, first_day date, last_day date,"
        " day_bits bit varying, week_bits bit varying, month_bits bit varying, stale_days datemultirange,"
        " primary key (tenant_id, user_id, step))"
    )
    events.execute("create temporary table all_tenants as select unnest(%s::uuid[]) as tenant_id", (list(TENANTS),))
    return events


def _store(connection: Connection, added: Sequence[tuple[UUID, int | None, datetime, str]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("insert into stream values (%s, %s, %s, %s)", added)


def _change(connection: Connection, chance: random.Random, day: date) -> None:
    """Load a day, load it again with other events, add late ones, or lose it."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if chance.random() < 0.5:
        connection.execute(
            "delete from stream where occurred_at >= %s and occurred_at < %s", (midnight, midnight + timedelta(days=1))
        )
    moments = (timedelta(0), timedelta(hours=12), timedelta(days=1, microseconds=-1))
    _store(
        connection,
        [
            (
                chance.choice(TENANTS),
                chance.choice((1, 2, 3, 4, None)),
                midnight + chance.choice(moments),
                chance.choice((*STEPS, "other")),
            )
            for _ in range(chance.choice((0, 1, 3, 6)))
        ],
    )


@pytest.mark.parametrize("seed", range(60))
def test_any_order_of_loads_and_runs_ends_in_a_rebuild_and_in_brute_force(
    empty: Connection, render: Render, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 -- test data
    unproven: set[date] = set()
    for _ in range(chance.randrange(2, 9)):
        for day in chance.sample(DAYS, chance.choice((1, 1, 2, 3))):
            _change(empty, chance, day)
            unproven.add(day)
        first = chance.choice(sorted(unproven) if chance.random() < 0.8 else DAYS)
        last = None if chance.random() < 0.1 else first + timedelta(days=chance.choice((0, 0, 1, 3, 90)))
        run(empty, render, first, last)
        unproven = {day for day in unproven if day < first or (last is not None and day > last)}
    rest = sorted(unproven)
    chance.shuffle(rest)
    for day in rest:
        run(empty, render, day, day)
    rebuilt = periods_query(render, (min(DAYS), None), kept=None)
    assert rows(empty, KEPT.format("kept")) == rows(empty, KEPT.format(f"{rebuilt} as p"))

    active: Days = {
        (tenant, user, step, day)
        for tenant, user, step, day in empty.execute(
            "select tenant_id, user_id, event_type, (occurred_at at time zone 'UTC')::date from stream"
            " where user_id is not null"
        ).fetchall()
    }
    first, last = sorted(chance.sample(DAYS, 2))
    for kind in ("first_time", "recurring", "rolling"):
        for period in ("day", "week", "month"):
            found = retention(empty, render, period=period, kind=kind, first=first, last=last)
            assert found == brute_force(active, period, kind, first, last), (kind, period)
            # The same step twice takes another way.
            same = {(t, u, s, d) for t, u, step, d in active if step == "T" for s in STEPS}
            found = retention(empty, render, period=period, kind=kind, first=first, last=last, back="T")
            assert found == brute_force({(t, u, s, d) for t, u, s, d in same}, period, kind, first, last)


def test_a_day_that_is_no_longer_kept_stays_in_the_bits(empty: Connection, render: Render) -> None:
    old, new = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC)
    _store(empty, [(TENANTS[0], 1, old, "T"), (TENANTS[0], 1, new, "T"), (TENANTS[0], 2, old, "T")])
    run(empty, render, old.date(), None)
    before = rows(empty, "kept")
    empty.execute("delete from stream where occurred_at < %s", (new,))
    run(empty, render, new.date(), None)
    assert rows(empty, "kept") == before


def test_a_run_touches_only_users_of_its_days(empty: Connection, render: Render) -> None:
    day, later = datetime(2024, 3, 1, 5, tzinfo=UTC), datetime(2024, 3, 9, tzinfo=UTC)
    _store(empty, [(TENANTS[0], user, day, "T") for user in (1, 2)] + [(TENANTS[0], 3, later, "T")])
    run(empty, render, day.date(), None)
    query = "select user_id, xmin::text from kept order by 1"
    before: dict[int, str] = dict(empty.execute(query).fetchall())
    empty.execute("delete from stream where user_id = 2")
    run(empty, render, later.date(), later.date())
    after: dict[int, str] = dict(empty.execute(query).fetchall())
    # User 2's events of another day are gone; that day's run will see to it.
    assert {user for user in before if before[user] != after[user]} == {3}
    run(empty, render, day.date(), day.date())
    assert set(dict(empty.execute(query).fetchall())) == {1, 3}


@pytest.mark.parametrize("seed", range(15))
def test_the_days_that_have_changed_are_marked_until_somebody_takes_the_marks_away(
    empty: Connection, render: Render, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 -- test data
    for _ in range(3):
        for day in chance.sample(DAYS, 4):
            _change(empty, chance, day)
            run(empty, render, day, day)
    empty.execute("update kept set stale_days = null")
    before = _active_days(empty)
    marked: dict[Any, set[date]] = {}
    for day in chance.sample(DAYS, 4):
        _change(empty, chance, day)
        earlier = _active_days(empty)
        run(empty, render, day, day + timedelta(days=chance.choice((0, 2))))
        for user, days in _active_days(empty).items():
            # A user without any day loses its row, and the marks with it.
            known = earlier.get(user, set())
            kept = marked.get(user, set()) if known else set()
            marked[user] = (
                kept | (days ^ known) | ({min(days), min(known)} if known and min(days) != min(known) else set())
            )
    after = _active_days(empty)
    stale: dict[str, list[date]] = dict(
        empty.execute(
            "select (tenant_id, user_id, step)::text, array(select generate_series(lower(r)::timestamp, upper(r) - 1,"
            " interval '1 day')::date from unnest(stale_days) as r) from kept"
        ).fetchall()
    )
    assert {user: set(days) for user, days in stale.items()} == {user: marked.get(user, set()) for user in after}
    assert all(stale[user] for user in after if after[user] != before.get(user))


def _active_days(connection: Connection) -> dict[str, set[date]]:
    """Return the days of each kept row."""
    found: dict[str, set[date]] = {}
    for user, day in connection.execute(
        "select (tenant_id, user_id, step)::text, first_day + n from kept"
        " cross join lateral generate_series(0, length(day_bits) - 1) as n where get_bit(day_bits, n) = 1"
    ).fetchall():
        found.setdefault(user, set()).add(day)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_the_difference_is_applied_and_nothing_else_is_written(events: Connection, render: Render, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 -- test data
    events.execute("drop table if exists target, result")
    events.execute("create temporary table target (a int, b text, x numeric, y text, primary key (a, b))")
    events.execute("create temporary table result (a int, b text, x numeric, y text)")

    def new_rows() -> dict[tuple[int, str], tuple[Any, Any]]:
        keys = chance.sample([(a, b) for a in range(4) for b in ("p", "q")], chance.randrange(9))
        return {key: (chance.choice((None, 1, 2)), chance.choice((None, "u", "v"))) for key in keys}

    statements = render(
        "incremental/apply_difference.sql",
        "apply_difference",
        target="target",
        result="result",
        keys=["a", "b"],
        columns=["a", "b", "x", "y"],
    )
    before: dict[tuple[int, str], tuple[Any, Any]] = {}
    for wanted in (new_rows(), new_rows(), new_rows()):
        written: dict[str, str] = dict(events.execute("select (a, b)::text, xmin::text from target").fetchall())
        events.execute("truncate result")
        with events.cursor() as cursor:
            cursor.executemany("insert into result values (%s, %s, %s, %s)", [(*k, *v) for k, v in wanted.items()])
        with events.transaction():
            events.execute(statements.encode())
        stored = events.execute("select a, b, x, y, xmin::text from target").fetchall()
        assert {(a, b): (x, y) for a, b, x, y, _ in stored} == wanted
        for a, b, _, _, version in stored:
            unchanged = before.get((a, b)) == wanted[a, b] and (a, b) in before
            assert (written.get(f"({a},{b})") == version) == unchanged
        before = wanted
