"""Orders, their items and payments from a day's synthetic purchases, set-based in the database.

An order's total is the purchase's revenue, exactly; subtotal, tax, shipping and lines are in the event's properties.
Rows are upserted and what is no longer backed by a purchase is deleted, instead of deleting all and inserting: what
the running shop hung on an order (a return, a note of stock) survives a reload. The result is the same partition.
"""

import time
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.loading.copy_loader import (
    Connection,
    Load,
    LoadError,
    LoadReport,
    lock_load,
    plan_for_bulk,
    record_load,
    require_cell,
    require_row_security_bypassed,
    statement,
)
from orchestration.loading.id_spaces import LINES_PER_ORDER, SYNTHETIC_FIRST_ID, reserve_loaded_ids
from orchestration.loading.statistics import analyze_tables
from orchestration.loading.synthetic_events import events_load
from orchestration.loading.window import Window, day_bounds, read_window, require_days
from orchestration.settings import Settings, get_settings


def orders_load(cell: Cell, day: date) -> Load:
    """Return the identity of the synthetic orders of one day of ``cell``."""
    return Load(f"{cell}/ecommerce/orders", "synthetic", day.isoformat(), "purchases in analytics.events")


def _silent(_: LoadReport) -> None:
    """Report to nobody."""


def _count(connection: Connection, name: str, parameters: dict[str, Any]) -> int:
    row = connection.execute(statement(name), parameters).fetchone()
    return int(row[0]) if row is not None else 0


def _replace_day(connection: Connection, cell: Cell, day: date) -> LoadReport:
    load = orders_load(cell, day)
    start, end = day_bounds(day)
    parameters = {
        "load_id": load.load_id,
        "events_load_id": events_load(cell, day).load_id,
        "start": start,
        "end": end,
        "lines_per_order": LINES_PER_ORDER,
        "first_id": SYNTHETIC_FIRST_ID,
    }
    started = time.perf_counter()
    with connection.transaction():
        require_row_security_bypassed(connection, "ecommerce.orders")
        plan_for_bulk(connection)
        lock_load(connection, "ecommerce.orders", load)
        if not connection.execute(statement("load_exists"), parameters).fetchone():
            raise LoadError(f"the synthetic events of {day} are not loaded in cell {cell!r}: materialize them first")
        before = _count(connection, "synthetic_orders_count", parameters)
        connection.execute(statement("synthetic_purchases"), parameters)
        purchases = _count(connection, "synthetic_purchases_count", parameters)
        # What a first load has nothing of need not be looked for.
        for step in ("payments", "order_items", "orders") if before else ():
            connection.execute(statement(f"synthetic_{step}_delete"), parameters)
        for step in ("orders", "order_items", "payments"):
            connection.execute(statement(f"synthetic_{step}_upsert"), parameters)
        loaded = _count(connection, "synthetic_orders_count", parameters)
        if loaded != purchases:
            raise LoadError(
                f"{purchases} purchases of {day} in cell {cell!r} became {loaded} orders: "
                f"somebody else's orders have ids from {SYNTHETIC_FIRST_ID}, give those others"
            )
        record_load(connection, load, rows_read=purchases, rows_loaded=loaded)
        connection.execute("drop table pg_temp.purchases")
    return LoadReport(
        asset=load.asset,
        partition_key=load.partition_key,
        load_id=load.load_id,
        table="ecommerce.orders",
        rows_read=purchases,
        rows_loaded=loaded,
        rows_rejected=0,
        rows_replaced=before,
        seconds=time.perf_counter() - started,
    )


def load_orders_days(
    cell: Cell,
    days: Iterable[date],
    *,
    settings: Settings | None = None,
    window: Window | None = None,
    on_day: Callable[[LoadReport], None] = _silent,
) -> tuple[LoadReport, ...]:
    """Replace the synthetic orders, order items and payments of each of ``days`` in ``cell`` from its events.

    A day is committed as a whole before the next begins.

    Args:
        cell: the cell.
        days: daily partitions whose synthetic events are loaded.
        settings: which platform.
        window: scale and first day, unless the platform's own.
        on_day: called after each day's commit.

    Raises:
        EmptyPartitionRangeError: no day is given.
        WindowError: a day lies before the platform's first.
        LoadError: a day's events are not loaded, an id is somebody else's, the database is another cell's.
        CellUnavailableError: the cell cannot be reached.
    """
    settings = settings or get_settings()
    window = window or read_window(settings)
    chosen = require_days(days, window.first_day)
    reports = []
    with routing.connect(
        cell, "loader", autocommit=True, application_name="capstone orders", settings=settings
    ) as connection:
        require_cell(connection, cell)
        reserve_loaded_ids(connection)
        for day in chosen:
            report = _replace_day(connection, cell, day)
            reports.append(report)
            on_day(report)
    analyze_tables(cell, ("ecommerce.orders", "ecommerce.order_items", "ecommerce.payments"), settings)
    return tuple(reports)


def load_orders_day(
    cell: Cell, day: date, *, settings: Settings | None = None, window: Window | None = None
) -> LoadReport:
    """Replace the synthetic orders of one day in ``cell``; see ``load_orders_days``."""
    return load_orders_days(cell, [day], settings=settings, window=window)[0]
