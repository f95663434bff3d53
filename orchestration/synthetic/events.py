"""Synthetic events: one day of one cell, deterministic for seed, scale, cell, first day and day.

Vectorised throughout: no step per event runs in Python. Streams come from NumPy's PCG64, whose draws are the same on
any machine for one version of NumPy, which the lock file pins.

What a day looks like: merchants' traffic is Zipf-distributed; shoppers won on the day and earlier ones who come back
(see ``shoppers``) cause most sessions, passers-by the rest; each session browses, and some go on to cart, checkout
and purchase (see ``sessions``); a session lies within its UTC day. Rows come in the order of arrival, a little
different from the order of time, a few of them much later.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.cells.regions import Cell
from orchestration.loading.arrow_columns import chosen_text, money_column, uuid_column
from orchestration.loading.copy_loader import MAX_BLOCK_ROWS
from orchestration.loading.id_spaces import first_order_id
from orchestration.loading.window import ScaleSize, share_out
from orchestration.synthetic.hashing import Floats, Ints, pick, random_uuids
from orchestration.synthetic.markets import DEVICES, MARKETS
from orchestration.synthetic.merchants import Catalogue, catalogue, merchants
from orchestration.synthetic.pages import (
    BROWSABLE_PATHS,
    CART_PATH,
    CHECKOUT_PATH,
    REFERRERS,
    THANKS_PATH,
    Texts,
    texts,
)
from orchestration.synthetic.sessions import (
    ANONYMOUS,
    Sessions,
    anonymous_sessions,
    cut_to,
    identified_sessions,
    joined,
    visitors,
)
from orchestration.synthetic.shoppers import EVENTS_PER_SESSION, Shoppers
from orchestration.synthetic.traffic import day_events

EVENT_TYPES = ("page_view", "product_view", "search", "click", "add_to_cart", "checkout_start", "purchase")
PAGE_VIEW, PRODUCT_VIEW, SEARCH, CLICK, ADD_TO_CART, CHECKOUT_START, PURCHASE = range(7)

# The steps of the shop's funnel, in order.
FUNNEL = ("page_view", "product_view", "add_to_cart", "checkout_start", "purchase")

DAY_MICROSECONDS = 86_400_000_000

# Between two events of a session, in seconds: at least, on average beyond that, at most.
_GAP_LEAST, _GAP_MEAN, _GAP_MOST = 1.0, 34.0, 180.0
# From an event to its arrival, in seconds: on average, and for the few that a phone held back.
_DELAY_MEAN, _DELAY_HELD_BACK, _HELD_BACK_SHARE = 4.0, 1_500.0, 0.02

# Browsing after the landing page: page view, product view, search, click.
_BROWSING_SHARES = (0.24, 0.52, 0.14, 0.10)
_BROWSING_WITHOUT_PRODUCTS = (0.62, 0.0, 0.22, 0.16)

# Exponent that makes a merchant's first products its best sellers.
_POPULARITY = 1.8
_QUANTITY_SHARES = (0.78, 0.16, 0.06)


@dataclass(frozen=True)
class _Day:
    """What the events of one partition are made from."""

    cell: Cell
    day: date
    size: ScaleSize
    seed: int
    goods: Catalogue
    texts: Texts


@dataclass(frozen=True)
class _Rows:
    """Events before they become columns: for each, its session, its place in it, its type, product and variant."""

    session: Ints
    place: Ints
    starts: Ints
    kind: Ints
    product: Ints
    variant: Ints


def _stream(day: _Day, first_day: date) -> np.random.Generator:
    name = f"{day.seed}/{day.cell}/{day.size}/{first_day}/{day.day}"
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "big"))


def _kinds(sessions: Sessions, session: Ints, place: Ints, random: np.random.Generator) -> Ints:
    browsing = sessions.browsing[session]
    draw = random.random(len(session))
    kind = np.where(sessions.views[session], pick(draw, _BROWSING_SHARES), pick(draw, _BROWSING_WITHOUT_PRODUCTS))
    kind[place == 0] = PAGE_VIEW
    # A session that looks at products looks at one last, so that what goes into the cart was seen.
    kind[(place == browsing - 1) & sessions.views[session]] = PRODUCT_VIEW
    after = place - browsing
    lines = sessions.lines[session]
    kind[after >= 0] = ADD_TO_CART
    kind[(after >= lines) & (after >= 0)] = CHECKOUT_START
    kind[(after > lines) & (after >= 0)] = PURCHASE
    return kind


def _expand(day: _Day, sessions: Sessions, length: Ints, random: np.random.Generator) -> _Rows:
    """Return one entry per event of the sessions."""
    starts = np.cumsum(length) - length
    session = np.repeat(np.arange(len(length), dtype=np.int64), length)
    place = np.arange(len(session), dtype=np.int64) - starts[session]
    kind = _kinds(sessions, session, place, random)
    merchant = sessions.merchant[session]
    first, last = day.goods.first_product[merchant], day.goods.first_product[merchant + 1]
    product = first + ((last - first) * random.random(len(session)) ** _POPULARITY).astype(np.int64)
    # The first thing put into the cart is what was looked at just before.
    into_cart = np.flatnonzero((place == sessions.browsing[session]) & (kind == ADD_TO_CART))
    product[into_cart] = product[into_cart - 1]
    first, last = day.goods.first_variant[product], day.goods.first_variant[product + 1]
    variant = first + ((last - first) * random.random(len(session))).astype(np.int64)
    return _Rows(session, place, starts, kind, product, variant)


def _times(sessions: Sessions, rows: _Rows, length: Ints, random: np.random.Generator) -> Ints:
    """Return each event's microseconds into the day; a session that would run over midnight begins earlier."""
    gaps = np.minimum(_GAP_LEAST + random.exponential(_GAP_MEAN, len(rows.session)), _GAP_MOST)
    passed = np.cumsum((gaps * 1e6).astype(np.int64))
    passed -= passed[rows.starts][rows.session]
    last = sessions.start + passed[rows.starts + length - 1]
    start = sessions.start - np.maximum(last - (DAY_MICROSECONDS - 1), 0)
    return np.asarray(start[rows.session] + passed, dtype=np.int64)


