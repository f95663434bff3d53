"""Publishing on real servers: the gate, the border, once and for good, and what is seen of a cell that is away."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import psutil
import psycopg
import pytest

from orchestration import migrations
from orchestration.cells import routing
from orchestration.cells.endpoints import GLOBAL_DATABASE
from orchestration.cells.regions import CELLS
from orchestration.cells.routing import CellUnavailableError
from orchestration.publishing import standing
from orchestration.publishing.border import BorderError
from orchestration.publishing.datasets import UndeclaredDatasetError
from orchestration.publishing.publication import GateClosedError, NotBuiltError, publish
from tests.integration.publishing.conftest import Publishing

DAY = date(2026, 3, 4)
CLOSES = DAY + timedelta(days=3)
MONDAY = date(2026, 3, 2)


def revenue(day: date = DAY, currency: str = "EUR", persons: int = 20, amount: Any = 100) -> tuple[Any, ...]:
    return (day + timedelta(days=3), day, currency, persons, persons, amount)


def a_day(world: Publishing, *rows: tuple[Any, ...], closes_on: date = CLOSES) -> None:
    world.fill("revenue", rows or [revenue()])
    world.close("revenue", closes_on, groups=len(rows) or 1)


# --- what is published


def test_what_has_settled_is_published_with_its_cell_and_when_it_was_built(world: Publishing) -> None:
    a_day(world, revenue(), revenue(currency="other", amount=None))
    done = publish("na", "revenue")
    assert (done.published, done.groups, done.suppressed) == (2, 2, 0)
    assert [row[1] for row in world.published("revenue")] == ["EUR", "other"]
    found = world.standing("revenue")
    assert (found.state, found.published, found.closed_through) == ("fresh", 2, CLOSES)
    assert found.as_of == done.as_of


def test_a_second_refresh_adds_nothing_and_says_that_the_cell_was_there(world: Publishing) -> None:
    a_day(world)
    publish("na", "revenue")
    before = world.published("revenue")
    again = publish("na", "revenue")
    assert (again.published, again.groups) == (0, 0)
    assert world.published("revenue") == before
    assert world.standing("revenue").refreshes == 2


def test_a_period_that_was_published_is_never_published_with_another_value(world: Publishing) -> None:
    a_day(world, revenue(persons=25))
    publish("na", "revenue")
    # One more person came late, or one was erased: either would show in the difference.
    a_day(world, revenue(persons=30))
    assert publish("na", "revenue").published == 0
    assert [row[2] for row in world.published("revenue")] == [25]


def test_a_period_that_closed_without_a_group_is_not_published_when_late_rows_make_one(world: Publishing) -> None:
    world.close("revenue", CLOSES, groups=1, suppressed=1)
    assert publish("na", "revenue").suppressed == 1
    a_day(world)
    assert publish("na", "revenue").published == 0
    assert world.published("revenue") == []
    assert world.standing("revenue").suppressed == 1


def test_later_periods_are_added_to_those_before(world: Publishing) -> None:
    a_day(world)
    publish("na", "revenue")
    next_day = DAY + timedelta(days=1)
    a_day(world, revenue(), revenue(next_day), closes_on=CLOSES + timedelta(days=1))
    assert publish("na", "revenue").published == 1
    assert [row[0] for row in world.published("revenue")] == [DAY, next_day]


def test_two_refreshes_at_once_publish_a_period_once(world: Publishing) -> None:
    a_day(world)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: publish("na", "revenue"), range(4)))
    assert sorted(each.published for each in done) == [0, 0, 0, 1]
    assert len(world.published("revenue")) == 1


def test_a_cohorts_return_is_withheld_when_too_few_of_the_published_cohort_are_left(world: Publishing) -> None:
    first, second = MONDAY + timedelta(days=9), MONDAY + timedelta(days=16)
    world.fill("cohorts", [(first, "first_purchase", MONDAY, 0, 30)])
    world.close("cohorts", first, groups=1)
    publish("na", "cohorts")
    # Late rows have enlarged the cohort in the cell, which lets more come back than the published one can spare.
    world.fill("cohorts", [(first, "first_purchase", MONDAY, 0, 45), (second, "first_purchase", MONDAY, 1, 25)])
    world.close("cohorts", second, groups=1)
    done = publish("na", "cohorts")
    assert (done.published, done.withheld) == (0, 1)
    assert world.published("cohorts") == [("first_purchase", MONDAY, 0, 30)]


# --- what is refused


@pytest.mark.parametrize(
    ("verdict", "minutes_ago", "reason"),
    [("red", 0, "is violated"), ("error", 0, "could not be proven"), ("green", 61, "was proven 61 minutes ago")],
)
def test_nothing_leaves_through_a_gate_that_is_not_open(
    world: Publishing, verdict: str, minutes_ago: int, reason: str
) -> None:
    a_day(world)
    world.prove(verdict=verdict, minutes_ago=minutes_ago)
    with pytest.raises(GateClosedError, match=f"the gate of cell 'na' is closed: .*{reason}.*capstone verify all"):
        publish("na", "revenue")
    assert world.published("revenue") == []
    assert world.standing("revenue").state == "never"


def test_nothing_leaves_a_cell_that_was_never_proven(world: Publishing) -> None:
    a_day(world)
    world.forget_proofs()
    with pytest.raises(GateClosedError, match="was never proven"):
        publish("na", "revenue")
    assert world.published("revenue") == []


def test_nothing_leaves_a_cell_whose_catalog_has_changed_since_the_proof(world: Publishing) -> None:
    a_day(world)
    with world.cell() as connection:
        connection.execute("create table marts.stray (x integer)")
        try:
            with pytest.raises(GateClosedError, match="before the catalog changed"):
                publish("na", "revenue")
        finally:
            connection.execute("drop table marts.stray")
    assert world.published("revenue") == []


def test_one_small_group_in_the_cells_relation_stops_its_dataset_and_no_other(world: Publishing) -> None:
    a_day(world, revenue(), revenue(currency="USD", persons=5))
    world.fill("cohorts", [(CLOSES, "first_purchase", MONDAY, 0, 30)])
    world.close("cohorts", CLOSES, groups=1)
    with pytest.raises(BorderError, match=r"dataset 'revenue' of cell 'na': 1 of 2 rows .* k = 10"):
        publish("na", "revenue")
    assert world.published("revenue") == []
    assert publish("na", "cohorts").published == 1


def test_rows_that_say_they_are_another_cells_are_refused(world: Publishing) -> None:
    a_day(world)
    with world.cell() as connection:
        connection.execute("update marts.agg_closed_periods set region = 'eu'")
    with pytest.raises(BorderError, match="another's"):
        publish("na", "revenue")


def test_a_dataset_that_is_not_declared_is_refused(world: Publishing) -> None:
    assert world
    with pytest.raises(UndeclaredDatasetError, match="'fct_user_paths' is no declared dataset"):
        publish("na", "fct_user_paths")


def test_a_cell_without_aggregates_is_told_what_to_build(world: Publishing) -> None:
    assert world
    with pytest.raises(NotBuiltError, match="capstone materialize 'na/marts/agg_daily_revenue"):
        publish("na", "revenue")


# --- what the database holds against it, whoever writes


def as_publisher(statement: str) -> None:
    with routing.connect("control", "publisher", database=GLOBAL_DATABASE) as connection:
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "update publishing.revenue set persons = 25",
        "delete from publishing.revenue",
        "truncate publishing.revenue",
        "update publishing.publications set as_of = now()",
        "delete from publishing.publications",
        "insert into publishing.datasets (dataset) values ('sessions')",
        "create table publishing.mine (x integer)",
        "create table public.mine (x integer)",
        "create temporary table mine (x integer)",
        "select * from platform.schema_migrations",
    ],
)
def test_the_publisher_can_append_and_nothing_else(world: Publishing, statement: str) -> None:
    a_day(world)
    publish("na", "revenue")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_publisher(statement)
    assert [row[2] for row in world.published("revenue")] == [20]


def test_the_reader_reads_the_marts_only(world: Publishing) -> None:
    assert world
    with standing.connect() as connection:
        assert connection.execute("select count(*) from marts.cells").fetchone() == (9,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from publishing.revenue")


def test_the_database_refuses_a_small_group_and_a_dataset_that_nobody_declared(world: Publishing) -> None:
    a_day(world)
    publish("na", "revenue")
    values = "select publication_id, region, k, closes_on, day + 1, 'EUR', {}, 20, 1 from publishing.revenue"
    columns = "(publication_id, region, k, closes_on, day, currency, persons, orders, revenue)"
    with pytest.raises(psycopg.errors.CheckViolation):
        as_publisher(f"insert into publishing.revenue {columns} {values.format(9)}")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        # A lower threshold than its refresh was recorded with.
        as_publisher(f"insert into publishing.revenue {columns} {values.replace(' k,', ' 5,').format(10)}")
    recorded = "publication_id, region, dataset, as_of, closed_through, k, tenants, dominance_percent, rounding, groups"
    more = ", merged, suppressed, withheld, published"
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        as_publisher(
            f"insert into publishing.publications ({recorded}{more}) select gen_random_uuid(), region, 'sessions',"
            " as_of, closed_through, k, tenants, dominance_percent, rounding, 0, 0, 0, 0, 0"
            " from publishing.publications"
        )


@pytest.mark.parametrize(
    "query", ["select * from ecommerce.users", "select * from staging.stg_shoppers", "select * from platform.proofs"]
)
def test_in_a_cell_the_publisher_reads_the_aggregates_only(world: Publishing, query: str) -> None:
    assert world
    with routing.connect("na", "publisher", autocommit=True) as connection:
        assert connection.execute("select count(*) from marts.agg_daily_revenue").fetchone() == (0,)
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable)):
            connection.execute(query.encode())


def test_nobody_but_the_two_logins_and_the_administrator_enters_database_global(world: Publishing) -> None:
    with world.as_administrator() as connection:
        entering = connection.execute(
            "select r.rolname from pg_roles as r where r.rolcanlogin and not r.rolsuper"
            " and has_database_privilege(r.oid, current_database(), 'connect') order by 1"
        ).fetchall()
    assert [name for (name,) in entering] == ["publisher", "reader"]


def test_the_schema_of_database_global_is_applied_once(world: Publishing) -> None:
    assert world
    assert migrations.apply_control() == []


def test_a_control_domain_is_no_cells(world: Publishing) -> None:
    assert world
    with pytest.raises(migrations.MigrationFileError, match="is not a cell's"):
        migrations.apply_domain("na", "global")


# --- a kill, and cells that are away

KILLED = """
import os, signal
from orchestration.publishing import publication
whole = publication._append
def half(connection, done, what, rows, k):
    whole(connection, done, what, rows[:1], k)
    os.kill(os.getpid(), signal.SIGKILL)
