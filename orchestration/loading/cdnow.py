"""The CDNOW purchase log as tenant ``cdnow`` of cell ``na``: shoppers, orders, order items and purchase events.

How the log is modelled, where it says less than the tables ask:

- Every row is one order with one line, exact duplicates included, on its day at 00:00 UTC: the log has no time.
- The log has no titles: there is one product, with one variant. It is archived, for it has no price of its own.
- The log's dollars are an order's total, exactly; the unit price is rounded to the cent. No tax or shipping is known.
- A customer has a number and nothing else: no name, an address below ``cdnow.invalid`` (reserved by RFC 2606).
- Events go to ``analytics.events_history``: from ``analytics.events`` the retention of a year would drop them.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pyarrow as pa

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.loading.absent_tenants import absent_tenants
from orchestration.loading.arrow_columns import constant_text, constant_uuid, money_column, uuid_column
from orchestration.loading.cdnow_file import CdnowLog, read_log, read_shipped_log
from orchestration.loading.copy_loader import (
    NAMESPACE,
    Connection,
    Load,
    LoadError,
    Scope,
    UpsertRule,
    copy_rows,
    delete_own,
    lock_load,
    marked,
    plan_for_bulk,
    record_load,
    require_cell,
    require_row_security_bypassed,
    statement,
    upsert,
)
from orchestration.loading.id_spaces import reserve_loaded_ids
from orchestration.loading.plans import load_plans
from orchestration.loading.statistics import analyze_tables
from orchestration.persons.former import former_persons
from orchestration.settings import Settings, get_settings
from orchestration.synthetic.hashing import uuid5_bytes

CDNOW_CELL: Cell = "na"
CDNOW_SUBDOMAIN = "cdnow"
CDNOW_TENANT = uuid5(NAMESPACE, "tenant/na/cdnow")
CURRENCY = "USD"

# No password hashes to this: it starts with the mark of a locked account and names no algorithm.
_UNUSABLE_PASSWORD = "!imported"  # noqa: S105 - a marker, not a secret

_CATEGORY, _PRODUCT, _VARIANT = 1, 1, 1
_TENANT_KEY = ("tenant_id", "id")
_LOADED_TABLES = (
    "geo.users",
    "ecommerce.users",
    "ecommerce.orders",
    "ecommerce.order_items",
    "analytics.events_history",
)
_OPENED = datetime(1997, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class CdnowReport:
    """Every row of the log accounted for: ``rows_read == rows_loaded + rows_rejected``.

    Attributes:
        file: the file's name.
        rejected_by_reason: how many rows were rejected for which reason, most frequent first.
        rows_replaced: orders of an earlier load that were there before.
        customers: shoppers of the tenant that the log names.
        exact_duplicates: rows that repeat an earlier one and were kept.
        zero_dollar_rows: orders of 0.00 dollars, kept.
        indivisible_rows: orders whose unit price is rounded.
        source_dollars: sum of the log's rows that were loaded.
        loaded_dollars: sum of the orders' totals, computed in the database; equal to ``source_dollars``.
        first_day, last_day: of the purchases.
    """

    file: str
    load_id: UUID
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rejected_by_reason: tuple[tuple[str, int], ...]
    rows_replaced: int
    customers: int
    exact_duplicates: int
    zero_dollar_rows: int
    indivisible_rows: int
    source_dollars: Decimal
    loaded_dollars: Decimal
    first_day: date
    last_day: date
    seconds: float


@dataclass(frozen=True)
class _Columns:
    """The log's purchases as arrays, and its customers with their first day."""

    row: np.ndarray[Any, np.dtype[np.int64]]
    customer: np.ndarray[Any, np.dtype[np.int64]]
    instant: pa.Array
    cds: np.ndarray[Any, np.dtype[np.int64]]
    cents: np.ndarray[Any, np.dtype[np.int64]]
    customers: tuple[int, ...]
    since: pa.Array


def cdnow_load(source: str) -> Load:
    """Return the identity of the one load of the log."""
    return Load(f"{CDNOW_CELL}/ecommerce/cdnow", "import", None, source)


def _instants(days: Sequence[date]) -> pa.Array:
    return pa.array(days, pa.date32()).cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))


