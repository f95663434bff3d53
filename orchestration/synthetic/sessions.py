"""Sessions of one day: who comes, when, with what, and how far down the funnel each gets."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from orchestration.cells.regions import Cell
from orchestration.loading.window import ScaleSize
from orchestration.synthetic.hashing import Ints, pick
from orchestration.synthetic.markets import DEVICE_SHARES, DEVICES, MARKETS, day_factor
from orchestration.synthetic.merchants import merchants
from orchestration.synthetic.shoppers import (
    RETURN_DECAY,
    RETURN_RATE,
    SESSIONS_PER_ACTIVE_DAY,
    Shoppers,
    activity,
    home_country,
    shoppers_through,
    signup_times,
    times_of_day,
    usual_device,
)

Flags = npt.NDArray[np.bool_]

ANONYMOUS = 0

# Most events of browsing in a session; with the longest gap between two this bounds a session's length.
_MOST_BROWSING = 20
_MEAN_EXTRA_BROWSING = 3.6

# Part of sessions that look at a product at all.
_VIEW_SHARE = 0.78

# Conversion from one step to the next by device (mobile, desktop, tablet): phones browse more and buy less.
_CART_AFTER_VIEW = np.array([0.26, 0.36, 0.30])
_CHECKOUT_AFTER_CART = np.array([0.44, 0.56, 0.50])
_PURCHASE_AFTER_CHECKOUT = np.array([0.58, 0.74, 0.66])
# Who has not signed in puts less into a cart, seldom begins a checkout, and cannot finish one.
_ANONYMOUS_CART = 0.45
_ANONYMOUS_CHECKOUT = 0.5

# Part of carts with a second and with a third line.
_SECOND_LINE, _THIRD_LINE = 0.32, 0.09

_USUAL_DEVICE_SHARE = 0.8
_TRAVELLING_SHARE = 0.03
# Part of a signed-in shopper's sessions whose first events came before signing in.
_LATE_SIGN_IN_SHARE = 0.25
# Highest probability of coming back on a day, for the most devoted.
_MOST_DEVOTED = 0.95


@dataclass(frozen=True)
class Sessions:
    """Sessions of a day as parallel arrays.

    Attributes:
        merchant: index of the tenant.
        user: the shopper's id within the tenant, or ``ANONYMOUS``.
        start: microseconds into the day.
        country: index among the countries of the cell's market.
        device: index into ``DEVICES``.
        browsing: events before the cart: page views, product views, searches, clicks; at least 1.
        views: whether a product is viewed at all.
        lines: add_to_cart events, 0 to 3.
        checkout: whether checkout is begun.
        purchase: whether it ends in an order.
        signed_in_from: place of the first event that carries the user.
    """

    merchant: Ints
    user: Ints
    start: Ints
    country: Ints
    device: Ints
    browsing: Ints
    views: Flags
    lines: Ints
    checkout: Flags
    purchase: Flags
    signed_in_from: Ints

    def __len__(self) -> int:
        return len(self.merchant)

    @property
    def length(self) -> Ints:
        """Events of each session."""
        return self.browsing + self.lines + self.checkout + self.purchase


def _active(cell: Cell, day: date, known: Shoppers, *, day_index: int, seed: int, random: np.random.Generator) -> Ints:
    """Return the positions in ``known`` of who is active on the day: all won on it, and those who come back."""
    age = day_index - known.won_on
    returning = RETURN_RATE * (1.0 + np.maximum(age, 0)) ** -RETURN_DECAY
    chance = np.minimum(returning * activity(cell, known, seed) * day_factor(cell, day), _MOST_DEVOTED)
    chance[age == 0] = 1.0
    return np.flatnonzero(random.random(len(known)) < chance)


def visitors(
    cell: Cell, day: date, *, size: ScaleSize, seed: int, first_day: date, random: np.random.Generator
) -> tuple[Shoppers, Ints]:
    """Return one entry per session of a signed-in shopper, shuffled, and its start in microseconds into the day.

    The first session of a shopper won on this day begins when they sign up, the others later.
    """
    day_index = (day - first_day).days
    known = shoppers_through(cell, day_index, size=size, seed=seed)
    active = _active(cell, day, known, day_index=day_index, seed=seed, random=random)
    count = random.geometric(1 / SESSIONS_PER_ACTIVE_DAY, len(active))
    is_first = np.zeros(int(count.sum()), dtype=np.bool_)
    is_first[np.cumsum(count) - count] = True
    who = np.repeat(active, count)
    guests = known.of(who)
    start = times_of_day(cell, day, home_country(cell, guests, seed), random.random(len(guests)))
    is_new = guests.won_on == day_index
    signup = signup_times(cell, day, guests, seed)
    start = np.where(is_new & ~is_first & (start < signup), signup + (start % 7_200_000_000), start)
    start = np.where(is_new & is_first, signup, start)
    order = random.permutation(len(guests))
    return guests.of(order), start[order]


def _behaviour(
    merchant: Ints, user: Ints, start: Ints, *, country: Ints, device: Ints, random: np.random.Generator
) -> Sessions:
    """Return the sessions with how far each gets drawn."""
    count = len(merchant)
    signed_in = user != ANONYMOUS
    views = random.random(count) < _VIEW_SHARE
    cart_chance = _CART_AFTER_VIEW[device] * np.where(signed_in, 1.0, _ANONYMOUS_CART)
    cart = views & (random.random(count) < cart_chance)
    checkout_chance = _CHECKOUT_AFTER_CART[device] * np.where(signed_in, 1.0, _ANONYMOUS_CHECKOUT)
    checkout = cart & (random.random(count) < checkout_chance)
    purchase = checkout & signed_in & (random.random(count) < _PURCHASE_AFTER_CHECKOUT[device])
    more = random.random(count)
    lines = np.where(cart, 1 + (more < _SECOND_LINE).astype(np.int64) + (more < _THIRD_LINE), 0)
    browsing = np.minimum(random.geometric(1 / (1 + _MEAN_EXTRA_BROWSING), count), _MOST_BROWSING)
    # A product must have been looked at before it is put into the cart.
    browsing = np.maximum(browsing, np.where(views, 2, 1))
    late = random.random(count) < _LATE_SIGN_IN_SHARE
    signed_in_from = np.where(signed_in & late, (random.random(count) * browsing).astype(np.int64), 0)
    return Sessions(merchant, user, start, country, device, browsing, views, lines, checkout, purchase, signed_in_from)


def identified_sessions(
    cell: Cell, guests: Shoppers, start: Ints, *, seed: int, random: np.random.Generator
) -> Sessions:
    """Return the sessions of signed-in shoppers, see ``visitors``."""
    count = len(guests)
    countries = len(MARKETS[cell].countries)
    home = home_country(cell, guests, seed)
    country = np.where(random.random(count) < _TRAVELLING_SHARE, random.integers(0, countries, count), home)
    usual = usual_device(cell, guests, seed)
    device = np.where(random.random(count) < _USUAL_DEVICE_SHARE, usual, random.integers(0, len(DEVICES), count))
    return _behaviour(guests.merchant, guests.number, start, country=country, device=device, random=random)


def anonymous_sessions(
    cell: Cell, day: date, count: int, *, size: ScaleSize, seed: int, random: np.random.Generator
) -> Sessions:
    """Return ``count`` sessions of people who never sign in."""
    merchant = pick(random.random(count), merchants(cell, size, seed).traffic)
    country = pick(random.random(count), (country.share for country in MARKETS[cell].countries))
    device = pick(random.random(count), DEVICE_SHARES)
    start = times_of_day(cell, day, country, random.random(count))
    nobody = np.full(count, ANONYMOUS, dtype=np.int64)
    return _behaviour(merchant, nobody, start, country=country, device=device, random=random)


def joined(first: Sessions, second: Sessions) -> Sessions:
    """Return the sessions of both."""
    return Sessions(
        **{
            name: np.concatenate((getattr(first, name), getattr(second, name)))
            for name in Sessions.__dataclass_fields__
        }
    )


def cut_to(sessions: Sessions, events: int) -> tuple[Sessions, Ints]:
    """Return the leading sessions that come to exactly ``events`` events, and each one's length.

    The last one ends where the number is reached, as if its visitor had closed the page.
    """
    length = sessions.length
    ends = np.cumsum(length)
    count = int(np.searchsorted(ends, events, side="left")) + 1 if events else 0
    kept = Sessions(**{name: getattr(sessions, name)[:count] for name in Sessions.__dataclass_fields__})
    length = length[:count].copy()
    if count:
        length[-1] -= max(int(ends[count - 1]) - events, 0)
    return kept, length
