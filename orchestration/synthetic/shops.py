"""Rows of merchants and their shops: tenants, settings, category trees, products and variants."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from orchestration.cells.regions import Cell
from orchestration.loading.arrow_columns import chosen_text, constant_text, money_column, uuid_column
from orchestration.loading.window import ScaleSize
from orchestration.synthetic.markets import MARKETS
from orchestration.synthetic.merchants import Catalogue, Merchants, catalogue, merchants
from orchestration.synthetic.people import signed_up
from orchestration.synthetic.vocabulary import COLORS, SIZES, TRADES, Trade


@dataclass(frozen=True)
class ShopRows:
    """Rows of a cell's merchants and what they sell, in the order they must be written."""

    tenants: pa.Table
    store_settings: pa.Table
    categories: pa.Table
    products: pa.Table
    variants: pa.Table


@dataclass(frozen=True)
class _Category:
    """A category of a trade's tree: ``parent`` is the id of the one above; ids count from 1, parents first."""

    name: str
    slug: str
    path: str
    parent: int | None


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")


def category_tree(trade: Trade) -> tuple[tuple[_Category, ...], tuple[int, ...]]:
    """Return a trade's categories, root, branches, then leaves, and the id of each leaf in the order of the leaves."""
    root = _slug(trade.name)
    tree = [_Category(trade.name, root, root.replace("-", "_"), None)]
    for name, _ in trade.branches:
        slug = _slug(name)
        tree.append(_Category(name, slug, f"{tree[0].path}.{slug.replace('-', '_')}", 1))
    leaf_ids = []
    for branch, (_, leaves) in enumerate(trade.branches, start=2):
        for leaf in leaves:
            slug = _slug(leaf.name)
            tree.append(_Category(leaf.name, slug, f"{tree[branch - 1].path}.{slug.replace('-', '_')}", branch))
            leaf_ids.append(len(tree))
    return tuple(tree), tuple(leaf_ids)


def _tenants(sellers: Merchants, created_at: pa.Array) -> pa.Table:
    rows = len(sellers)
    return pa.table(
        {
            "id": uuid_column(sellers.uuids),
            "name": pa.array(sellers.names, pa.string()),
            "subdomain": pa.array(sellers.subdomains, pa.string()),
            "plan": pa.array(sellers.plans, pa.string()),
            "status": constant_text("active", rows),
            "created_at": created_at,
        }
    )


def _store_settings(sellers: Merchants) -> pa.Table:
    market = MARKETS[sellers.cell]
    rows = len(sellers)
    return pa.table(
        {
            "tenant_id": uuid_column(sellers.uuids),
            "currency": pa.array(sellers.currencies, pa.string()),
            "tax_rate": money_column(np.full(rows, round(market.tax_rate * 100), dtype=np.int64)),
            "shipping_amount": money_column(np.full(rows, market.shipping_cents, dtype=np.int64)),
        }
    )


def _categories(sellers: Merchants) -> pa.Table:
    trees = [category_tree(trade)[0] for trade in TRADES]
    rows = [
        (seller, number, category)
        for seller, trade in enumerate(sellers.trade.tolist())
        for number, category in enumerate(trees[trade], start=1)
    ]
    return pa.table(
        {
            "tenant_id": uuid_column(sellers.uuids[np.array([seller for seller, _, _ in rows], dtype=np.int64)]),
            "id": pa.array([number for _, number, _ in rows], pa.int64()),
            "name": pa.array([category.name for _, _, category in rows], pa.string()),
            "parent_id": pa.array([category.parent for _, _, category in rows], pa.int64()),
            "slug": pa.array([category.slug for _, _, category in rows], pa.string()),
            "path": pa.array([category.path for _, _, category in rows], pa.string()),
        }
    )


def _products(sellers: Merchants, goods: Catalogue, created_at: pa.Array) -> pa.Table:
    leaf_ids = [category_tree(trade)[1] for trade in TRADES]
    trades = sellers.trade[goods.merchant].tolist()
    categories = [leaf_ids[trade][leaf] for trade, leaf in zip(trades, goods.leaf.tolist(), strict=True)]
    return pa.table(
        {
            "tenant_id": uuid_column(sellers.uuids[goods.merchant]),
            "id": pa.array(goods.number),
            "name": pa.array(goods.names, pa.string()),
            "description": constant_text("A synthetic product of a synthetic shop.", len(goods.names)),
            "category_id": pa.array(categories, pa.int64()),
            "base_price": money_column(goods.price_cents),
            "sku": pa.array([f"P-{number:05d}" for number in goods.number.tolist()], pa.string()),
            "status": constant_text("active", len(goods.names)),
            "created_at": created_at.take(pa.array(goods.merchant)),
        }
    )


def _variants(sellers: Merchants, goods: Catalogue) -> pa.Table:
    attributes = tuple(f'{{"color": "{color}", "size": "{size}"}}' for color in COLORS for size in SIZES)
    return pa.table(
        {
            "tenant_id": uuid_column(sellers.uuids[goods.merchant[goods.variant_product]]),
            "id": pa.array(goods.variant_number),
            "product_id": pa.array(goods.number[goods.variant_product]),
            "sku": pa.array([f"V-{number:06d}" for number in goods.variant_number.tolist()], pa.string()),
            "attributes": chosen_text(attributes, goods.variant_color * len(SIZES) + goods.variant_size),
            "price_adjustment": money_column(goods.variant_adjustment_cents),
            "inventory_count": pa.array(goods.variant_stock),
        }
    )


def shop_rows(cell: Cell, *, size: ScaleSize, seed: int, first_day: date) -> ShopRows:
    """Return the rows of the merchants of ``cell`` and what they sell."""
    sellers = merchants(cell, size, seed)
    goods = catalogue(cell, size, seed)
    created_at = signed_up(sellers, seed, first_day)
    return ShopRows(
        tenants=_tenants(sellers, created_at),
        store_settings=_store_settings(sellers),
        categories=_categories(sellers),
        products=_products(sellers, goods, created_at),
        variants=_variants(sellers, goods),
    )