def _columns(log: CdnowLog) -> _Columns:
    first_day: dict[int, date] = {}
    for purchase in log.purchases:
        known = first_day.get(purchase.customer)
        first_day[purchase.customer] = purchase.day if known is None else min(known, purchase.day)
    customers = tuple(sorted(first_day))
    purchases = log.purchases
    return _Columns(
        row=np.array([purchase.row for purchase in purchases], dtype=np.int64),
        customer=np.array([purchase.customer for purchase in purchases], dtype=np.int64),
        instant=_instants([purchase.day for purchase in purchases]),
        cds=np.array([purchase.cds for purchase in purchases], dtype=np.int64),
        cents=np.array([purchase.cents for purchase in purchases], dtype=np.int64),
        customers=customers,
        since=_instants([first_day[customer] for customer in customers]),
    )


def _shop() -> Iterator[tuple[UpsertRule, pa.Table]]:
    """Yield the tenant and its one product, parents first."""
    tenant = constant_uuid(CDNOW_TENANT, 1)
    number = pa.array([1], pa.int64())
    opened = pa.array([_OPENED], pa.timestamp("us", "UTC"))

    def text(value: str) -> pa.Array:
        return pa.array([value], pa.string())

    yield (
        UpsertRule("saas.tenants", ("id",), keep=("plan", "status"), owner=("subdomain",)),
        pa.table(
            {
                "id": tenant,
                "name": text("CDNOW"),
                "subdomain": text(CDNOW_SUBDOMAIN),
                "plan": text("pro"),
                "status": text("active"),
                "created_at": opened,
            }
        ),
    )
    settings = ("currency", "tax_rate", "shipping_amount")
    nothing = money_column(np.zeros(1, dtype=np.int64))
    yield (
        UpsertRule("ecommerce.store_settings", ("tenant_id",), keep=settings),
        pa.table({"tenant_id": tenant, "currency": text(CURRENCY), "tax_rate": nothing, "shipping_amount": nothing}),
    )
    yield (
        UpsertRule("ecommerce.categories", _TENANT_KEY),
        pa.table(
            {"tenant_id": tenant, "id": number, "name": text("Music"), "slug": text("music"), "path": text("music")}
        ),
    )
    yield (
        UpsertRule("ecommerce.products", _TENANT_KEY),
        pa.table(
            {
                "tenant_id": tenant,
                "id": pa.array([_PRODUCT], pa.int64()),
                "name": text("Compact disc"),
                "description": text("Any CD: the purchase log names no titles and has no list prices."),
                "category_id": pa.array([_CATEGORY], pa.int64()),
                "base_price": nothing,
                "sku": text("CD"),
                "status": text("archived"),
                "created_at": opened,
            }
        ),
    )
    yield (
        UpsertRule("ecommerce.product_variants", _TENANT_KEY, keep=("inventory_count",)),
        pa.table(
            {
                "tenant_id": tenant,
                "id": pa.array([_VARIANT], pa.int64()),
                "product_id": pa.array([_PRODUCT], pa.int64()),
                "sku": text("CD"),
                "attributes": text('{"format": "CD"}'),
                "inventory_count": pa.array([0], pa.int64()),
            }
        ),
    )


def _shoppers(columns: _Columns) -> Iterator[tuple[UpsertRule, pa.Table]]:
    """Yield the customers, as persons and as the tenant's shoppers."""
    rows = len(columns.customers)
    person = uuid_column(uuid5_bytes(NAMESPACE, _person_names(columns.customers)))
    email = pa.array([f"customer-{number:05d}@cdnow.invalid" for number in columns.customers], pa.string())
    yield (
        UpsertRule("geo.users", ("id",)),
        pa.table(
            {
                "id": person,
                "email": email,
                "region": constant_text(CDNOW_CELL, rows),
                "profile": constant_text('{"source": "cdnow"}', rows),
                "created_at": columns.since,
            }
        ),
    )
    yield (
        UpsertRule("ecommerce.users", _TENANT_KEY, keep=("password_hash", "updated_at"), owner=("person_id",)),
        pa.table(
            {
                "tenant_id": constant_uuid(CDNOW_TENANT, rows),
                "id": pa.array(columns.customers, pa.int64()),
                "person_id": person,
                "email": email,
                "password_hash": constant_text(_UNUSABLE_PASSWORD, rows),
                "created_at": columns.since,
                "updated_at": columns.since,
            }
        ),
    )


