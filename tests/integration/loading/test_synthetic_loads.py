"""Events and orders: a day is replaced exactly, whatever happened before, and nothing else is touched."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest

from orchestration.cells.regions import Cell
from orchestration.loading import synthetic_events
from orchestration.loading.copy_loader import LoadError, LoadReport, Scope, replace, require_row_security_bypassed
from orchestration.loading.id_spaces import SYNTHETIC_FIRST_ID
from orchestration.loading.synthetic_events import events_load, load_events_day, load_events_days
from orchestration.loading.synthetic_orders import load_orders_day, load_orders_days
from orchestration.loading.window import EmptyPartitionRangeError, WindowError, day_bounds
from orchestration.synthetic.events import generate_day
from orchestration.synthetic.merchants import merchants
from orchestration.synthetic.traffic import day_events
from tests.integration.loading.conftest import LoadingCells

EVENTS = "analytics.events"
OWN = "origin = 'synthetic'"

FOREIGN_EVENT = """
insert into analytics.events (time, tenant_id, event_id, event_type, origin, load_id)
values (%s, %s, gen_random_uuid(), 'page_view', %s, %s)
"""


def load(cells: LoadingCells, cell: Cell, *indices: int) -> tuple[LoadReport, ...]:
    days = [cells.day(index) for index in indices]
    return load_events_days(cell, days, settings=cells.settings, window=cells.window)


def order(cells: LoadingCells, cell: Cell, *indices: int) -> tuple[LoadReport, ...]:
    days = [cells.day(index) for index in indices]
    return load_orders_days(cell, days, settings=cells.settings, window=cells.window)


def in_day(day: date, column: str = "time") -> str:
    start, end = day_bounds(day)
    return f"{column} >= '{start.isoformat()}' and {column} < '{end.isoformat()}'"


def test_a_range_of_days_has_exactly_its_events_and_reports_them(seeded: LoadingCells) -> None:
    reports = load(seeded, "eu", 0, 1, 2)
    expected = [
        day_events("eu", seeded.day(index), size=seeded.window.size, first_day=seeded.window.first_day)
        for index in range(3)
    ]
    assert [report.rows_loaded for report in reports] == expected
    assert [seeded.digest("eu", EVENTS, in_day(seeded.day(index)))[0] for index in range(3)] == expected
    recorded = seeded.rows(
        "eu",
        "select partition_key, rows_read, rows_loaded, rows_rejected from platform.loads "
        "where asset = 'eu/analytics/events' and partition_key < '2026-03-04' order by 1",
    )
    assert recorded == [(str(seeded.day(index)), expected[index], expected[index], 0) for index in range(3)]


def test_loading_a_day_again_gives_the_same_rows_and_touches_nobody_elses(seeded: LoadingCells) -> None:
    load(seeded, "na", 0, 1, 2)
    tenant = merchants("na", seeded.window.size, seeded.settings.seed).ids[0]
    noon = day_bounds(seeded.day(1))[0] + timedelta(hours=12)
    own_load = events_load("na", seeded.day(1)).load_id
    foreign = [
        (noon, tenant, "stream", uuid4()),
        (noon, tenant, "synthetic", uuid4()),
        (noon, uuid4(), "import", own_load),
        (noon + timedelta(days=1), tenant, "synthetic", own_load),
    ]
    try:
        for row in foreign:
            seeded.execute("na", FOREIGN_EVENT, row)
        before = seeded.digest("na", EVENTS)
        (report,) = load(seeded, "na", 1)
        assert seeded.digest("na", EVENTS) == before
        assert report.rows_replaced == report.rows_loaded
    finally:
        seeded.execute("na", "delete from analytics.events where session_id is null")


def test_rows_that_were_lost_or_doubled_are_mended_by_loading_again(seeded: LoadingCells) -> None:
    load(seeded, "na", 3)
    day = in_day(seeded.day(3))
    before = seeded.digest("na", EVENTS, day)
    seeded.execute("na", f"delete from analytics.events where {day} and event_type = 'purchase'")
    seeded.execute("na", f"insert into analytics.events select * from analytics.events where {day} limit 100")
    load(seeded, "na", 3)
    assert seeded.digest("na", EVENTS, day) == before


KILLED = """
import sys, time
from datetime import date
from orchestration.loading import synthetic_events
from orchestration.loading.window import Window

def then_stall(cell, day, **arguments):
    for block in generate(cell, day, **arguments):
        for start in range(0, block.num_rows, 1_000):
            yield block.slice(start, 1_000)
            if start >= 5_000:
                print("loading", flush=True)
                time.sleep(600)

