"""Seeds of a cell: plans, merchants with staff, projects and catalogue, and the shoppers of the window.

Seeding again gives the same rows and touches nobody else's. Rows that other rows hang on are never deleted: seeds are
upserted through a staging table. What belongs to the running service once a row exists is left as it is: a tenant's
plan and status, a shop's settings, stock, a shopper's password. A merchant that was moved away or erased does not come
back, and one that keeps its rows in a place of its own does not get them here a second time.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import pyarrow as pa

from orchestration.cells import routing
from orchestration.cells.freshness import note_copies
from orchestration.cells.regions import Cell
from orchestration.loading.absent_tenants import absent_tenants, only_named, without_tenants
from orchestration.loading.copy_loader import (
    Connection,
    Load,
    Upserted,
    UpsertRule,
    lock_load,
    record_load,
    require_cell,
    require_no_transaction,
    upsert,
)
from orchestration.loading.former_persons import shoppers_who_stay, staff_who_stay
from orchestration.loading.id_spaces import reserve_loaded_ids
from orchestration.loading.plans import load_plans
from orchestration.loading.statistics import analyze_tables
from orchestration.loading.window import Window, read_window
from orchestration.settings import Settings, get_settings
from orchestration.synthetic.merchants import merchants
from orchestration.synthetic.people import ShopperRows, shopper_rows, staff_rows
from orchestration.synthetic.shoppers import Shoppers, shoppers_through
from orchestration.synthetic.shops import shop_rows

_TENANT_KEY = ("tenant_id", "id")

_PERSONS = UpsertRule("geo.users", ("id",))
_EU_USER_DATA = UpsertRule("geo.eu_user_data", ("user_id",))
_STAFF = UpsertRule("saas.users", _TENANT_KEY, owner=("person_id",))
_PROJECTS = UpsertRule("saas.projects", _TENANT_KEY)
_TENANTS = UpsertRule("saas.tenants", ("id",), keep=("plan", "status"))
_STORE_SETTINGS = UpsertRule(
    "ecommerce.store_settings", ("tenant_id",), keep=("currency", "tax_rate", "shipping_amount")
)
_CATEGORIES = UpsertRule("ecommerce.categories", _TENANT_KEY)
_PRODUCTS = UpsertRule("ecommerce.products", _TENANT_KEY)
_VARIANTS = UpsertRule("ecommerce.product_variants", _TENANT_KEY, keep=("inventory_count",))
_SHOPPERS = UpsertRule("ecommerce.users", _TENANT_KEY, keep=("password_hash", "updated_at"), owner=("person_id",))
_ADDRESSES = UpsertRule("ecommerce.addresses", _TENANT_KEY, keep=("is_default",), owner=("user_id",))


@dataclass(frozen=True)
class SeedReport:
    """What seeding a cell did, table by table.

    Attributes:
        cell: the cell.
        tables: rows inserted, updated and unchanged of each table, in the order they were written.
        seconds: all of it, statistics included.
    """

    cell: Cell
    tables: tuple[Upserted, ...]
    seconds: float

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


def seeds_load(cell: Cell) -> Load:
    """Return the identity of the seeds of ``cell``."""
    return Load(f"{cell}/seeds", "synthetic", None, "generator: seeds")


def shoppers_without(rows: ShopperRows, tenants: Collection[UUID]) -> ShopperRows:
    """Return the rows of shoppers of none of ``tenants``, and the persons that those are."""
    if not tenants:
        return rows
    users = without_tenants(rows.users, tenants)
    persons = only_named(rows.persons, users, key="id", named_by="person_id")
    data = rows.eu_user_data
    return ShopperRows(
        persons=persons,
        users=users,
        addresses=without_tenants(rows.addresses, tenants),
        eu_user_data=None if data is None else only_named(data, persons, key="user_id", named_by="id"),
    )


def write_shoppers(connection: Connection, rows: ShopperRows) -> list[Upserted]:
    """Upsert shoppers, as persons first, within the caller's transaction; those who were erased or left stay away."""
    rows = shoppers_who_stay(connection, rows)
    written = [upsert(connection, _PERSONS, [rows.persons])]
    if rows.eu_user_data is not None:
        written.append(upsert(connection, _EU_USER_DATA, [rows.eu_user_data]))
    written.append(upsert(connection, _SHOPPERS, [rows.users]))
    written.append(upsert(connection, _ADDRESSES, [rows.addresses]))
    return written