def _orders(columns: _Columns, load: Load) -> Iterator[tuple[UpsertRule, pa.Table]]:
    """Yield the orders and their lines; an order, and its line, has the id of its row in the log."""
    rows = len(columns.row)
    tenant = constant_uuid(CDNOW_TENANT, rows)
    number = pa.array(columns.row)
    total = money_column(columns.cents)
    yield (
        UpsertRule("ecommerce.orders", _TENANT_KEY, keep=("updated_at",), owner=("origin", "load_id")),
        pa.table(
            {
                "tenant_id": tenant,
                "id": number,
                "user_id": pa.array(columns.customer),
                "status": constant_text("completed", rows),
                "currency": constant_text(CURRENCY, rows),
                "subtotal": total,
                "total_amount": total,
                "created_at": columns.instant,
                "updated_at": columns.instant,
                "origin": constant_text(load.origin, rows),
                "load_id": constant_uuid(load.load_id, rows),
            }
        ),
    )
    # Half a cent is rounded up.
    unit_cents = (2 * columns.cents + columns.cds) // (2 * columns.cds)
    yield (
        UpsertRule("ecommerce.order_items", _TENANT_KEY, owner=("order_id",)),
        pa.table(
            {
                "tenant_id": tenant,
                "id": number,
                "order_id": number,
                "variant_id": pa.array(np.full(rows, _VARIANT, dtype=np.int64)),
                "quantity": pa.array(columns.cds),
                "unit_price": money_column(unit_cents),
                "total_price": total,
            }
        ),
    )


def _events(columns: _Columns) -> pa.Table:
    """Return one purchase event per row; the log knows no session, page, device or country."""
    rows = len(columns.row)
    dollars = money_column(columns.cents).cast(pa.string()).to_pylist()
    properties = [
        f'{{"order_id": {row}, "revenue": {amount}, "currency": "{CURRENCY}", "quantity": {cds}}}'
        for row, amount, cds in zip(columns.row.tolist(), dollars, columns.cds.tolist(), strict=True)
    ]
    event_ids = uuid5_bytes(NAMESPACE, (f"event/{CDNOW_TENANT}/{row}" for row in columns.row.tolist()))
    return pa.table(
        {
            "time": columns.instant,
            "tenant_id": constant_uuid(CDNOW_TENANT, rows),
            "event_id": uuid_column(event_ids),
            "user_id": pa.array(columns.customer),
            "event_type": constant_text("purchase", rows),
            "properties": pa.array(properties, pa.string()),
        }
    )


def _person_names(customers: Iterable[int]) -> Iterator[str]:
    return (f"person/{CDNOW_TENANT}/{number}" for number in customers)


def _without_former_customers(connection: Connection, log: CdnowLog) -> CdnowLog:
    """Return the log without the purchases of customers who were erased: those that must be kept are kept anonymous."""
    customers = sorted({purchase.customer for purchase in log.purchases})
    persons = dict(zip((uuid5(NAMESPACE, name) for name in _person_names(customers)), customers, strict=True))
    former = {persons[person] for person in former_persons(connection, persons)}
    if not former:
        return log
    stay = tuple(purchase for purchase in log.purchases if purchase.customer not in former)
    return replace(log, purchases=stay, rows_read=log.rows_read - len(log.purchases) + len(stay))


def _require_equal_sums(connection: Connection, load: Load, log: CdnowLog) -> Decimal:
    """Return the dollars of the loaded orders; orders, their lines and events must come to what the log has.

    Raises:
        LoadError: rows or dollars differ.
    """
    found = connection.execute(
        statement("cdnow_sums"), {"tenant_id": CDNOW_TENANT, "load_id": load.load_id, "origin": load.origin}
    ).fetchall()
    expected = (len(log.purchases), Decimal(log.cents) / 100)
    for what, rows, dollars in found:
        if (rows, dollars) != expected:
            raise LoadError(f"{rows} {what} of {dollars} dollars were loaded of {expected[0]} of {expected[1]}")
    return Decimal(found[0][2])