generate = synthetic_events.generate_day
synthetic_events.generate_day = then_stall
day = date.fromisoformat(sys.argv[2])
synthetic_events.load_events_day(sys.argv[1], day, window=Window("small", date.fromisoformat(sys.argv[3])))
"""


def test_a_load_that_is_killed_in_the_middle_changes_nothing_and_a_second_one_completes(seeded: LoadingCells) -> None:
    load(seeded, "na", 4)
    day = in_day(seeded.day(4))
    before = seeded.digest("na", EVENTS, day)
    assert seeded.settings.dsn_na is not None
    environment = os.environ | {"CAPSTONE_DSN_NA": seeded.settings.dsn_na.get_secret_value()}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, "na", str(seeded.day(4)), str(seeded.window.first_day)],
        env=environment,
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "loading\n"
        # Rows have been sent, none is to be seen, and the lock is held.
        assert seeded.digest("na", EVENTS, day) == before
        child.send_signal(signal.SIGKILL)
    assert seeded.digest("na", EVENTS, day) == before
    load(seeded, "na", 4)
    assert seeded.digest("na", EVENTS, day) == before


def test_two_loads_of_one_day_at_once_do_not_double_it(seeded: LoadingCells) -> None:
    failures: list[BaseException] = []

    def once() -> None:
        try:
            load_events_day("na", seeded.day(5), settings=seeded.settings, window=seeded.window)
        except BaseException as error:  # noqa: BLE001 - a thread's failure must reach the test
            failures.append(error)

    threads = [threading.Thread(target=once) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not failures
    expected = day_events("na", seeded.day(5), size=seeded.window.size, first_day=seeded.window.first_day)
    assert seeded.digest("na", EVENTS, in_day(seeded.day(5)))[0] == expected


def test_a_generator_that_fails_leaves_the_day_as_it_was(seeded: LoadingCells, monkeypatch: pytest.MonkeyPatch) -> None:
    load(seeded, "na", 6)
    before = seeded.digest("na", EVENTS, in_day(seeded.day(6)))

    def broken(cell: Cell, day: date, **arguments: object) -> Iterator[pa.Table]:
        yield from generate_day(cell, day, **arguments)  # type: ignore[arg-type]
        raise RuntimeError("out of ideas")

    monkeypatch.setattr(synthetic_events, "generate_day", broken)
    with pytest.raises(RuntimeError, match="out of ideas"):
        load(seeded, "na", 6)
    assert seeded.digest("na", EVENTS, in_day(seeded.day(6))) == before


def test_a_row_of_another_day_is_refused(seeded: LoadingCells) -> None:
    day = seeded.day(7)
    start, end = day_bounds(day)
    blocks = generate_day(
        "na", day + timedelta(days=1), size=seeded.window.size, seed=1, first_day=seeded.window.first_day
    )
    scope = Scope(EVENTS, time_column="time", start=start, end=end)
    with (
        seeded.connect("na", "loader") as connection,
        pytest.raises(LoadError, match=r"time outside the partition \[2026-03-08"),
    ):
        replace(connection, events_load("na", day), scope, blocks)
    assert seeded.digest("na", EVENTS, in_day(day))[0] == 0


def test_a_role_under_row_security_is_refused_before_it_deletes_nothing(seeded: LoadingCells) -> None:
    with (
        seeded.connect("na", "app") as connection,
        pytest.raises(LoadError, match=r"role 'app' is subject to row security on ecommerce\.orders"),
    ):
        require_row_security_bypassed(connection, "ecommerce.orders")


def test_no_day_and_a_day_before_the_first_are_errors(seeded: LoadingCells) -> None:
    with pytest.raises(EmptyPartitionRangeError):
        load(seeded, "na")
    with pytest.raises(WindowError, match="lies before the platform's first day"):
        load(seeded, "na", -1)
    with pytest.raises(EmptyPartitionRangeError):
        order(seeded, "na")


def test_orders_are_the_days_purchases_to_the_cent(seeded: LoadingCells) -> None:
    load(seeded, "eu", 8, 9)
    reports = order(seeded, "eu", 8, 9)
    for report, index in zip(reports, (8, 9), strict=True):
        events, revenue = seeded.rows(
            "eu",
            "select count(*), sum((properties ->> 'revenue')::numeric) from analytics.events "
            f"where event_type = 'purchase' and {in_day(seeded.day(index))}",
        )[0]
        orders, total, below = seeded.rows(
            "eu",
            "select count(*), sum(total_amount), count(*) filter (where id < %s) from ecommerce.orders "
            f"where {in_day(seeded.day(index), 'created_at')}",
            [SYNTHETIC_FIRST_ID],
        )[0]
        assert (orders, total, below) == (events, revenue, 0)
        assert report.rows_loaded == orders > 20
    wrong = (
        "select count(*) from ecommerce.orders as o where subtotal <> "
        "(select sum(i.total_price) from ecommerce.order_items as i "
        "where i.tenant_id = o.tenant_id and i.order_id = o.id)"
    )
    assert seeded.value("eu", wrong) == 0
    paid = "select count(*) from ecommerce.payments as p join ecommerce.orders as o on o.tenant_id = p.tenant_id "
    assert seeded.value("eu", paid + "and o.id = p.order_id and o.total_amount = p.amount") == sum(
        report.rows_loaded for report in reports
    )


def test_ordering_a_day_again_gives_the_same_rows_and_keeps_the_shops_own(seeded: LoadingCells) -> None:
    load(seeded, "eu", 10)
    order(seeded, "eu", 10)
    tenant, user, first = seeded.rows(
        "eu",
        f"select tenant_id, user_id, id from ecommerce.orders where {in_day(seeded.day(10), 'created_at')} limit 1",
    )[0]
    start = day_bounds(seeded.day(10))[0]
    seeded.execute(
        "eu",
        "insert into ecommerce.orders (tenant_id, user_id, subtotal, total_amount, created_at) "
        "values (%s, %s, 9, 9, %s)",
        [tenant, user, start],
    )
    seeded.execute(
        "eu",
        "insert into ecommerce.inventory_movements (tenant_id, variant_id, order_id, quantity_change, reason) "
        "values (%s, 1, %s, 1, 'return')",
        [tenant, first],
    )
    tables = ("ecommerce.orders", "ecommerce.order_items", "ecommerce.payments", "ecommerce.inventory_movements")
    before = {table: seeded.digest("eu", table) for table in tables}
    order(seeded, "eu", 10)
    assert {table: seeded.digest("eu", table) for table in tables} == before


def test_an_order_whose_purchase_is_gone_goes_and_one_that_was_lost_comes_back(seeded: LoadingCells) -> None:
    load(seeded, "eu", 11)
    order(seeded, "eu", 11)
    day, column = in_day(seeded.day(11)), in_day(seeded.day(11), "created_at")
    before = [
        seeded.digest("eu", table) for table in ("ecommerce.orders", "ecommerce.order_items", "ecommerce.payments")
    ]
    seeded.execute(
        "eu", f"delete from analytics.events where {day} and event_type = 'purchase' and device_type = 'mobile'"
    )
    order(seeded, "eu", 11)
    assert (
        seeded.digest("eu", "ecommerce.orders", column)[0]
        == seeded.digest("eu", EVENTS, f"{day} and event_type = 'purchase'")[0]
    )
    load(seeded, "eu", 11)
    order(seeded, "eu", 11)
    after = [
        seeded.digest("eu", table) for table in ("ecommerce.orders", "ecommerce.order_items", "ecommerce.payments")
    ]
    assert after == before


def test_orders_of_a_day_without_events_are_an_error(seeded: LoadingCells) -> None:
    with pytest.raises(LoadError, match=r"events of 2026-03-26 are not loaded in cell 'apac'"):
        load_orders_day("apac", seeded.day(25), settings=seeded.settings, window=seeded.window)


def test_a_day_after_the_window_brings_its_own_shoppers(seeded: LoadingCells) -> None:
    load(seeded, "apac", 33)
    (report,) = order(seeded, "apac", 33)
    assert report.rows_loaded > 20
    won = "select count(*), min(created_at), max(created_at) from ecommerce.users where " + in_day(
        seeded.day(33), "created_at"
    )
    count, first, last = seeded.rows("apac", won)[0]
    start, end = day_bounds(seeded.day(33))
    assert count > 20
    assert start <= first <= last < end


def test_nobody_does_anything_before_they_signed_up(seeded: LoadingCells) -> None:
    early: list[tuple[datetime]] = seeded.rows(
        "eu",
        "select e.time from analytics.events as e join ecommerce.users as u on u.tenant_id = e.tenant_id "
        "and u.id = e.user_id where e.time < u.created_at limit 1",
    )
    assert early == []
    unknown = (
        "select count(*) from analytics.events as e where e.user_id is not null and not exists "
        "(select from ecommerce.users as u where u.tenant_id = e.tenant_id and u.id = e.user_id)"
    )
    assert seeded.value("eu", unknown) == 0
