"""The days: one daily partition space for everything that is built from events, the same in every cell.

Region is an asset key's prefix, not a partition dimension: pools, checks and backfills are then per cell by
construction, and no run can mix two regions' days.
"""

from datetime import date
from functools import cache
from typing import Protocol

import dagster as dg

from orchestration.loading.window import WindowError, read_window, require_days, window_file
from orchestration.settings import get_settings

# The first day when no platform exists: `dg check defs`, unit tests and an image's build need some partition space.
FIRST_DAY_WITHOUT_PLATFORM = date(2026, 1, 1)


class HasPartitions(Protocol):
    """What of an execution context is needed to know its days."""

    @property
    def partition_keys(self) -> list[str]: ...


@cache
def daily_partitions() -> dg.DailyPartitionsDefinition:
    """Return the platform's days (UTC), from its first day; one object, so that all assets agree."""
    settings = get_settings()
    there = window_file(settings).exists()
    first_day = read_window(settings).first_day if there else FIRST_DAY_WITHOUT_PLATFORM
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), timezone="UTC")


def days_of(context: HasPartitions) -> tuple[date, ...]:
    """Return the days that this run is to build, in order.

    Raises:
        dagster.Failure: none. Dagster takes an inverted or empty range for a success with nothing to do.
    """
    first_day = daily_partitions().start.date()
    try:
        return require_days((date.fromisoformat(key) for key in context.partition_keys), first_day)
    except WindowError as error:
        raise dg.Failure(f"the run's partition range cannot be built: {error}", allow_retries=False) from None
