"""The aggregates as dbt builds them, of planted groups on both sides of the rule."""

import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import TupleRow

from orchestration import migrations
from orchestration.cells import routing
from orchestration.cells.shell_environment import dbt_environment
from orchestration.dbt.command import dbt_executable
from orchestration.engines.local import LocalEngines
from orchestration.publishing.publication import publish
from orchestration.publishing.rule import read_rule

Connection = psycopg.Connection[TupleRow]
Dbt = Callable[..., subprocess.CompletedProcess[str]]

HERE = Path(__file__).parent
TENANTS = [UUID(f"00000000-0000-0000-0000-0000000000e{number}") for number in range(1, 5)]
LOAD = UUID("00000000-0000-0000-0000-0000000000dd")
AS_OF = "2026-04-02T00:00:00Z"
# The rule's numbers that the planted groups were made for.
RULE = {"k": 10, "tenants": 3, "dominance_percent": 10, "rounding": 5, "settlement_days": 2}


@pytest.fixture(scope="module")
def built(cells: LocalEngines, prove: Callable[..., None]) -> Iterator[Connection]:
    """The cell after dbt has built the aggregates of the planted groups; cleared afterwards."""
    assert cells
    parameters = {"tenants": TENANTS, "load": LOAD}

    def execute(connection: Connection, file: str) -> None:
        psycopg.ClientCursor(connection).execute((HERE / file).read_bytes(), parameters)

    def clear(connection: Connection) -> None:
        execute(connection, "tenants_removal.sql")
        connection.execute("delete from geo.users where email like 'aggregate-%'")

    with routing.connect("na", "superuser", autocommit=True) as connection:
        clear(connection)
        execute(connection, "aggregates.sql")
        prove()
        done = run_dbt(
            *("build", "--select", "+path:models/marts/global", "--indirect-selection", "cautious"),
            *("--exclude-resource-type", "unit_test"),
        )
        assert done.returncode == 0, done.stdout
        yield connection
        clear(connection)


def run_dbt(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | dbt_environment("na")
    return subprocess.run(
        [dbt_executable(), "--no-use-colors", *arguments, "--vars", f'{{"as_of": "{AS_OF}"}}'],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode()).fetchall()


def test_the_planted_groups_were_made_for_the_projects_rule() -> None:
    rule = read_rule()
    assert {name: getattr(rule, name) for name in RULE} == RULE


def test_a_currency_that_is_too_small_stands_with_others_and_without_an_amount(built: Connection) -> None:
    found = rows(
        built, "select currency, persons, orders, revenue from marts.agg_daily_revenue where day = '2026-03-03'"
    )
    assert sorted(found) == [("EUR", 10, 10, 1200), ("other", 15, 15, None)]


def test_a_day_with_one_great_buyer_has_no_amount(built: Connection) -> None:
    found = rows(built, "select currency, revenue from marts.agg_daily_revenue where day = '2026-03-04'")
    assert found == [("other", None)]


def test_a_day_of_two_merchants_is_not_shown(built: Connection) -> None:
    assert rows(built, "select 1 from marts.agg_daily_revenue where day = '2026-03-05'") == []


def test_one_person_at_every_merchant_is_one_person(built: Connection) -> None:
    assert rows(built, "select 1 from marts.agg_daily_revenue where day = '2026-03-06'") == []


def test_what_was_held_back_is_counted_by_the_day_on_which_it_closed(built: Connection) -> None:
    found = rows(
        built,
        "select closes_on, groups, merged, suppressed from marts.agg_closed_periods"
        " where dataset = 'revenue' and groups > 0 order by closes_on",
    )
    assert found == [
        (date(2026, 3, 6), 3, 2, 0),
        (date(2026, 3, 7), 1, 1, 0),
        (date(2026, 3, 8), 1, 0, 1),
        (date(2026, 3, 9), 1, 0, 1),
    ]


def test_a_week_is_shown_at_the_finest_detail_of_which_every_group_may_be_shown(built: Connection) -> None:
    found = rows(
        built, "select week, detail, first_step, last_step, persons from marts.agg_funnel order by week, first_step"
    )
    assert found == [
        (date(2026, 3, 2), "conversion", 1, 3, 25),
        (date(2026, 3, 2), "conversion", 4, 4, 15),
        *((date(2026, 3, 9), "steps", step, step, 10) for step in range(1, 5)),
    ]


def test_cohorts_are_shown_where_those_who_stayed_away_are_enough_and_those_who_came_back_too(
    built: Connection,
) -> None:
    found = rows(built, "select cohort, weeks_later, persons from marts.agg_cohort_retention order by cohort")
    # Nobody of either came back: that would say so of each of them.
    assert found == [(date(2026, 3, 2), 0, 15), (date(2026, 3, 9), 0, 10)]


def test_nothing_of_a_person_or_a_merchant_is_a_column_of_what_leaves(built: Connection) -> None:
    columns = rows(
        built,
        "select distinct column_name from information_schema.columns"
        " where table_schema = 'marts' and table_name like 'agg\\_%' and data_type in ('uuid', 'bigint')",
    )
    assert {name for (name,) in columns} == {"persons", "orders", "groups", "merged", "suppressed"}


def test_role_app_reads_no_aggregate_and_the_publisher_reads_all(built: Connection) -> None:
    found = rows(
        built,
        "select has_table_privilege('app', c.oid, 'select'), has_table_privilege('publisher', c.oid, 'select')"
        " from pg_class as c"
        " where c.relnamespace = 'marts'::regnamespace and c.relname like 'agg\\_%' and c.relkind = 'r'",
    )
    assert found == [(False, True)] * 4


def _forget_what_is_published() -> None:
    """Empty database global, which other tests of this session publish into as well."""
    with routing.connect("control", "superuser", database="global", autocommit=True) as connection:
        connection.execute(
            "truncate publishing.publications, publishing.funnel, publishing.cohorts, publishing.revenue"
        )


def test_what_dbt_built_passes_the_border(built: Connection, prove: Callable[..., None]) -> None:
    assert built
    migrations.apply_control()
    _forget_what_is_published()
    prove()
    published = {name: publish("na", name) for name in ("funnel", "cohorts", "revenue")}
    assert {name: done.published for name, done in published.items()} == {"funnel": 6, "cohorts": 2, "revenue": 3}
    _forget_what_is_published()
