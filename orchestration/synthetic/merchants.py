"""The merchants of a cell and what they sell: a function of cell, number of tenants and seed, nothing else.

A merchant keeps identity, name and catalogue when the scale grows: scale only adds merchants behind the last one.
"""

from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

import numpy as np

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.loading.copy_loader import NAMESPACE
from orchestration.loading.window import ScaleSize, share_out
from orchestration.synthetic.hashing import Floats, Ints, Uuids, uniform, uuid5_bytes
from orchestration.synthetic.markets import MARKETS
from orchestration.synthetic.vocabulary import (
    BUSINESS_ADJECTIVES,
    BUSINESS_KINDS,
    BUSINESS_NOUNS,
    COLORS,
    PRODUCT_ADJECTIVES,
    SIZES,
    TRADES,
)

# Exponent of the Zipf law of merchants' traffic: the largest of 25 gets about a fifth, the smallest a hundredth.
ZIPF_EXPONENT = 0.9

MIN_PRODUCTS, MAX_PRODUCTS = 12, 36
MIN_VARIANTS, MAX_VARIANTS = 1, 4

# Coprime to the number of names, so that consecutive numbers walk through all of them without repeating one.
_NAME_STRIDE = 7919

PLANS = ("free", "starter", "pro", "enterprise")


@dataclass(frozen=True)
class Merchants:
    """Merchants of a cell, largest first; all sequences have one entry per merchant.

    Attributes:
        uuids: tenant ids, shape (n, 16).
        traffic: part of the cell's traffic; adds up to 1.
        trade: index into ``TRADES``: what the merchant sells.
    """

    cell: Cell
    ids: tuple[UUID, ...]
    uuids: Uuids
    names: tuple[str, ...]
    subdomains: tuple[str, ...]
    plans: tuple[str, ...]
    currencies: tuple[str, ...]
    traffic: Floats
    trade: Ints

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Catalogue:
    """Products and variants of all merchants of a cell, by merchant, as parallel arrays.

    Attributes:
        merchant: index of the product's merchant.
        number: the product's id within its tenant, from 1.
        leaf: index of its category among the leaves of the merchant's trade.
        price_cents: base price in hundredths of the merchant's currency.
        first_product: index of each merchant's first product; one more entry than merchants.
        variant_product: index of the variant's product.
        variant_number: the variant's id within its tenant, from 1.
        variant_adjustment_cents: added to the product's price.
        first_variant: index of each product's first variant; one more entry than products.
    """

    merchant: Ints
    number: Ints
    leaf: Ints
    names: tuple[str, ...]
    price_cents: Ints
    first_product: Ints
    variant_product: Ints
    variant_number: Ints
    variant_color: Ints
    variant_size: Ints
    variant_adjustment_cents: Ints
    variant_stock: Ints
    first_variant: Ints


def tenant_count(cell: Cell, size: ScaleSize) -> int:
    """Return how many of the scale's tenants live in ``cell``."""
    counts = share_out(size.tenants, [REGIONS[name].share for name in CELLS])
    return counts[CELLS.index(cell)]


def _business_name(number: int) -> str:
    total = len(BUSINESS_ADJECTIVES) * len(BUSINESS_NOUNS) * len(BUSINESS_KINDS)
    place = number * _NAME_STRIDE % total
    place, kind = divmod(place, len(BUSINESS_KINDS))
    adjective, noun = divmod(place, len(BUSINESS_NOUNS))
    return f"{BUSINESS_ADJECTIVES[adjective]} {BUSINESS_NOUNS[noun]} {BUSINESS_KINDS[kind]}"


def _plan(rank: float) -> str:
    """Return the plan of a merchant by its rank from 0 (largest) to 1."""
    if rank < 0.08:
        return "enterprise"
    if rank < 0.35:
        return "pro"
    return "starter" if rank < 0.75 else "free"


