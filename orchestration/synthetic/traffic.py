"""How many events a day has: exact over the window, with the week's rhythm, growing with the shoppers won."""

from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.loading.window import ScaleSize, WindowError, share_out
from orchestration.synthetic.markets import day_factor
from orchestration.synthetic.shoppers import expected_active

# Part of the traffic that does not grow with the shoppers won: passers-by, there from the first day on.
_PASSING_SHARE = 0.25


def cell_events(cell: Cell, size: ScaleSize) -> int:
    """Return the events of the whole window in ``cell``; those of all cells add up to the scale's exactly."""
    return share_out(size.events, [REGIONS[name].share for name in CELLS])[CELLS.index(cell)]


@lru_cache(maxsize=16)
def _cumulative(cell: Cell, size: ScaleSize, first_day: date, days: int) -> tuple[int, ...]:
    """Return the events up to the end of each day, from 0 before the first."""
    index = np.arange(max(days, size.days))
    growth = expected_active(index)
    rhythm = np.array([day_factor(cell, first_day + timedelta(days=int(day))) for day in index])
    weight = rhythm * (_PASSING_SHARE + (1 - _PASSING_SHARE) * growth / growth[: size.days].mean())
    edges = np.concatenate(([0.0], np.cumsum(weight)))
    return tuple(np.rint(edges / edges[size.days] * cell_events(cell, size)).astype(np.int64).tolist())


def day_events(cell: Cell, day: date, *, size: ScaleSize, first_day: date) -> int:
    """Return the exact number of events of the partition ``day``.

    The first ``size.days`` days add up to the scale's events; later days go on at the rate reached by then.

    Raises:
        WindowError: the day lies before the first.
    """
    index = (day - first_day).days
    if index < 0:
        raise WindowError(f"{day} lies before the platform's first day, {first_day}: choose a later day")
    # Rounded up to a year, so that a platform that runs for long computes this seldom.
    days = size.days if index < size.days else (index // 366 + 1) * 366
    edges = _cumulative(cell, size, first_day, days)
    return edges[index + 1] - edges[index]
