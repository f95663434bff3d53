"""Shoppers: when each was won, how likely they come back, where they live. A function of tenant, number and seed.

Each merchant wins shoppers at a steady rate from the platform's first day on, in proportion to its traffic; shopper
``n`` of a merchant is the same person with the same first day in every partition, seeded or not, and the merchant's
growth never ends with the window that was filled first.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.loading.window import ScaleSize
from orchestration.synthetic.hashing import Floats, Ints, pick, uniform
from orchestration.synthetic.markets import DEVICE_SHARES, MARKETS, intensity_by_minute
from orchestration.synthetic.merchants import merchants

# A shopper won x days ago is back on a day with probability RETURN_RATE * (1 + x) ** -RETURN_DECAY: 0.40 on the next
# day, 0.22 after a week, 0.12 after a month. Plausible, not measured.
RETURN_RATE = 0.55
RETURN_DECAY = 0.45

# Sessions of an active shopper on a day, and events in such a session, on average: what the generator comes to.
SESSIONS_PER_ACTIVE_DAY = 1.6
EVENTS_PER_SESSION = 5.6

# Part of all events that signed-in shoppers cause; the rest is anonymous browsing.
IDENTIFIED_SHARE = 0.72

# Nobody is won in the last two hours of a UTC day, so that their first session ends within the day they were won on.
_LAST_SIGNUP_MINUTE = 22 * 60


@dataclass(frozen=True)
class Shoppers:
    """Shoppers of a cell as parallel arrays.

    Attributes:
        merchant: index of the tenant.
        number: the shopper's id within the tenant, from 1.
        won_on: days from the platform's first day to the one the shopper was won on, from 0.
    """

    merchant: Ints
    number: Ints
    won_on: Ints

    def __len__(self) -> int:
        return len(self.number)

    def of(self, chosen: Ints | npt.NDArray[np.bool_] | slice) -> "Shoppers":
        """Return some of them, by position, by a mask, or in another order."""
        return Shoppers(self.merchant[chosen], self.number[chosen], self.won_on[chosen])


def expected_active(day_index: Ints) -> Floats:
    """Return the active shoppers expected on a day per shopper won a day: those won that day, and who come back."""
    last = int(day_index.max(initial=0))
    returning = RETURN_RATE * (1.0 + np.arange(1, last + 1)) ** -RETURN_DECAY
    return np.concatenate(([1.0], 1.0 + np.cumsum(returning)))[day_index]


@lru_cache(maxsize=16)
def _won_per_day(cell: Cell, size: ScaleSize) -> float:
    """Return the shoppers won a day in ``cell`` for whom the scale's number of events is the right amount."""
    visits = float(expected_active(np.arange(size.days)).sum()) * SESSIONS_PER_ACTIVE_DAY * EVENTS_PER_SESSION
    return size.events * REGIONS[cell].share * IDENTIFIED_SHARE / visits


def _rates(cell: Cell, size: ScaleSize, seed: int) -> tuple[Floats, Floats]:
    """Return each merchant's shoppers won a day, and its phase, so that not all win their next one on one day."""
    sellers = merchants(cell, size, seed)
    phase = uniform(seed, "phase", CELLS.index(cell), np.arange(len(sellers), dtype=np.int64))
    # A merchant without traffic has its first shopper all the same.
    return np.maximum(_won_per_day(cell, size) * sellers.traffic, 1e-9), phase


def _won_on(rate: Floats, phase: Floats, number: Ints) -> Ints:
    """Return the day on which each shopper was won; the first of a merchant on day 0."""
    return np.maximum(np.ceil((number - 1 - phase) / rate).astype(np.int64) - 1, 0)


def shoppers_through(cell: Cell, day_index: int, *, size: ScaleSize, seed: int) -> Shoppers:
    """Return all shoppers won up to and on a day, by tenant and number.

    Args:
        cell: the cell.
        day_index: days from the platform's first day; negative means none yet.
        size: the scale.
        seed: the generator's seed.
    """
    if day_index < 0:
        empty = np.empty(0, dtype=np.int64)
        return Shoppers(empty, empty, empty)
    rate, phase = _rates(cell, size, seed)
    counts = 2 + np.floor((day_index + 1) * rate + phase).astype(np.int64)
    # The day of a shopper is what counts; the formula above may be one off where it is not exact.
    while np.any(too_late := _won_on(rate, phase, counts) > day_index):
        counts = counts - too_late
    merchant = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    number = np.arange(len(merchant), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    return Shoppers(merchant, number, _won_on(rate[merchant], phase[merchant], number))


def shoppers_won(cell: Cell, first: int, last: int, *, size: ScaleSize, seed: int) -> Shoppers:
    """Return the shoppers won from day index ``first`` to ``last``, both included."""
    known = shoppers_through(cell, last, size=size, seed=seed)
    return known.of(known.won_on >= first)


def home_country(cell: Cell, shoppers: Shoppers, seed: int) -> Ints:
    """Return the index of each shopper's country among those of the cell's market."""
    numbers = uniform(seed, "country", CELLS.index(cell), shoppers.merchant, shoppers.number)
    return pick(numbers, (country.share for country in MARKETS[cell].countries))


def usual_device(cell: Cell, shoppers: Shoppers, seed: int) -> Ints:
    """Return the index into ``DEVICES`` of what each shopper usually shops with."""
    return pick(uniform(seed, "device", CELLS.index(cell), shoppers.merchant, shoppers.number), DEVICE_SHARES)


def activity(cell: Cell, shoppers: Shoppers, seed: int) -> Floats:
    """Return a factor of each shopper's return probability: 1 on average, a few come often and many seldom."""
    return -np.log1p(-uniform(seed, "activity", CELLS.index(cell), shoppers.merchant, shoppers.number)) * 0.7 + 0.3


def times_of_day(cell: Cell, day: date, country: Ints, numbers: Floats) -> Ints:
    """Return microseconds into the UTC day for numbers in [0, 1), by the daily rhythm of each one's country."""
    result = np.empty(len(numbers), dtype=np.int64)
    for index, place in enumerate(MARKETS[cell].countries):
        chosen = country == index
        if not chosen.any():
            continue
        cumulative = np.concatenate(([0.0], np.cumsum(intensity_by_minute(place, day))))
        minutes = np.interp(numbers[chosen] * cumulative[-1], cumulative, np.arange(len(cumulative)))
        result[chosen] = (minutes * 60_000_000).astype(np.int64)
    return result


def signup_times(cell: Cell, day: date, shoppers: Shoppers, seed: int) -> Ints:
    """Return microseconds into ``day`` at which each of the shoppers won on that day signed up."""
    numbers = uniform(seed, "signup", CELLS.index(cell), shoppers.merchant, shoppers.number)
    times = times_of_day(cell, day, home_country(cell, shoppers, seed), numbers)
    latest = _LAST_SIGNUP_MINUTE * 60_000_000
    # Folding instead of clipping: no heap of signups at one instant.
    return np.where(times < latest, times, times - latest)
