"""Checkout: exact totals, honest stock, nobody else's things, and no deadlock however carts overlap."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import errors

from orchestration.cells.tenant_context import tenant_context

CHECKOUT = "select ecommerce.process_checkout(%s, %s, %s, %s)"


def buy(
    app: psycopg.Connection[Any], shop: Any, cart: object, *, user: int | None = None, address: int | None = None
) -> int:
    where = address if address is not None else shop.address_id
    with tenant_context(app, shop.tenant_id):
        row = app.execute(
            CHECKOUT, (user if user is not None else shop.user_id, json.dumps(cart), where, where)
        ).fetchone()
    assert row is not None
    return int(row[0])


def line(variant: object, quantity: object) -> dict[str, object]:
    return {"variant_id": variant, "quantity": quantity}


def stock(connect: Any, shop: Any) -> list[int]:
    with connect("auditor") as auditor:
        rows = auditor.execute(
            "select inventory_count from ecommerce.product_variants where tenant_id = %s order by id", (shop.tenant_id,)
        ).fetchall()
    return [row[0] for row in rows]


def orders(connect: Any, shop: Any) -> int:
    with connect("auditor") as auditor:
        row = auditor.execute(
            "select count(*) from ecommerce.orders where tenant_id = %s", (shop.tenant_id,)
        ).fetchone()
    return int(row[0])


def test_an_order_has_exact_totals_items_and_movements_and_takes_the_stock(connect: Any, shops: Any) -> None:
    shop, _ = shops
    small, large = shop.variant_ids
    with connect("app") as app:
        order = buy(app, shop, [line(large, 3), line(small, 1)])
        with tenant_context(app, shop.tenant_id):
            totals = app.execute(
                "select status, currency, origin, subtotal, tax_amount, shipping_amount, total_amount"
                " from ecommerce.orders where id = %s",
                (order,),
            ).fetchone()
            items = app.execute(
                "select variant_id, quantity, unit_price, total_price from ecommerce.order_items"
                " where order_id = %s order by variant_id",
                (order,),
            ).fetchall()
            movements = app.execute(
                "select variant_id, quantity_change, reason from ecommerce.inventory_movements"
                " where order_id = %s order by variant_id",
                (order,),
            ).fetchall()
    # 47.50 * 0.0825 = 3.91875
    assert totals == (
        "processing", "USD", "app", Decimal("47.50"), Decimal("3.92"), Decimal("4.99"), Decimal("56.41"),
    )  # fmt: skip
    assert items == [
        (small, 1, Decimal("10.00"), Decimal("10.00")),
        (large, 3, Decimal("12.50"), Decimal("37.50")),
    ]
    assert movements == [(small, -1, "sale"), (large, -3, "sale")]
    assert stock(connect, shop) == [9, 7]


def test_a_variant_that_is_in_the_cart_twice_is_one_line(connect: Any, shops: Any) -> None:
    shop, _ = shops
    with connect("app") as app:
        order = buy(app, shop, [line(shop.variant_ids[0], 2), line(shop.variant_ids[0], 3)])
        with tenant_context(app, shop.tenant_id):
            query = "select quantity, total_price from ecommerce.order_items where order_id = %s"
            assert app.execute(query, (order,)).fetchall() == [(5, Decimal("50.00"))]
    assert stock(connect, shop) == [5, 10]


def test_lines_that_only_together_exceed_the_stock_are_refused(connect: Any, shops: Any) -> None:
    shop, _ = shops
    with connect("app") as app, pytest.raises(errors.CheckViolation, match="12 wanted, 10 left"):
        buy(app, shop, [line(shop.variant_ids[0], 6), line(shop.variant_ids[0], 6)])
    assert stock(connect, shop) == [10, 10]
    assert orders(connect, shop) == 0


BAD_CARTS: list[object] = [
    [],
    {},
    None,
    "text",
    [1],
    [{}],
    [line(None, 1)],
    [line("1", 1)],
    [line(1.5, 1)],
    [line(1e30, 1)],
    [line(-1, 1)],
]
BAD_QUANTITIES: list[object] = [0, -1, 1.5, "2", None, True, [1], 1e30, 2147483648]


@pytest.mark.parametrize("cart", BAD_CARTS, ids=str)
def test_a_cart_that_names_nothing_to_buy_is_refused(connect: Any, shops: Any, cart: object) -> None:
    with connect("app") as app, pytest.raises(errors.InvalidParameterValue):
        buy(app, shops[0], cart)
    assert orders(connect, shops[0]) == 0


@pytest.mark.parametrize("quantity", BAD_QUANTITIES, ids=str)
def test_a_quantity_that_is_no_whole_number_from_one_is_refused(connect: Any, shops: Any, quantity: object) -> None:
    with connect("app") as app, pytest.raises(errors.InvalidParameterValue, match="line 2 of the cart"):
        buy(app, shops[0], [line(shops[0].variant_ids[0], 1), line(shops[0].variant_ids[1], quantity)])
    assert stock(connect, shops[0]) == [10, 10]


def test_quantities_whose_sum_is_beyond_an_integer_are_refused(connect: Any, shops: Any) -> None:
    variant = shops[0].variant_ids[0]
    with connect("app") as app, pytest.raises(errors.NumericValueOutOfRange):
        buy(app, shops[0], [line(variant, 2147483647), line(variant, 1)])


def test_another_tenants_variant_shopper_or_address_is_unknown(connect: Any, shops: Any) -> None:
    ours, theirs = shops
    cart = [line(ours.variant_ids[0], 1)]
    with connect("app") as app:
        with pytest.raises(errors.ForeignKeyViolation, match="is not for sale"):
            buy(app, ours, [line(theirs.variant_ids[0], 1)])
        with pytest.raises(errors.ForeignKeyViolation, match="shopper"):
            buy(app, ours, cart, user=theirs.user_id)
        with pytest.raises(errors.ForeignKeyViolation, match="address"):
            buy(app, ours, cart, address=theirs.address_id)
    assert (stock(connect, ours), stock(connect, theirs)) == ([10, 10], [10, 10])


def test_another_shoppers_address_is_refused(connect: Any, shops: Any) -> None:
    shop, _ = shops
    with connect("loader") as loader:
        row = loader.execute(
            "insert into ecommerce.users (tenant_id, person_id, email, password_hash)"
            " select tenant_id, person_id, 'other@example.com', '!' from ecommerce.users"
            " where tenant_id = %s returning id",
            (shop.tenant_id,),
        ).fetchone()
    with connect("app") as app, pytest.raises(errors.ForeignKeyViolation, match="not one of shopper"):
        buy(app, shop, [line(shop.variant_ids[0], 1)], user=row[0])


def test_an_archived_product_is_not_for_sale(connect: Any, shops: Any) -> None:
    shop, _ = shops
    with connect("app") as app:
        with tenant_context(app, shop.tenant_id):
            app.execute("update ecommerce.products set status = 'archived'")
        with pytest.raises(errors.ForeignKeyViolation, match="is not for sale"):
            buy(app, shop, [line(shop.variant_ids[0], 1)])


def test_without_a_tenant_or_without_settings_nothing_is_sold(connect: Any, shops: Any) -> None:
    shop, _ = shops
    with connect("app") as app:
        with pytest.raises(errors.InsufficientPrivilege, match="without a tenant"):
            app.execute(CHECKOUT, (shop.user_id, json.dumps([line(1, 1)]), shop.address_id, shop.address_id))
        app.rollback()
    with connect("loader") as loader:
        loader.execute("delete from ecommerce.store_settings where tenant_id = %s", (shop.tenant_id,))
    with connect("app") as app, pytest.raises(errors.ObjectNotInPrerequisiteState, match="store_settings"):
        buy(app, shop, [line(shop.variant_ids[0], 1)])


def test_only_a_tenants_role_may_check_out(connect: Any, shops: Any) -> None:
    for role in ("loader", "transformer", "auditor"):
        with connect(role) as connection, pytest.raises(errors.InsufficientPrivilege):
            connection.execute(CHECKOUT, (shops[0].user_id, "[]", None, None))


def test_concurrent_checkouts_of_overlapping_carts_neither_oversell_nor_deadlock(connect: Any, shops: Any) -> None:
    shop, _ = shops
    one, two = shop.variant_ids

    def attempt(number: int) -> str:
        # Opposite orders in the cart: locked as they come, two of these would wait for each other.
        cart = [line(one, 1), line(two, 1)] if number % 2 else [line(two, 1), line(one, 1)]
        with connect("app") as app:
            try:
                buy(app, shop, cart)
            except errors.CheckViolation:
                return "sold out"
            except psycopg.Error as error:
                return f"{error.sqlstate}"
        return "sold"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(24)))
    assert sorted(set(outcomes)) == ["sold", "sold out"]
    assert outcomes.count("sold") == 10
    assert stock(connect, shop) == [0, 0]
    assert orders(connect, shop) == 10
    with connect("auditor") as auditor:
        query = "select sum(quantity_change) from ecommerce.inventory_movements where tenant_id = %s"
        assert auditor.execute(query, (shop.tenant_id,)).fetchone() == (-20,)
