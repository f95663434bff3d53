"""Any order of partial loads, late arrivals, replays, re-runs and runs that died ends in the marts of one full rebuild.

dbt takes five seconds to start. It runs three times, for its SQL: that of a rebuild, of a run without days, and of a
run of days, with dates that stand for any others. What it compiled and executed is then executed many times.
"""

import json
import random
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import yaml
from psycopg.rows import TupleRow

from orchestration.cells.regions import Cell
from orchestration.cells.shell_environment import dbt_environment
from orchestration.persons.personal_rows import OF_USER
from orchestration.settings import PROJECT_ROOT

Dbt = Callable[..., subprocess.CompletedProcess[str]]
Connection = psycopg.Connection[TupleRow]
Row = tuple[Any, ...]

CELL: Cell = "na"
LOAD = UUID("00000000-0000-0000-0000-0000000000dd")
TENANTS = (UUID("00000000-0000-0000-0000-0000000000d1"), UUID("00000000-0000-0000-0000-0000000000d2"))
# In the order in which dbt builds them.
ACTIVITY = "intermediate.int_tenant_activity"
TRENDS = "marts.fct_event_trends"
MODELS = (
    "intermediate.int_tenant_days",
    "intermediate.int_event_sequences",
    "intermediate.int_first_touch",
    "intermediate.int_user_periods",
    "intermediate.int_funnel_paths",
    "intermediate.int_sessions",
    "marts.fct_cohort_retention",
    "marts.fct_event_trends",
    "marts.fct_funnel",
    "marts.fct_funnel_by_first_touch",
    "marts.fct_funnel_conversion",
    "marts.fct_sessions",
    "marts.fct_user_paths",
)
FUNNELS: list[dict[str, Any]] = [
    {"name": "short", "description": "d", "window_seconds": 7200, "steps": ["product_view", "purchase"]},
    {
        "name": "long",
        "description": "d",
        "window_seconds": 3 * 86400,
        "steps": ["page_view", "product_view", "page_view", "purchase"],
    },
    {
        "name": "strict",
        "description": "d",
        "window_seconds": 86400,
        "steps": ["page_view", {"type": None}, "purchase"],
        "mode": "strict",
        "exclusions": [{"type": "search", "from": 0, "to": 1}],
    },
]
# What is published is one of those that are configured.
PROJECT: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text())
COHORTS: list[dict[str, Any]] = [
    {
        "name": "buyers",
        "kind": "first_time",
        "target_event": "purchase",
        "return_event": "purchase",
        "periods": ["day", "week", "month"],
    },
    {
        "name": "searchers",
        "kind": "first_time",
        "target_event": "search",
        "return_event": {"type": None},
        "periods": ["day", "week"],
    },
    {
        "name": "seen_again",
        "kind": "recurring",
        "target_event": "purchase",
        "return_event": "page_view",
        "periods": ["month", "day"],
    },
    {
        "name": "not_lost",
        "kind": "rolling",
        "target_event": "purchase",
        "return_event": "purchase",
        "periods": ["week"],
    },
]
# What these do in the transaction that has refreshed them.
POST_HOOKS = {
    "marts.fct_funnel_by_first_touch": "update intermediate.int_first_touch set is_moved = false where is_moved",
    "marts.fct_cohort_retention": (
        "update intermediate.int_user_periods set stale_days = null where stale_days is not null"
    ),
}
STAND_IN = (date(2001, 1, 1), date(2001, 1, 2))
DAY = date(2026, 3, 2)
# A month apart: sums over 28 days, and days without anything between.
DAYS = [DAY + timedelta(days=n) for n in (0, 1, 2, 3, 4, 6, 29, 33)]
DIES_AFTER = 0.2


@dataclass(frozen=True)
class Program:
    """What dbt executes to build one model: the query of the new rows, and what it does with them."""

    model: str
    new_rows: str
    statements: str
    temporary: str


@dataclass(frozen=True)
class Programs:
    activity: str
    rebuild: Mapping[str, str]
    all_days: tuple[Program, ...]
    some_days: tuple[Program, ...]


