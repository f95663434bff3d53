"""SQL macros rendered without dbt, and a cell with two tenants for dbt itself."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import TupleRow

from orchestration.analysis.render import render as render_macro
from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.cells.shell_environment import dbt_environment
from orchestration.dbt.command import dbt_executable
from orchestration.engines.local import LocalEngines

Render = Callable[..., str]
Connection = psycopg.Connection[TupleRow]
Row = tuple[Any, ...]


@pytest.fixture(scope="session")
def render() -> Render:
    """Return a function (file below macros/, macro's name, its arguments) -> SQL. dbt itself takes seconds a time."""
    return render_macro


@pytest.fixture(scope="module")
def events(cells: LocalEngines) -> Iterator[psycopg.Connection[TupleRow]]:  # noqa: ARG001 -- has to be running
    """A transformer's connection with an empty temporary table of events, in the shape that staging gives them."""
    with routing.connect("na", "transformer", autocommit=True) as connection:
        connection.execute(
            "create temporary table stream (tenant_id uuid not null, user_id bigint, occurred_at timestamptz not null,"
            " event_type text not null, properties jsonb not null default '{}')"
        )
        yield connection


CELL: Cell = "na"
TENANTS = (UUID("00000000-0000-0000-0000-0000000000d1"), UUID("00000000-0000-0000-0000-0000000000d2"))
LOAD = UUID("00000000-0000-0000-0000-0000000000dd")
FIRST_DAY = date(2026, 3, 2)
EVENT_TYPES = ("page_view", "product_view", "add_to_cart", "checkout_start", "purchase", "search")
HERE = Path(__file__).parent


def _prove(verdict: str = "green") -> None:
    with routing.connect(CELL, "superuser", autocommit=True) as connection:
        connection.execute(
            "insert into platform.proofs"
            " (proof_id, suite, verdict, catalog_digest, offenders, rules_run, started_at, finished_at)"
            " select gen_random_uuid(), suite, %s, platform.catalog_digest(), '[]', 1, now(), clock_timestamp()"
            " from unnest(array['tenant_isolation', 'geo_residency']) as suite",
            (verdict,),
        )


def _event(tenant: UUID, user: int | None, at: datetime, type_: str) -> Row:
    return (at, tenant, uuid4(), user, type_, "synthetic", LOAD)


def _store_events(events: Sequence[Row]) -> None:
    with routing.connect(CELL, "loader") as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into analytics.events (time, tenant_id, event_id, user_id, event_type, origin, load_id)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            events,
        )


def _random_day(day: date) -> list[Row]:
    chance = random.Random(day.toordinal())  # noqa: S311 -- test data
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return [
        _event(
            chance.choice(TENANTS),
            chance.choice([1, 2, 3, 4, None]),
            # Most of them late in the day, so that paths go on after midnight.
            start + timedelta(seconds=86399 * (1 - chance.random() ** 2)),
            chance.choice(EVENT_TYPES),
        )
        for _ in range(60)
    ]


@pytest.fixture(scope="session")
def prove() -> Callable[..., None]:
    """Return a function that writes a verdict for both suites; the proofs themselves are proven elsewhere."""
    return _prove


@pytest.fixture(scope="session")
def event() -> Callable[..., Row]:
    """Return a function (tenant, user, at, type) -> a row to store."""
    return _event


@pytest.fixture(scope="session")
def store_events() -> Callable[[Sequence[Row]], None]:
    """Return a function that stores rows in analytics.events."""
    return _store_events


@pytest.fixture(scope="session")
def random_day() -> Callable[[date], list[Row]]:
    """Return a function that makes a day's events, always the same for a day."""
    return _random_day


@pytest.fixture(scope="module")
def database(cells: LocalEngines) -> Iterator[Connection]:  # noqa: ARG001 -- has to be running
    """A connection to the cell with two tenants, shoppers, orders and three days of events; cleared afterwards."""
    parameters = {"tenants": list(TENANTS), "load": LOAD}

    def execute(connection: Connection, file: str) -> None:
        # A client-side cursor: several statements with parameters in one file.
        psycopg.ClientCursor(connection).execute((HERE / file).read_bytes(), parameters)

    with routing.connect(CELL, "superuser", autocommit=True) as connection:
        execute(connection, "tenants_removal.sql")
        execute(connection, "tenants.sql")
        for offset in range(3):
            _store_events(_random_day(FIRST_DAY + timedelta(days=offset)))
        yield connection
        execute(connection, "tenants_removal.sql")


@pytest.fixture(scope="module")
def dbt(database: Connection) -> Callable[..., subprocess.CompletedProcess[str]]:  # noqa: ARG001 -- has to be filled
    """Return a function (arguments, variables) that runs dbt as from a shell in which only the cell's variables are."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | dbt_environment(CELL) | more
        return subprocess.run(
            [dbt_executable(), "--no-use-colors", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run
