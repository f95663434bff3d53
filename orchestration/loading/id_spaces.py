"""The id spaces of rows, so that no load and no running shop ever take each other's ids.

===================  ===========================================================================
1 to 10^9 - 1        seeds, shoppers and imports: numbered by the loader, within their tenant
10^9 to 10^12 - 1    the running shop: identity columns, moved to here before the first load
10^12 to 2^53 - 1    synthetic orders, their items and payments: by day and number within it
===================  ===========================================================================

All of it below 2^53, so that a page or a JSON parser that only knows doubles shows an id unchanged.
"""

from datetime import date

from psycopg import sql

from orchestration.loading.copy_loader import Connection, LoadError

SHOP_FIRST_ID = 10**9
SYNTHETIC_FIRST_ID = 10**12

# Orders of one cell and day at most; a day of the largest scale has some thousands.
_ORDERS_PER_DAY = 10**7
# Lines of one order at most, so that an item's id follows from its order's: LINES_PER_ORDER * order + line.
LINES_PER_ORDER = 10

_EPOCH = date(1970, 1, 1)

# Tables whose rows loads number themselves beside the running shop.
_SHARED_TABLES = (
    "ecommerce.users",
    "ecommerce.addresses",
    "ecommerce.categories",
    "ecommerce.products",
    "ecommerce.product_variants",
    "ecommerce.orders",
    "ecommerce.order_items",
    "ecommerce.payments",
)


def first_order_id(day: date) -> int:
    """Return the id of the first synthetic order of ``day``; the following ones count up from it."""
    return SYNTHETIC_FIRST_ID + (day - _EPOCH).days * _ORDERS_PER_DAY + 1


def reserve_loaded_ids(connection: Connection) -> None:
    """Move the identity columns that loads share with the running shop into the shop's space; done once, then cheap.

    Raises:
        LoadError: a table has no identity column ``id``.
    """
    for table in _SHARED_TABLES:
        row = connection.execute("select pg_get_serial_sequence(%s, 'id')", [table]).fetchone()
        if row is None or row[0] is None:
            raise LoadError(f"table {table!r} has no identity column 'id': apply the schema assets first")
        query = sql.SQL("select setval({name}, {first}, false) from {sequence} where last_value < {first}").format(
            name=sql.Literal(row[0]), first=sql.Literal(SHOP_FIRST_ID), sequence=sql.SQL(row[0])
        )
        connection.execute(query)
