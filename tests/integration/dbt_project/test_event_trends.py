"""The trends' generator against the formula written out in plain Python, over series with growth, gaps and floods."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from math import pi, sqrt
from statistics import median
from uuid import UUID

import jinja2
import psycopg
import pytest
from psycopg.rows import TupleRow

from orchestration.analysis.render import render
from orchestration.cells import routing
from orchestration.cells.shell_environment import DBT_PROJECT_DIR
from orchestration.engines.local import LocalEngines

Connection = psycopg.Connection[TupleRow]
Series = dict[date, int]

TENANT = UUID(int=1)
FIRST = date(2025, 12, 29)
LAST = FIRST + timedelta(days=150)
CORRECTION = {3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200}


@pytest.fixture(scope="module")
def counts(cells: LocalEngines) -> Iterator[Connection]:  # noqa: ARG001 -- has to be running
    with routing.connect("na", "transformer", autocommit=True) as connection:
        connection.execute(
            "create temporary table counts (tenant_id uuid, event_type text, day date, events bigint not null)"
        )
        yield connection


def trends(connection: Connection, series: dict[str, Series], wanted: str = "true") -> list[TupleRow]:
    connection.execute("truncate counts")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into counts values (%s, %s, %s, %s)",
            [(TENANT, name, day, events) for name, of in series.items() for day, events in of.items() if events],
        )
    query = render("trends/event_trends.sql", "event_trends", counts="counts", last_day=f"date '{LAST}'", wanted=wanted)
    columns = "event_type, day, events, events_week_before, baseline_weeks, expected, spread, score, trend"
    return connection.execute(f"select {columns} from {query} as t order by 1, 2".encode()).fetchall()


def by_hand(name: str, series: Series) -> list[tuple[object, ...]]:
    def week(day: date) -> list[date]:
        return [day - timedelta(days=n) for n in range(1, 8)]

    def is_there(day: date) -> bool:
        return any(series.get(day - timedelta(days=n)) for n in range(43))

    def level(day: date) -> int:
        return sum(series.get(each, 0) for each in week(day))

    rows: list[tuple[object, ...]] = []
    day = min(series)
    while day <= LAST:
        if is_there(day):
            events, before = series.get(day, 0), day - timedelta(days=7)
            pasts = [day - timedelta(days=7 * n) for n in range(1, 7)]
            shares = [
                series.get(past, 0) / level(past)
                for past in pasts
                if is_there(past) and is_there(past - timedelta(days=7)) and level(past)
            ]
            expected = spread = score = None
            trend = "new"
            if len(shares) >= 3:
                share = median(shares)
                expected = share * level(day)
                deviation = median(abs(each - share) for each in shares) * level(day)
                spread = sqrt(1 + pi / (2 * len(shares))) * max(
                    1.4826 * CORRECTION[len(shares)] * deviation, 2 * sqrt(expected), 0.05 * expected, 3
                )
                score = (events - expected) / spread
                trend = "high" if score > 3.5 else "low" if score < -3.5 else "usual"
            figures = [None if value is None else pytest.approx(value) for value in (expected, spread, score)]
            week_before = series.get(before, 0) if is_there(before) else None
            rows.append((name, day, events, week_before, len(shares), *figures, trend))
        day += timedelta(days=1)
    return rows


def a_series(chance: random.Random) -> Series:
    """Return counts with the week's rhythm and growth, of which some days, and sometimes weeks, are missing."""
    size, growth = chance.choice((0.3, 4, 50, 3000)), chance.choice((1.0, 1.01, 0.99))
    start = chance.randrange(60)
    gap = range(*sorted(chance.sample(range(150), 2))) if chance.random() < 0.5 else range(0)
    series: Series = {}
    for n in range(start, 151):
        if n in gap or chance.random() < 0.03:
            continue
        mean = size * growth**n * (2 if n % 7 >= 5 else 1) * (5 if chance.random() < 0.02 else 1)
        series[FIRST + timedelta(days=n)] = max(0, round(chance.gauss(mean, 2 * sqrt(mean))))
    return {day: events for day, events in series.items() if events}


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_what_the_formula_says(counts: Connection, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 -- test data
    series = {name: made for name in "abcdefgh" if (made := a_series(chance))}
    expected = [row for name in sorted(series) for row in by_hand(name, series[name])]
    assert {row[-1] for row in expected} >= {"usual", "new", "high"}
    assert trends(counts, series) == expected


def weekly(days: int, *, sunday: int = 300, growth: float = 1.0) -> Series:
    return {
        FIRST + timedelta(days=n): round((sunday if n % 7 == 6 else 100) * growth**n) for n in range(151 - days, 151)
    }


def newest(connection: Connection, series: Series) -> str:
    rows = trends(connection, {"click": series}, wanted=f"s.day = '{LAST}'")
    assert len(rows) == 1
    return str(rows[0][-1])


@pytest.mark.parametrize("growth", [0.97, 1.0, 1.03], ids=["shrinking", "steady", "growing"])
def test_neither_growth_nor_the_weeks_rhythm_is_unusual(counts: Connection, growth: float) -> None:
    series = weekly(100, growth=growth)
    rows = trends(counts, {"click": series})
    assert {row[-1] for row in rows} == {"new", "usual"}


@pytest.mark.parametrize(("factor", "trend"), [(0, "low"), (0.1, "low"), (1, "usual"), (2.5, "high")])
def test_a_day_that_breaks_the_rhythm_is_unusual(counts: Connection, factor: float, trend: str) -> None:
    series = weekly(60)
    series[LAST] = round(series[LAST] * factor)
    assert newest(counts, series) == trend


def test_two_unusual_weeks_of_six_do_not_hide_a_third(counts: Connection) -> None:
    series = weekly(100)
    for weeks in (1, 3):
        series[LAST - timedelta(weeks=weeks)] *= 4
    assert newest(counts, series) == "usual"
    series[LAST] *= 4
    assert newest(counts, series) == "high"


def test_a_type_that_nobody_sends_any_more_is_low_at_first_and_ends_after_six_weeks(counts: Connection) -> None:
    series = {day: events for day, events in weekly(120).items() if day <= LAST - timedelta(days=50)}
    rows = trends(counts, {"click": series})
    after = {row[1]: row for row in rows if row[1] > LAST - timedelta(days=50)}
    assert len(after) == 42
    assert [row[2] for row in after.values()] == [0] * 42
    assert after[LAST - timedelta(days=49)][-1] == "low"
    # A week later nothing is expected of it, so nothing is missing.
    assert after[LAST - timedelta(days=42)][-1] == "usual"


def test_one_visit_more_in_a_small_shop_is_nothing_unusual(counts: Connection) -> None:
    series = dict.fromkeys(weekly(100), 1)
    series[LAST] = 8
    assert newest(counts, series) == "usual"


# What dbt runs on the mart after it is built, on a table of these tests.
CHECK = jinja2.Template((DBT_PROJECT_DIR / "tests" / "fct_event_trends_newest_day_is_usual.sql").read_text()).render(
    config=lambda **_: "", ref=lambda _: "built"
)


@pytest.mark.parametrize(
    ("scored", "unusual", "warned"),
    [
        # Per tenant: how many types have a score, and how many of those are unusual.
        ([7] * 100, [2, 1, 1], 0),
        ([7] * 100, [4], 4),
        ([7] * 100, [0, 3], 0),
        ([3] * 100, [2], 0),
        ([7] * 100, [1] * 8, 8),
        ([], [], 0),
    ],
    ids=["chance", "one tenant", "less than half", "two of three", "a hundredth", "no rows"],
)
def test_the_check_warns_of_one_tenants_day_or_of_everybodys_and_not_of_chance(
    counts: Connection, scored: list[int], unusual: list[int], warned: int
) -> None:
    counts.execute(
        "create temporary table if not exists built"
        " (tenant_id uuid, event_type text, day date, score float, trend text)"
    )
    counts.execute("truncate built")
    for tenant, types in enumerate(scored):
        beyond = unusual[tenant] if tenant < len(unusual) else 0
        for number in range(types):
            row = (UUID(int=tenant), f"type {number}", LAST, 9.0 if number < beyond else 0.1)
            counts.execute(
                "insert into built values (%s, %s, %s, %s, case when %s > 3.5 then 'high' else 'usual' end)",
                (*row, row[-1]),
            )
    # Older days say nothing.
    counts.execute(
        "insert into built select tenant_id, event_type, %s, 9, 'high' from built", (LAST - timedelta(days=1),)
    )
    assert len(counts.execute(CHECK.encode()).fetchall()) == warned