def _addresses(day: _Day, sessions: Sessions, rows: _Rows, random: np.random.Generator) -> tuple[Ints, Ints]:
    """Return each event's page and referrer as indices of the cell's addresses."""
    merchant = sessions.merchant[rows.session]
    path = (random.random(len(rows.session)) ** 2 * BROWSABLE_PATHS).astype(np.int64)
    path[rows.place == 0] = path[rows.place == 0] % 3
    path[rows.kind == CHECKOUT_START] = CHECKOUT_PATH
    path[rows.kind == PURCHASE] = THANKS_PATH
    page = day.texts.page(merchant, path)
    on_product = (rows.kind == PRODUCT_VIEW) | (rows.kind == ADD_TO_CART)
    page[on_product] = day.texts.first_product_page + rows.product[on_product]
    more_lines = np.flatnonzero((rows.kind == ADD_TO_CART) & (rows.place > sessions.browsing[rows.session]))
    page[more_lines] = day.texts.page(merchant[more_lines], CART_PATH)
    referrer = np.empty_like(page)
    referrer[1:] = page[:-1]
    landing = rows.place == 0
    outside = pick(random.random(int(landing.sum())), (share for _, share in REFERRERS))
    referrer[landing] = day.texts.first_referrer + outside
    return page, referrer


@dataclass(frozen=True)
class _Cart:
    """Lines of the carts: the events that added them, in order, with quantity and price."""

    event: Ints
    session: Ints
    quantity: Ints
    unit_cents: Ints
    variant_number: Ints
    product_number: Ints


def _cart(day: _Day, rows: _Rows, random: np.random.Generator) -> _Cart:
    event = np.flatnonzero(rows.kind == ADD_TO_CART)
    product, variant = rows.product[event], rows.variant[event]
    return _Cart(
        event=event,
        session=rows.session[event],
        quantity=1 + pick(random.random(len(event)), _QUANTITY_SHARES),
        unit_cents=day.goods.price_cents[product] + day.goods.variant_adjustment_cents[variant],
        variant_number=day.goods.variant_number[variant],
        product_number=day.goods.number[product],
    )


def _json(*parts: pa.Array | Ints | str) -> pa.Array:
    """Return the parts of a JSON text behind each other, elementwise."""
    texts_of = [pa.scalar(part) if isinstance(part, str) else pc.cast(pa.array(part), pa.string()) for part in parts]
    return pc.binary_join_element_wise(*texts_of, pa.scalar(""))


