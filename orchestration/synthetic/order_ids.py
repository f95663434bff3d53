"""The id spaces of rows that are loaded, so that no load and no running shop ever take each other's.

===================  =======================================================================
1 to 10^9 - 1        seeds, shoppers and imports: numbered by the loader, per tenant
10^9 to 10^12 - 1    the running shop: identity columns, moved to here by the first load
10^12 to 2^53 - 1    synthetic orders, their items and payments: day and number within it
===================  =======================================================================

All of it below 2^53, so that a page or a JSON parser that only knows doubles shows an id unchanged.
"""

from datetime import date

SHOP_FIRST_ID = 10**9
SYNTHETIC_FIRST_ID = 10**12

# Orders of one cell and day at most; a day of the largest scale has some thousands.
_ORDERS_PER_DAY = 10**7
# Lines of one order at most, so that an item's id follows from its order's: 10 * order + line.
LINES_PER_ORDER = 10

_EPOCH = date(1970, 1, 1)


def first_order_id(day: date) -> int:
    """Return the id of the first synthetic order of ``day``; the following ones count up from it."""
    return SYNTHETIC_FIRST_ID + (day - _EPOCH).days * _ORDERS_PER_DAY + 1
