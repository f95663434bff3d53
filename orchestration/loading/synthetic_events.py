"""Synthetic events into ``analytics.events``: each day's partition replaced exactly, one transaction per day."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.loading.absent_tenants import AbsentTenants, absent_tenants, blocks_without_tenants
from orchestration.loading.copy_loader import (
    Connection,
    Load,
    LoadError,
    LoadReport,
    Scope,
    lock_load,
    replace,
    require_cell,
    statement,
)
from orchestration.loading.former_users import blocks_without_former_users
from orchestration.loading.id_spaces import SHOP_FIRST_ID
from orchestration.loading.seeds import seeds_load, shoppers_without, write_shoppers
from orchestration.loading.statistics import analyze_event_days
from orchestration.loading.window import Window, day_bounds, read_window, require_days
from orchestration.settings import Settings, get_settings
from orchestration.synthetic.events import generate_day
from orchestration.synthetic.merchants import merchants
from orchestration.synthetic.people import shopper_rows
from orchestration.synthetic.shoppers import shoppers_won


def events_load(cell: Cell, day: date) -> Load:
    """Return the identity of the synthetic events of one day of ``cell``."""
    return Load(f"{cell}/analytics/events", "synthetic", day.isoformat(), "generator: events")


def _silent(_: LoadReport) -> None:
    """Report to nobody."""


def require_merchants(connection: Connection, cell: Cell, window: Window, seed: int) -> AbsentTenants:
    """Fail unless the merchants whose events are to be loaded are there; return those who are to be left out.

    Raises:
        LoadError: the cell is not seeded at this scale.
    """
    known = list(merchants(cell, window.size, seed).ids)
    absent = absent_tenants(connection, known)
    ids = [tenant for tenant in known if tenant not in absent.departed]
    row = connection.execute("select count(*) from saas.tenants where id = any(%s)", [ids]).fetchone()
    found = row[0] if row else 0
    if found != len(ids):
        raise LoadError(
            f"cell {cell!r} has {found} of the {len(ids)} tenants of scale {window.scale!r}: "
            "materialize its seeds first"
        )
    return absent


def win_shoppers(
    connection: Connection, cell: Cell, through: date, window: Window, seed: int, *, absent: AbsentTenants
) -> None:
    """Write the shoppers won after the window that the seeds cover, up to ``through``, as far as they are missing.

    A day's events name everybody won up to that day, also on days that nobody loads.
    """
    size, first_day = window.size, window.first_day
    last = (through - first_day).days
    if last < size.days:
        return
    won = shoppers_won(cell, size.days, last, size=size, seed=seed)
    parameters = {
        "start": day_bounds(first_day + timedelta(days=size.days))[0],
        "shop_first_id": SHOP_FIRST_ID,
        "tenants": [tenant for tenant in merchants(cell, size, seed).ids if tenant not in absent.of_rows],
    }
    with connection.transaction():
        lock_load(connection, "seeds", seeds_load(cell))
        found = dict(connection.execute(statement("shoppers_by_day"), parameters).fetchall())
        for index in range(size.days, last + 1):
            some = won.of(won.won_on == index)
            there = found.get(first_day + timedelta(days=index), 0)
            if there == len(some):
                continue
            rows = shopper_rows(cell, some, size=size, seed=seed, first_day=first_day)
            wanted = shoppers_without(rows, absent.of_rows)
            if there != wanted.users.num_rows:
                write_shoppers(connection, wanted)


def load_events_days(
    cell: Cell,
    days: Iterable[date],
    *,
    settings: Settings | None = None,
    window: Window | None = None,
    on_day: Callable[[LoadReport], None] = _silent,
) -> tuple[LoadReport, ...]:
    """Replace the synthetic events of each of ``days`` in ``cell``.

    A day is committed as a whole before the next begins: interrupted, the days reported so far are loaded and the
    others are as they were.

    Args:
        cell: the cell.
        days: daily partitions, in any order.
        settings: which platform, and the generator's ``seed``.
        window: scale and first day, unless the platform's own.
        on_day: called after each day's commit.

    Raises:
        EmptyPartitionRangeError: no day is given.
        WindowError: a day lies before the platform's first.
        LoadError: the cell is not seeded, the database is another cell's.
        CellUnavailableError: the cell cannot be reached.
    """
    settings = settings or get_settings()
    window = window or read_window(settings)
    chosen = require_days(days, window.first_day)
    reports = []
    with routing.connect(
        cell, "loader", autocommit=True, application_name="capstone events", settings=settings
    ) as connection:
        require_cell(connection, cell)
        absent = require_merchants(connection, cell, window, settings.seed)
        win_shoppers(connection, cell, chosen[-1], window, settings.seed, absent=absent)
        for day in chosen:
            start, end = day_bounds(day)
            blocks = generate_day(cell, day, size=window.size, seed=settings.seed, first_day=window.first_day)
            scope = Scope("analytics.events", time_column="time", start=start, end=end)
            wanted = blocks_without_tenants(blocks, absent.departed)
            here = blocks_without_former_users(connection, wanted, merchants(cell, window.size, settings.seed).ids)
            report = replace(connection, events_load(cell, day), scope, here)
            reports.append(report)
            on_day(report)
    analyze_event_days(cell, chosen, settings)
    return tuple(reports)


def load_events_day(
    cell: Cell, day: date, *, settings: Settings | None = None, window: Window | None = None
) -> LoadReport:
    """Replace the synthetic events of one day in ``cell``; see ``load_events_days``."""
    return load_events_days(cell, [day], settings=settings, window=window)[0]