@lru_cache(maxsize=8)
def merchants(cell: Cell, size: ScaleSize, seed: int) -> Merchants:
    """Return the merchants of ``cell``, largest first."""
    count = tenant_count(cell, size)
    region = CELLS.index(cell)
    # Numbers interleave over the cells: a name is used once, in any cell and at any scale.
    names = tuple(_business_name(len(CELLS) * index + region) for index in range(count))
    uuids = uuid5_bytes(NAMESPACE, (f"tenant/{cell}/{index}" for index in range(count)))
    numbers = np.arange(count, dtype=np.int64)
    weights = np.power(numbers + 1.0, -ZIPF_EXPONENT)
    currencies = MARKETS[cell].currencies
    return Merchants(
        cell=cell,
        ids=tuple(UUID(bytes=row.tobytes()) for row in uuids),
        uuids=uuids,
        names=names,
        subdomains=tuple(name.lower().replace(" ", "-") for name in names),
        plans=tuple(_plan(index / count) for index in range(count)),
        currencies=tuple(currencies[index % len(currencies)] for index in range(count)),
        traffic=np.asarray(weights / max(weights.sum(), 1e-9), dtype=np.float64),
        trade=(uniform(seed, "trade", region, numbers) * len(TRADES)).astype(np.int64),
    )


def _runs(counts: Ints) -> tuple[Ints, Ints, Ints]:
    """Return, for runs of the given lengths: each run's start (and the end), the run of each item, its place in it."""
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    run = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return starts, run, np.arange(starts[-1], dtype=np.int64) - starts[run]


@lru_cache(maxsize=8)
def catalogue(cell: Cell, size: ScaleSize, seed: int) -> Catalogue:
    """Return what the merchants of ``cell`` sell."""
    sellers = merchants(cell, size, seed)
    region = CELLS.index(cell)
    spread = MAX_PRODUCTS - MIN_PRODUCTS + 1
    numbers = np.arange(len(sellers), dtype=np.int64)
    counts = MIN_PRODUCTS + (uniform(seed, "products", region, numbers) * spread).astype(np.int64)
    first_product, merchant, place = _runs(counts)
    leaves = np.array([len(trade.leaves) for trade in TRADES], dtype=np.int64)[sellers.trade[merchant]]
    leaf = place % leaves
    # Log-uniform between 5 and 250, ending in .99 or .49.
    price = 5.0 * 50.0 ** uniform(seed, "price", region, merchant, place)
    price_cents = price.astype(np.int64) * 100 + np.where(
        uniform(seed, "ending", region, merchant, place) < 0.7, 99, 49
    )
    adjective = (uniform(seed, "adjective", region, merchant, place) * len(PRODUCT_ADJECTIVES)).astype(np.int64)
    names = tuple(
        f"{PRODUCT_ADJECTIVES[adjective[item]]} {TRADES[sellers.trade[merchant[item]]].leaves[leaf[item]].noun}"
        f" {place[item] + 1}"
        for item in range(len(merchant))
    )

    variants = MIN_VARIANTS + (
        uniform(seed, "variants", region, merchant, place) * (MAX_VARIANTS - MIN_VARIANTS + 1)
    ).astype(np.int64)
    first_variant, product, choice = _runs(variants)
    owner = merchant[product]
    number = np.arange(len(product), dtype=np.int64) - first_variant[first_product[owner]] + 1
    return Catalogue(
        merchant=merchant,
        number=place + 1,
        leaf=leaf,
        names=names,
        price_cents=price_cents,
        first_product=first_product,
        variant_product=product,
        variant_number=number,
        variant_color=(uniform(seed, "color", region, owner, number) * len(COLORS)).astype(np.int64),
        variant_size=choice % len(SIZES),
        variant_adjustment_cents=choice * 150,
        variant_stock=50 + (uniform(seed, "stock", region, owner, number) * 950).astype(np.int64),
        first_variant=first_variant,
    )
