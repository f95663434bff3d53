"""Texts that events of a cell choose from, made once: page addresses, referrers, and properties that repeat."""

from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from orchestration.cells.regions import Cell
from orchestration.loading.arrow_columns import money_column
from orchestration.loading.window import ScaleSize
from orchestration.synthetic.hashing import Ints
from orchestration.synthetic.merchants import catalogue, merchants
from orchestration.synthetic.vocabulary import TRADES

_PATHS = ("/", "/new", "/sale", "/about", "/help", "/cart", "/checkout", "/thank-you")
BROWSABLE_PATHS = 5
CART_PATH, CHECKOUT_PATH, THANKS_PATH = 5, 6, 7

# Where sessions come from; NULL is a typed address or an app without a referrer.
REFERRERS: tuple[tuple[str | None, float], ...] = (
    (None, 0.34),
    ("https://www.google.com/", 0.27),
    ("https://www.bing.com/", 0.04),
    ("https://duckduckgo.com/", 0.03),
    ("https://www.instagram.com/", 0.12),
    ("https://www.tiktok.com/", 0.06),
    ("https://www.youtube.com/", 0.04),
    ("https://news.example.com/reviews", 0.03),
    ("https://mail.example.com/newsletter", 0.07),
)

_SEARCHES = tuple(dict.fromkeys(leaf.noun.lower() for trade in TRADES for leaf in trade.leaves))
_ELEMENTS = (
    "hero-banner",
    "size-guide",
    "filter-price",
    "filter-size",
    "next-page",
    "gallery",
    "wishlist",
    "newsletter",
)
_LOAD_MILLISECONDS = range(90, 1_290, 4)


@dataclass(frozen=True)
class Texts:
    """Texts of a cell.

    Attributes:
        addresses: each merchant's pages, then each product's page, then the external referrers (the first is NULL).
        first_product_page: index of the first product's page.
        first_referrer: index of the first external referrer.
        properties: JSON of page views, then searches, then clicks, then each product's view.
        first_search, first_click, first_view: where those begin.
    """

    addresses: pa.Array
    first_product_page: int
    first_referrer: int
    properties: pa.Array
    first_search: int
    first_click: int
    first_view: int

    def page(self, merchant: Ints, path: Ints | int) -> Ints:
        """Return the indices of merchants' own pages."""
        return merchant * len(_PATHS) + path


@lru_cache(maxsize=4)
def texts(cell: Cell, size: ScaleSize, seed: int) -> Texts:
    """Return the texts of ``cell``."""
    sellers = merchants(cell, size, seed)
    goods = catalogue(cell, size, seed)
    hosts = [f"https://{subdomain}.example.com" for subdomain in sellers.subdomains]
    addresses: list[str | None] = [host + path for host in hosts for path in _PATHS]
    first_product_page = len(addresses)
    owners, numbers = goods.merchant.tolist(), goods.number.tolist()
    addresses.extend(f"{hosts[owner]}/products/{number}" for owner, number in zip(owners, numbers, strict=True))
    first_referrer = len(addresses)
    addresses.extend(referrer for referrer, _ in REFERRERS)

    properties = [f'{{"load_ms":{milliseconds}}}' for milliseconds in _LOAD_MILLISECONDS]
    first_search = len(properties)
    properties.extend(f'{{"query":"{word}","results":{3 * len(word)}}}' for word in _SEARCHES)
    first_click = len(properties)
    properties.extend(f'{{"element":"{element}"}}' for element in _ELEMENTS)
    first_view = len(properties)
    prices = money_column(goods.price_cents).cast(pa.string()).to_pylist()
    leaves = [
        TRADES[trade].leaves[leaf].name.lower()
        for trade, leaf in zip(sellers.trade[goods.merchant].tolist(), goods.leaf.tolist(), strict=True)
    ]
    properties.extend(
        f'{{"product_id":{number},"category":"{leaf}","price":{price}}}'
        for number, leaf, price in zip(numbers, leaves, prices, strict=True)
    )
    return Texts(
        addresses=pa.array(addresses, pa.string()),
        first_product_page=first_product_page,
        first_referrer=first_referrer,
        properties=pa.array(properties, pa.string()),
        first_search=first_search,
        first_click=first_click,
        first_view=first_view,
    )