def _order_items(cart: _Cart, bought: Ints) -> pa.Array:
    """Return the cart lines of the given sessions, ascending, as JSON arrays."""
    ordered = np.isin(cart.session, bought, assume_unique=False)
    cents = cart.unit_cents[ordered]
    quantity = cart.quantity[ordered]
    lines = _json(
        '{"variant_id":', cart.variant_number[ordered], ',"quantity":', quantity, ',"price":', money_column(cents),
        ',"total":', money_column(cents * quantity), "}",
    )  # fmt: skip
    offsets = np.searchsorted(cart.session[ordered], bought)
    per_order = pa.ListArray.from_arrays(pa.array(np.append(offsets, len(lines)).astype(np.int32)), lines)
    return _json("[", pc.binary_join(per_order, ","), "]")


def _cart_properties(day: _Day, sessions: Sessions, rows: _Rows, cart: _Cart, first_order: int) -> list[pa.Array]:
    """Return the properties of add_to_cart, checkout_start and purchase events, each in the order of the events."""
    subtotal = np.bincount(cart.session, weights=cart.unit_cents * cart.quantity, minlength=len(sessions))
    subtotal_cents = np.rint(subtotal).astype(np.int64)
    pieces = np.bincount(cart.session, weights=cart.quantity, minlength=len(sessions)).astype(np.int64)
    added = _json(
        '{"product_id":', cart.product_number, ',"variant_id":', cart.variant_number, ',"quantity":', cart.quantity,
        ',"price":', money_column(cart.unit_cents), "}",
    )  # fmt: skip
    begun = rows.session[rows.kind == CHECKOUT_START]
    checkout = _json('{"items":', pieces[begun], ',"cart_value":', money_column(subtotal_cents[begun]), "}")
    bought = rows.session[rows.kind == PURCHASE]
    net = subtotal_cents[bought]
    market = MARKETS[day.cell]
    # Rounded once per order, half up, on whole cents.
    tax = (net * round(market.tax_rate * 100) + 50) // 100
    currencies = pa.array(merchants(day.cell, day.size, day.seed).currencies)
    purchase = _json(
        '{"order_id":', first_order + np.arange(len(bought), dtype=np.int64),
        ',"revenue":', money_column(net + tax + market.shipping_cents),
        ',"currency":"', currencies.take(pa.array(sessions.merchant[bought])),
        '","subtotal":', money_column(net), ',"tax":', money_column(tax),
        ',"shipping":', money_column(np.full(len(bought), market.shipping_cents, dtype=np.int64)),
        ',"items":', _order_items(cart, bought), "}",
    )  # fmt: skip
    return [added, checkout, purchase]


def _properties(
    day: _Day, sessions: Sessions, rows: _Rows, first_order: int, random: np.random.Generator
) -> tuple[pa.Array, Ints]:
    """Return properties as JSON texts, and each event's index among them."""
    draw = random.random(len(rows.kind))
    begin = {PAGE_VIEW: 0, SEARCH: day.texts.first_search, CLICK: day.texts.first_click}
    end = {PAGE_VIEW: day.texts.first_search, SEARCH: day.texts.first_click, CLICK: day.texts.first_view}
    index = np.empty(len(rows.kind), dtype=np.int64)
    for kind, first in begin.items():
        chosen = rows.kind == kind
        # Squared: fast pages and common words are the most frequent.
        index[chosen] = first + (draw[chosen] ** 2 * (end[kind] - first)).astype(np.int64)
    viewed = rows.kind == PRODUCT_VIEW
    index[viewed] = day.texts.first_view + rows.product[viewed]
    made = _cart_properties(day, sessions, rows, _cart(day, rows, random), first_order)
    first = len(day.texts.properties)
    for kind, values in zip((ADD_TO_CART, CHECKOUT_START, PURCHASE), made, strict=True):
        index[rows.kind == kind] = first + np.arange(len(values), dtype=np.int64)
        first += len(values)
    return pa.concat_arrays([day.texts.properties, *made]), index