publication._append = half
publication.publish("na", "revenue")
"""


def test_a_publisher_that_is_killed_between_two_rows_leaves_nothing_and_the_next_one_publishes_all(
    world: Publishing,
) -> None:
    a_day(world, revenue(), revenue(currency="USD"))
    killed = subprocess.run([sys.executable, "-c", KILLED], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert world.published("revenue") == []
    assert world.standing("revenue").state == "never"
    assert publish("na", "revenue").published == 2


def test_a_cell_that_never_published_is_a_line_of_the_union_and_no_zero(world: Publishing) -> None:
    a_day(world)
    publish("na", "revenue")
    with standing.connect() as connection:
        rows = standing.union_rows(connection, "revenue")
    assert {row["region"] for row in rows} == set(CELLS)
    never = [row for row in rows if row["region"] != "na"]
    assert {row["state"] for row in never} == {"never"}
    assert {(row["day"], row["persons"], row["revenue"]) for row in never} == {(None, None, None)}


def test_a_cell_whose_aggregates_are_old_is_stale_with_its_age_and_keeps_its_values(world: Publishing) -> None:
    world.fill("revenue", [revenue()])
    world.close("revenue", CLOSES, groups=1, hours_ago=31)
    publish("na", "revenue")
    found = world.standing("revenue")
    assert found.state == "stale"
    assert found.age is not None
    assert timedelta(hours=31) <= found.age < timedelta(hours=32)
    assert found.describe().startswith("stale, 1 day, 7:")
    with standing.connect() as connection:
        (row,) = [row for row in standing.union_rows(connection, "revenue") if row["region"] == "na"]
    assert (row["state"], row["persons"]) == ("stale", 20)


def test_a_cell_that_is_stopped_publishes_nothing_and_its_last_values_stay(world: Publishing) -> None:
    world.fill("revenue", [revenue()], "eu")
    world.close("revenue", CLOSES, groups=1, cell="eu")
    publish("eu", "revenue")
    (server,) = [each for each in world.engines.status() if (each.name, each.kind) == ("eu", "postgres")]
    assert server.pid is not None
    process = psutil.Process(server.pid)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    try:
        with pytest.raises(CellUnavailableError, match=r"'eu'.*capstone up"):
            publish("eu", "revenue")
        a_day(world)
        assert publish("na", "revenue").published == 1
        with standing.connect() as connection:
            rows = standing.union_rows(connection, "revenue")
        assert [row["persons"] for row in rows if row["region"] == "eu"] == [20]
        assert world.standing("revenue", "eu").refreshes == 1
    finally:
        world.engines.start(print)


def test_what_two_rows_differ_by_is_looked_at_in_the_database_too(world: Publishing) -> None:
    steps = [("purchase", MONDAY, "steps", step, step, "x", persons) for step, persons in ((1, 40), (2, 20), (3, 15))]
    world.fill("funnel", [(CLOSES, *step) for step in steps])
    world.close("funnel", CLOSES, groups=3)
    publish("na", "funnel")
    with standing.connect() as connection:
        rows = [row for row in standing.union_rows(connection, "funnel") if row["region"] == "na"]
        assert [row["persons"] for row in rows] == [75, 35, 15]
        assert standing.below_threshold(connection, 10)["funnel"] == 0
        # As if k had been 20: the third step, and what the second one lost to it, are smaller.
        assert standing.below_threshold(connection, 20)["funnel"] == 1
