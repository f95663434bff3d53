"""The cohort marts as dbt builds them: what a run writes, what it leaves alone, and that figures are the orders'."""

import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import TupleRow

Dbt = Callable[..., subprocess.CompletedProcess[str]]
Prove = Callable[..., None]
Connection = psycopg.Connection[TupleRow]
Row = tuple[Any, ...]

TENANT = UUID("00000000-0000-0000-0000-0000000000d1")
FIRST_DAY = date(2026, 3, 2)
MARTS = ("fct_cohort_retention", "fct_revenue_cohorts", "fct_customer_lifetime_value")
SELECT = (
    "--select",
    "staging",
    "dim_tenants",
    "int_tenant_days",
    "int_tenant_activity",
    "int_user_periods",
    "int_customer_orders",
    *MARTS,
)
TESTED = (*SELECT, "--indirect-selection", "buildable")


@pytest.fixture(scope="module")
def built(dbt: Dbt, prove: Prove) -> Dbt:
    prove()
    done = dbt("build", *TESTED)
    assert done.returncode == 0, done.stdout
    return dbt


def versions(connection: Connection) -> dict[str, dict[str, str]]:
    """Return per mart each row as text and the transaction that wrote it."""
    return {
        mart: dict(connection.execute(f"select m::text, xmin::text from marts.{mart} as m").fetchall())
        for mart in MARTS
    }


def test_a_run_that_changes_nothing_writes_nothing(built: Dbt, database: Connection, prove: Prove) -> None:
    before = versions(database)
    assert all(before.values())
    prove()
    assert built("run", *SELECT).returncode == 0
    assert versions(database) == before


def test_a_late_first_event_moves_its_user_and_no_other_row(
    *,
    built: Dbt,
    database: Connection,
    prove: Prove,
    event: Callable[..., Row],
    store_events: Callable[[Sequence[Row]], None],
) -> None:
    day = FIRST_DAY + timedelta(days=2)
    store_events([event(TENANT, 77, datetime(day.year, day.month, day.day, 8, tzinfo=UTC), "purchase")])
    prove()
    assert built("run", *SELECT, "--vars", f"{{start_day: '{day}', end_day: '{day}'}}").returncode == 0
    before = versions(database)
    late = FIRST_DAY - timedelta(days=1)
    store_events([event(TENANT, 77, datetime(late.year, late.month, late.day, 8, tzinfo=UTC), "purchase")])
    prove()
    assert built("run", *SELECT, "--vars", f"{{start_day: '{late}', end_day: '{late}'}}").returncode == 0
    first_day = database.execute(
        "select first_day from intermediate.int_user_periods where tenant_id = %s and user_id = 77", (TENANT,)
    ).fetchone()
    assert first_day == (late,)
    after = versions(database)
    changed = set(after["fct_cohort_retention"].items()) ^ set(before["fct_cohort_retention"].items())
    assert changed
    assert all(row.startswith(f"({TENANT}") for row, _ in changed)
    assert after["fct_revenue_cohorts"] == before["fct_revenue_cohorts"]
    # Incrementally or at once: the same rows.
    prove()
    done = built("build", "--full-refresh", *TESTED)
    assert done.returncode == 0, done.stdout
    assert {mart: set(rows) for mart, rows in versions(database).items()} == {
        mart: set(rows) for mart, rows in after.items()
    }
    secured = database.execute(
        "select bool_and(relrowsecurity and relforcerowsecurity and has_table_privilege('app', oid, 'select'))"
        " from pg_class where oid = any(%s::regclass[])",
        ([f"marts.{mart}" for mart in MARTS],),
    ).fetchone()
    assert secured == (True,)


def test_revenue_of_cohorts_is_that_of_orders_that_stand(built: Dbt, database: Connection) -> None:  # noqa: ARG001
    row = database.execute(
        "select (select sum(revenue) from marts.fct_revenue_cohorts),"
        " (select sum(total_amount) from ecommerce.orders where status not in ('cancelled', 'refunded')),"
        " (select sum(revenue + cancelled_revenue) from marts.fct_revenue_cohorts),"
        " (select sum(total_amount) from ecommerce.orders)"
    ).fetchone()
    assert row is not None
    assert row[0] == row[1] > 0
    assert row[1] < row[2] <= row[3]