def _replace(connection: Connection, load: Load, log: CdnowLog) -> tuple[int, Decimal]:
    """Replace everything of the load within the caller's transaction; returns orders there before, and dollars."""
    columns = _columns(log)
    parameters = {
        "tenant_id": CDNOW_TENANT,
        "load_id": load.load_id,
        "customers": list(columns.customers),
        "rows": columns.row.tolist(),
    }
    before = connection.execute(statement("cdnow_orders_count"), parameters).fetchone()
    load_plans(connection)
    for rule, rows in (*_shop(), *_shoppers(columns)):
        upsert(connection, rule, [rows])
    # Before the upsert: a line's id may now be another order's.
    connection.execute(statement("cdnow_orders_delete"), parameters)
    for rule, rows in _orders(columns, load):
        upsert(connection, rule, [rows])
    connection.execute(statement("cdnow_shoppers_delete"), parameters)
    history = Scope("analytics.events_history", tenant_id=CDNOW_TENANT)
    require_row_security_bypassed(connection, history.table)
    delete_own(connection, load, history)
    copy_rows(connection, history.table, marked([_events(columns)], load, history))
    return (before[0] if before else 0), _require_equal_sums(connection, load, log)


def load_cdnow(*, path: Path | None = None, settings: Settings | None = None) -> CdnowReport:
    """Replace tenant ``cdnow`` in cell ``na`` by the purchase log, in one transaction.

    A row that cannot be parsed is rejected into ``platform.load_rejects`` with its line and reason, the rest is
    loaded. Rows that others hung on the tenant (orders of the running shop, reviews) are not touched; a shopper the
    log no longer names stays while anything hangs on them.

    Args:
        path: another file of the same format; the shipped one, whose checksum must fit, unless given.
        settings: which platform.

    Raises:
        CdnowFileError: the file is missing, truncated, corrupt or not the one that was shipped; nothing is changed.
        LoadError: an id is somebody else's, the database is another cell's, sums do not come out; nothing is changed.
        CellUnavailableError: the cell cannot be reached.
    """
    settings = settings or get_settings()
    started = time.perf_counter()
    read = read_shipped_log() if path is None else read_log(path)
    log = read
    load = cdnow_load(log.path.name)
    with routing.connect(
        CDNOW_CELL, "loader", autocommit=True, application_name="capstone cdnow", settings=settings
    ) as connection:
        require_cell(connection, CDNOW_CELL)
        absent = absent_tenants(connection, [CDNOW_TENANT])
        if absent.of_rows:
            state = "was moved away or erased" if absent.departed else "keeps its rows in a place of its own"
            raise LoadError(
                f"tenant {CDNOW_SUBDOMAIN!r} {state}: its purchase log is not loaded into the shared tables"
            )
        reserve_loaded_ids(connection)
        with connection.transaction():
            plan_for_bulk(connection)
            lock_load(connection, "ecommerce.orders", load)
            log = _without_former_customers(connection, read)
            before, dollars = _replace(connection, load, log)
            record_load(connection, load, rows_read=log.rows_read, rows_loaded=len(log.purchases), rejects=log.rejects)
    analyze_tables(CDNOW_CELL, _LOADED_TABLES, settings)
    reasons = Counter(f"{reject.column or 'line'} {reject.reason}" for reject in log.rejects)
    days = [purchase.day for purchase in log.purchases]
    return CdnowReport(
        file=log.path.name,
        load_id=load.load_id,
        rows_read=log.rows_read,
        rows_loaded=len(log.purchases),
        rows_rejected=len(log.rejects),
        rejected_by_reason=tuple(reasons.most_common()),
        rows_replaced=before,
        customers=len({purchase.customer for purchase in log.purchases}),
        exact_duplicates=log.exact_duplicates,
        zero_dollar_rows=log.zero_dollar_rows,
        indivisible_rows=log.indivisible_rows,
        source_dollars=Decimal(log.cents) / 100,
        loaded_dollars=dollars,
        first_day=min(days),
        last_day=max(days),
        seconds=time.perf_counter() - started,
    )
