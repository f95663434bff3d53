"""An account that a person takes along into the same merchant's tenant of another cell: what arrives, and what cannot.

Login, addresses, carts and reviews. Numbers are new; a product is the same where its SKU is. Carts that became orders
stay with the orders, and events with the shop in which they happened: neither is needed to go on shopping elsewhere.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from orchestration.persons.leaving import new_numbers
from orchestration.persons.personal_rows import Account
from orchestration.persons.statements import statement
from orchestration.tenancy.placement import Placement

Connection = psycopg.Connection[Any]

# Relation -> the account's parked rows of it, as JSON.
ParkedRows = Callable[[str], list[str]]

# A cart of this state is what an order was made of.
_ORDERED = "ordered"


@dataclass(frozen=True)
class CarriedAccount:
    """An account on its way.

    Attributes:
        shopper: the row of ecommerce.users, as JSON, like all rows here.
        addresses: its addresses.
        carts: each with SKU and quantity of its lines; a SKU is None where the old shop has none any more.
        reviews: each with its product's SKU.
    """

    shopper: str
    addresses: tuple[str, ...]
    carts: tuple[tuple[str, tuple[tuple[str | None, int], ...]], ...]
    reviews: tuple[tuple[str, str | None], ...]


def read_skus(
    connection: Connection, account: Account, table: Literal["product_variants", "products"], rows: Iterable[str]
) -> dict[int, str]:
    """Return, by number, the SKUs that the tenant that is left has of what rows of the account refer to."""
    column = {"product_variants": "variant_id", "products": "product_id"}[table]
    numbers = sorted({json.loads(row)[column] for row in rows})
    query = sql.SQL("select id, sku from {} where tenant_id = {} and id = any({}::bigint[])").format(
        account.place.identifier(f"ecommerce.{table}"), sql.Literal(account.tenant_id), sql.Literal(numbers)
    )
    return dict(connection.execute(query).fetchall())


def read(parked: ParkedRows, variants: Mapping[int, str], products: Mapping[int, str]) -> CarriedAccount:
    """Return what an account takes along of the rows that are parked."""
    items = [json.loads(row) for row in parked("ecommerce.cart_items")]
    carts: list[tuple[str, tuple[tuple[str | None, int], ...]]] = []
    for row in parked("ecommerce.carts"):
        cart = json.loads(row)
        lines = tuple(
            (variants.get(item["variant_id"]), int(item["quantity"])) for item in items if item["cart_id"] == cart["id"]
        )
        if cart["status"] != _ORDERED and lines:
            carts.append((row, lines))
    reviews = tuple((row, products.get(json.loads(row)["product_id"])) for row in parked("ecommerce.reviews"))
    return CarriedAccount(
        parked("ecommerce.users")[0], tuple(parked("ecommerce.addresses")), tuple(carts), tuple(reviews)
    )


def write(connection: Connection, place: Placement, carried: CarriedAccount) -> dict[str, int]:
    """Make the account in a tenant of the new cell, in the caller's transaction; return what arrived, and what did not.

    Args:
        connection: to the database of the tenant's rows, as migrator, passing fences; it knows the person.
        place: of the tenant's rows.
        carried: the account.

    Raises:
        psycopg.IntegrityError: somebody else has the address there, or the tenant's plan takes no more.
    """
    tables = ("users", "addresses", "carts", "cart_items", "reviews", "products", "product_variants")
    names: dict[str, Any] = {name: place.relation(f"ecommerce.{name}") for name in tables}
    names["tenant"] = sql.SQL("{}::uuid").format(sql.Literal(place.tenant_id))
    for table in ("users", "addresses", "carts", "reviews"):
        new_numbers(connection, names[table])

    def run(text: str, **more: object) -> "psycopg.Cursor[Any]":
        literals = {name: sql.Literal(value) for name, value in more.items()}
        return connection.execute(sql.SQL(statement(text)).format(**names, **literals))

    def number(cursor: "psycopg.Cursor[Any]") -> int:
        row = cursor.fetchone()
        return int(row[0]) if row is not None else 0

    shopper = number(run("arrive_shopper", row=carried.shopper))
    for address in carried.addresses:
        run("arrive_address", shopper=shopper, row=address)
    counts = {"accounts_carried": 1, "addresses_carried": len(carried.addresses)}
    counts |= dict.fromkeys(("carts_carried", "lines_carried", "lines_left", "reviews_carried", "reviews_left"), 0)
    for row, lines in carried.carts:
        cart = number(run("arrive_cart", shopper=shopper, row=row))
        known = [(sku, quantity) for sku, quantity in lines if sku is not None]
        arrived = run("arrive_cart_items", cart=cart, skus=[s for s, _ in known], quantities=[q for _, q in known])
        counts["lines_carried"] += arrived.rowcount
        counts["lines_left"] += len(lines) - arrived.rowcount
        if arrived.rowcount:
            counts["carts_carried"] += 1
        else:
            # An empty cart would only say that there had been one.
            connection.execute(
                sql.SQL("delete from {} where tenant_id = {} and id = {}").format(
                    names["carts"], names["tenant"], sql.Literal(cart)
                )
            )
    for row, sku in carried.reviews:
        written = run("arrive_review", shopper=shopper, row=row, sku=sku).rowcount
        counts["reviews_carried" if written else "reviews_left"] += 1
    return counts


def added(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums of counts, by name."""
    sums: dict[str, int] = {}
    for counts in each:
        for name, number in counts.items():
            sums[name] = sums.get(name, 0) + number
    return sums


def describe(counts: Mapping[str, int]) -> str:
    """Return for people what was carried, and what is left to the bundle."""
    told = [f"{number} {name.removesuffix('_carried')}" for name, number in sorted(counts.items()) if _arrived(name)]
    left = [f"{n} {name.removesuffix('_left')}" for name, n in sorted(counts.items()) if not _arrived(name) and n]
    said = f"carried over: {', '.join(told)}" if told else "no account carried over"
    return said + (f"; without the same product there, in the bundle alone: {', '.join(left)}" if left else "")


def _arrived(name: str) -> bool:
    return name.endswith("_carried")