def _compiled(kind: str, model: str) -> str:
    target = Path(dbt_environment(CELL)["DBT_TARGET_PATH"])
    files = (target / kind / "capstone" / "models").rglob(f"{model.partition('.')[2]}.sql")
    # What is compiled below the name of a YAML file are tests, which an earlier build has left there.
    (file,) = (file for file in files if not any(part.endswith(".yml") for part in file.parts))
    return file.read_text().strip()


def _program(model: str) -> Program:
    statements = _compiled("run", model)
    found = re.search(rf'"{model.partition(".")[2]}__dbt_tmp\d+"', statements)
    assert found, statements
    return Program(model, _compiled("compiled", model), statements, found[0])


@pytest.fixture(scope="module")
def programs(dbt: Dbt, prove: Callable[..., None]) -> Programs:
    def run(*arguments: str, **variables: Any) -> None:
        prove()
        names = [model.partition(".")[2] for model in (ACTIVITY, *MODELS)]
        done = dbt("run", "--select", "staging", *names, *arguments, "--vars", json.dumps(variables))
        assert done.returncode == 0, done.stdout

    published = {**PROJECT["vars"]["global_marts"], "funnel": FUNNELS[0]["name"], "cohort": COHORTS[0]["name"]}
    configured = {"funnels": FUNNELS, "cohorts": COHORTS, "global_marts": published}
    run("--full-refresh", **configured)
    rebuild = {model: _compiled("compiled", model) for model in MODELS}
    run(**configured)
    all_days = tuple(_program(model) for model in MODELS)
    run(**configured, start_day=STAND_IN[0].isoformat(), end_day=STAND_IN[1].isoformat())
    return Programs(_compiled("compiled", ACTIVITY), rebuild, all_days, tuple(_program(model) for model in MODELS))


@pytest.fixture
def empty(database: Connection, programs: Programs) -> Iterator[Connection]:  # noqa: ARG001 -- builds the tables
    """The cell without an event and without a row in a mart."""

    def clear() -> None:
        database.execute("delete from analytics.events where load_id = %s", (LOAD,))
        database.execute(f"truncate {', '.join((ACTIVITY, *MODELS))}".encode())

    clear()
    yield database
    clear()


def _activity(connection: Connection, programs: Programs) -> None:
    connection.execute(f"truncate {ACTIVITY}".encode())
    connection.execute(f"insert into {ACTIVITY} {programs.activity}".encode())


def run(connection: Connection, programs: Programs, days: tuple[date, date] | None, *, models: int = 99) -> None:
    """Do what a run of dbt does; one that dies has built only the first few models."""
    for program in (programs.all_days if days is None else programs.some_days)[:models]:
        texts = [program.new_rows, program.statements]
        for stand_in, day in zip(STAND_IN, days or STAND_IN, strict=True):
            texts = [text.replace(f"'{stand_in}'", f"'{day}'") for text in texts]
        with connection.transaction():
            connection.execute(f"create temporary table {program.temporary} on commit drop as {texts[0]}".encode())
            connection.execute(texts[1].encode())
            if program.model in POST_HOOKS:
                connection.execute(POST_HOOKS[program.model].encode())
        if program.model == MODELS[0]:
            _activity(connection, programs)


def contents(connection: Connection) -> dict[str, list[TupleRow]]:
    """Return all rows of all models, in an order that does not depend on how they were written."""
    return {
        model: connection.execute(f"select m::text from {model} as m order by 1".encode()).fetchall()
        for model in MODELS
    }


def rebuild(connection: Connection, programs: Programs) -> dict[str, list[TupleRow]]:
    connection.execute(f"truncate {', '.join(MODELS)}".encode())
    for model in MODELS:
        connection.execute(f"insert into {model} {programs.rebuild[model]}".encode())
        if model == MODELS[0]:
            _activity(connection, programs)
    return contents(connection)