def _arrival(times: Ints, random: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return the order of arrival."""
    delay: Floats = random.exponential(_DELAY_MEAN, len(times))
    held_back = random.random(len(times)) < _HELD_BACK_SHARE
    delay += np.where(held_back, random.exponential(_DELAY_HELD_BACK, len(times)), 0.0)
    return np.argsort(times + (delay * 1e6).astype(np.int64), kind="stable")


def _block(day: _Day, sessions: Sessions, length: Ints, first_order: int, random: np.random.Generator) -> pa.Table:
    """Return the events of the sessions as columns of ``analytics.events``, in the order of arrival."""
    rows = _expand(day, sessions, length, random)
    times = _times(sessions, rows, length, random)
    page, referrer = _addresses(day, sessions, rows, random)
    properties, chosen = _properties(day, sessions, rows, first_order, random)
    session_ids, event_ids = random_uuids(random, len(sessions)), random_uuids(random, len(times))
    order = _arrival(times, random)

    session = rows.session[order]
    midnight = int(datetime(day.day.year, day.day.month, day.day.day, tzinfo=UTC).timestamp()) * 1_000_000
    user = sessions.user[session]
    unknown = (user == ANONYMOUS) | (rows.place[order] < sessions.signed_in_from[session])
    merchant = sessions.merchant[session]
    countries = tuple(country.code for country in MARKETS[day.cell].countries)
    return pa.table(
        {
            "time": pa.array(times[order] + midnight).cast(pa.timestamp("us", "UTC")),
            "tenant_id": uuid_column(merchants(day.cell, day.size, day.seed).uuids[merchant]),
            "event_id": uuid_column(event_ids),
            "session_id": uuid_column(session_ids[session]),
            "user_id": pa.array(user, mask=unknown),
            "event_type": chosen_text(EVENT_TYPES, rows.kind[order]),
            "page_url": day.texts.addresses.take(pa.array(page[order])),
            "referrer": day.texts.addresses.take(pa.array(referrer[order])),
            "properties": properties.take(pa.array(chosen[order])),
            "device_type": chosen_text(DEVICES, sessions.device[session]),
            "country": chosen_text(countries, sessions.country[session]),
        }
    )


def _filled(
    day: _Day, guests: Shoppers, start: Ints, events: int, random: np.random.Generator
) -> tuple[Sessions, Ints]:
    """Return sessions of exactly ``events`` events: the guests', and passers-by for what is left."""
    sessions = identified_sessions(day.cell, guests, start, seed=day.seed, random=random)
    missing = events - int(sessions.length.sum())
    while missing > 0:
        count = int(missing / EVENTS_PER_SESSION * 1.5) + 8
        passing = anonymous_sessions(day.cell, day.day, count, size=day.size, seed=day.seed, random=random)
        sessions = joined(sessions, passing)
        missing -= int(passing.length.sum())
    return cut_to(sessions, events)


def generate_day(cell: Cell, day: date, *, size: ScaleSize, seed: int, first_day: date) -> Iterator[pa.Table]:
    """Yield the events of the daily partition ``day`` of ``cell``, in blocks of at most ``MAX_BLOCK_ROWS`` rows.

    Args:
        cell: whose countries, merchants and shoppers.
        day: the partition: every event has ``day 00:00 <= time < day + 1 00:00`` in UTC.
        size: the scale, ``SCALES[...]``.
        seed: the generator's seed; the same arguments give the same rows, in the same order.
        first_day: the platform's first day.

    Yields:
        the columns of ``analytics.events`` without ``origin`` and ``load_id``, which the load adds: ``time``
        (timestamp, microseconds, UTC), ``tenant_id``, ``event_id`` and ``session_id`` (16 bytes), ``user_id``
        (int64, NULL when not signed in), ``event_type``, ``page_url``, ``referrer`` (NULL when there is none),
        ``properties`` (JSON text), ``device_type``, ``country``.

    Raises:
        WindowError: the day lies before the platform's first.
    """
    total = day_events(cell, day, size=size, first_day=first_day)
    context = _Day(cell, day, size, seed, catalogue(cell, size, seed), texts(cell, size, seed))
    random = _stream(context, first_day)
    guests, start = visitors(cell, day, size=size, seed=seed, first_day=first_day, random=random)
    blocks = max(-(-total // MAX_BLOCK_ROWS), 1)
    first_order = first_order_id(day)
    edges = np.linspace(0, len(guests), blocks + 1).astype(np.int64)
    for number, events in enumerate(share_out(total, [1 / blocks] * blocks)):
        part = slice(edges[number], edges[number + 1])
        sessions, length = _filled(context, guests.of(part), start[part], events, random)
        if len(sessions):
            yield _block(context, sessions, length, first_order, random)
            first_order += len(sessions)