def _summed(written: Sequence[Upserted]) -> tuple[Upserted, ...]:
    """Return one entry per table: persons are written twice, as staff and as shoppers."""
    totals: dict[str, Upserted] = {}
    for one in written:
        before = totals.get(one.table, Upserted(one.table, 0, 0, 0))
        totals[one.table] = Upserted(
            one.table,
            before.inserted + one.inserted,
            before.updated + one.updated,
            before.unchanged + one.unchanged,
        )
    return tuple(totals.values())


def _slices(shoppers: Shoppers, rows: int) -> list[Shoppers]:
    return [shoppers.of(slice(start, start + rows)) for start in range(0, len(shoppers), rows)]


# Shoppers written at once: bounds memory at the largest scale.
_SHOPPERS_AT_ONCE = 100_000


def load_seeds(cell: Cell, *, settings: Settings | None = None, window: Window | None = None) -> SeedReport:
    """Seed ``cell`` in one transaction; done again, it changes nothing.

    Args:
        cell: the cell.
        settings: which platform, and the generator's ``seed``.
        window: scale and first day, unless the platform's own.

    Raises:
        LoadError: the database is another cell's, or somebody else has a row's key; nothing is changed.
        CellUnavailableError: the cell cannot be reached.
        WindowError: the platform was never filled and ``window`` is not given.
    """
    settings = settings or get_settings()
    window = window or read_window(settings)
    size, seed, first_day = window.size, settings.seed, window.first_day
    load = seeds_load(cell)
    started = time.perf_counter()
    with routing.connect(cell, "loader", application_name="capstone seeds", settings=settings) as connection:
        require_no_transaction(connection)
        with connection.transaction():
            require_cell(connection, cell)
            lock_load(connection, "seeds", load)
            reserve_loaded_ids(connection)
            written = [load_plans(connection)]
            shops = shop_rows(cell, size=size, seed=seed, first_day=first_day)
            staff = staff_who_stay(connection, staff_rows(cell, size=size, seed=seed, first_day=first_day))
            absent = absent_tenants(connection, merchants(cell, size, seed).ids)
            members, persons = without_tenants(staff.users, absent.of_rows), staff.persons
            if absent.of_rows:
                persons = only_named(persons, members, key="id", named_by="person_id")
            steps: list[tuple[UpsertRule, pa.Table]] = [
                (_TENANTS, without_tenants(shops.tenants, absent.departed, "id")),
                (_STORE_SETTINGS, without_tenants(shops.store_settings, absent.of_rows)),
                (_PERSONS, persons),
                (_STAFF, members),
                (_PROJECTS, without_tenants(staff.projects, absent.of_rows)),
                (_CATEGORIES, without_tenants(shops.categories, absent.of_rows)),
                (_PRODUCTS, without_tenants(shops.products, absent.of_rows)),
                (_VARIANTS, without_tenants(shops.variants, absent.of_rows)),
            ]
            written.extend(upsert(connection, rule, [rows]) for rule, rows in steps)
            known = shoppers_through(cell, size.days - 1, size=size, seed=seed)
            for some in _slices(known, _SHOPPERS_AT_ONCE):
                shoppers = shopper_rows(cell, some, size=size, seed=seed, first_day=first_day)
                written.extend(write_shoppers(connection, shoppers_without(shoppers, absent.of_rows)))
            tables = _summed(written)
            total = sum(table.rows for table in tables)
            record_load(connection, load, rows_read=total, rows_loaded=total)
    analyze_tables(cell, [table.table for table in tables if table.inserted or table.updated], settings)
    note_copies(cell, settings)
    return SeedReport(cell, tables, time.perf_counter() - started)