def store(connection: Connection, rows: list[Row]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into analytics.events (time, tenant_id, event_id, session_id, user_id, event_type, device_type,"
            f" country, referrer, origin, load_id) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'synthetic', '{LOAD}')",
            rows,
        )


def _moment(chance: random.Random, day: date) -> datetime:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    # Close to midnights, to half hours and to each other: ties, limits of windows and of silence, days' ends.
    offset = chance.choice(
        (
            timedelta(0),
            timedelta(minutes=30 * chance.randrange(48)),
            timedelta(hours=23, minutes=chance.randrange(0, 60, 5)),
            timedelta(minutes=chance.randrange(0, 60, 10)),
            timedelta(days=1, microseconds=-1),
        )
    )
    return midnight + offset


def _event(chance: random.Random, day: date, *, long_visits: bool) -> Row:
    """Return an event of one of a few users; of long visits, one of a few visits that go on for days."""
    return (
        _moment(chance, day),
        TENANTS[0] if long_visits else chance.choice((TENANTS[0], TENANTS[0], TENANTS[1])),
        UUID(int=chance.getrandbits(128)),
        UUID(int=1) if long_visits else chance.choice((None, None, UUID(int=1), UUID(int=2))),
        1 if long_visits else chance.choice((1, 1, 2, 2, 3, None)),
        chance.choice(("page_view", "product_view", "purchase", "search")),
        chance.choice(("mobile", "desktop", None)),
        chance.choice(("US", "CA")),
        chance.choice((None, "https://www.example.com/a?b", "nowhere")),
    )


def _change(connection: Connection, chance: random.Random, day: date, *, long_visits: bool) -> None:
    """Load a day for the first time, load it again with other events, add late ones, or lose it."""
    if chance.random() < 0.5:
        connection.execute(
            "delete from analytics.events where load_id = %s and time >= %s::date::timestamp at time zone 'UTC'"
            " and time < (%s::date + 1)::timestamp at time zone 'UTC'",
            (LOAD, day, day),
        )
    store(connection, [_event(chance, day, long_visits=long_visits) for _ in range(chance.choice((0, 1, 3, 8)))])


@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_loads_and_runs_ends_in_the_full_rebuild(empty: Connection, programs: Programs, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 -- test data
    unproven: set[date] = set()
    long_visits = seed % 3 == 0
    if long_visits:
        store(empty, [_event(chance, day, long_visits=True) for day in DAYS[:5] for _ in range(4)])
        run(empty, programs, None)
    for _ in range(chance.randrange(3, 10)):
        for day in chance.sample(DAYS, chance.choice((1, 1, 2))):
            _change(empty, chance, day, long_visits=long_visits)
            unproven.add(day)
        if chance.random() < 0.1:
            run(empty, programs, None)
            unproven.clear()
            continue
        first = chance.choice(sorted(unproven) if chance.random() < 0.8 else DAYS)
        last = first + timedelta(days=chance.choice((0, 0, 1, 3)))
        if chance.random() < DIES_AFTER:
            run(empty, programs, (first, last), models=chance.randrange(len(MODELS)))
            continue
        run(empty, programs, (first, last))
        unproven = {day for day in unproven if not first <= day <= last}
    rest = sorted(unproven)
    chance.shuffle(rest)
    for day in rest:
        run(empty, programs, (day, day))
    incremental = contents(empty)
    rebuilt = rebuild(empty, programs)
    for model in MODELS:
        assert incremental[model] == rebuilt[model], model


@pytest.mark.parametrize("seed", range(12))
def test_the_figures_without_an_erased_shopper_are_those_of_a_rebuild(
    empty: Connection, programs: Programs, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 -- test data
    for day in DAYS:
        store(empty, [_event(chance, day, long_visits=False) for _ in range(chance.choice((3, 8, 12)))])
        if seed % 3 == 0:
            store(empty, [_event(chance, day, long_visits=True) for _ in range(4)])
    run(empty, programs, None)
    erased = (TENANTS[0], 1)
    days = [
        day
        for (day,) in empty.execute(
            "select distinct (time at time zone 'UTC')::date from analytics.events "
            "where tenant_id = %s and user_id = %s",
            erased,
        )
    ]
    # As capstone person erase does it.
    of_shopper = [name for name in OF_USER if name in MODELS]
    for relation in (*of_shopper, "analytics.events"):
        empty.execute(f"delete from {relation} where tenant_id = %s and user_id = %s".encode(), erased)
    for relation in of_shopper:
        query = f"select count(*) from {relation} where tenant_id = %s and user_id = %s"
        assert empty.execute(query.encode(), erased).fetchone() == (0,)

    if seed % 2:
        run(empty, programs, None)
    else:
        chance.shuffle(days)
        for day in days:
            run(empty, programs, (day, day))

    incremental = contents(empty)
    rebuilt = rebuild(empty, programs)
    for model in MODELS:
        assert incremental[model] == rebuilt[model], model


@pytest.mark.parametrize("days", [None, (DAYS[2], DAYS[2]), (DAYS[0], DAYS[2])], ids=["all", "first kept", "gone too"])
def test_what_was_made_of_events_that_retention_dropped_stays(
    empty: Connection, programs: Programs, days: tuple[date, date] | None
) -> None:
    chance = random.Random(1)  # noqa: S311 -- test data
    store(empty, [_event(chance, day, long_visits=False) for day in DAYS[:5] for _ in range(12)])
    run(empty, programs, None)

    def rows(model: str, condition: str) -> list[TupleRow]:
        query = f"select m::text from {model} as m where {condition} order by 1"
        return empty.execute(query.encode()).fetchall()

    kept_from = DAYS[2]
    gone = f"day < '{kept_from}'"
    # Cohorts have no day of their own; their bits stay.
    marts = [model for model in MODELS if model.startswith("marts.fct_") and "cohort" not in model]
    touches = "intermediate.int_first_touch"
    before = {model: rows(model, gone) for model in marts}
    first_touches = rows(touches, f"first_at < '{kept_from}Z'")
    assert all(before.values())
    assert first_touches
    empty.execute("select drop_chunks('analytics.events', older_than => %s::timestamptz)", (f"{kept_from}Z",))
    run(empty, programs, days)
    assert {model: rows(model, gone) for model in marts} == before
    assert rows(touches, f"first_at < '{kept_from}Z'") == first_touches
    # Of persons nothing is kept for longer than the events that it was made of, but where they first came from.
    assert not rows("intermediate.int_funnel_paths", gone)
    assert not rows("intermediate.int_sessions", f"ended_at < '{kept_from}Z'")


def _trends(connection: Connection, programs: Programs, days: tuple[date, date] | None) -> None:
    """Do what a run does of trends and of what they read."""

    def only(models: tuple[Program, ...]) -> tuple[Program, ...]:
        return tuple(program for program in models if program.model in (MODELS[0], TRENDS))

    run(connection, replace(programs, all_days=only(programs.all_days), some_days=only(programs.some_days)), days)


@pytest.mark.parametrize("seed", range(2))
def test_trends_of_months_that_came_in_any_order_are_those_of_one_rebuild(
    empty: Connection, programs: Programs, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 -- test data
    # Long enough that a day is in what is expected of another one three months later.
    days = [DAY + timedelta(days=n) for n in range(140) if chance.random() < 0.9]
    first, last = days[0], days[99]
    waiting = chance.sample(days[20:], 5)
    for day in days:
        if day not in waiting:
            store(empty, [_event(chance, day, long_visits=False) for _ in range(chance.randrange(12))])
    _trends(empty, programs, (first, last) if seed % 2 else None)
    for day in waiting:
        _change(empty, chance, day, long_visits=False)
        _trends(empty, programs, (day, day))
    for day in chance.sample(days, 2):
        empty.execute("delete from analytics.events where load_id = %s and time::date = %s", (LOAD, day))
        _trends(empty, programs, (day - timedelta(days=1), day))
    rows = f"select m::text from {TRENDS} as m order by 1".encode()
    incremental = empty.execute(rows).fetchall()
    scored = empty.execute(f"select count(*) from {TRENDS} where trend <> 'new'".encode()).fetchone()
    assert scored is not None
    assert scored[0] > 300
    _trends(empty, programs, None)
    assert empty.execute(rows).fetchall() == incremental
    empty.execute(f"truncate {TRENDS}".encode())
    empty.execute(f"insert into {TRENDS} {programs.rebuild[TRENDS]}".encode())
    assert empty.execute(rows).fetchall() == incremental
