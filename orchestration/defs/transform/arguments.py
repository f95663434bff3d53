"""dbt's command lines, built by pure functions."""

import json
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise


class DayRangeError(ValueError):
    """The days of a run cannot be given to dbt; the message says why."""


def day_vars(days: Sequence[date]) -> dict[str, str]:
    """Return dbt's vars for consecutive days in order.

    Raises:
        DayRangeError: no day, or days with gaps: dbt is given the first and last and would build the gap too.
    """
    if not days:
        raise DayRangeError("no day is selected: building nothing would report success")
    for before, after in pairwise(days):
        if after - before != timedelta(days=1):
            raise DayRangeError(f"{after} does not follow {before}: a run builds consecutive days, in order")
    return {"start_day": days[0].isoformat(), "end_day": days[-1].isoformat()}


def build_arguments(cell: str, days: Sequence[date] | None) -> list[str]:
    """Return the arguments of ``dbt build`` for a cell; ``days`` is None when nothing partitioned is built."""
    # Unit tests check the SQL, not the data: `make test` runs them, a day's run has no use for them. What is loaded is
    # checked where it is loaded; tests of sources are for those who use dbt alone. Exposures build nothing.
    left_out = ["--exclude-resource-type", "unit_test", "--exclude-resource-type", "exposure", "--exclude", "source:*"]
    arguments = ["build", "--target", cell, *left_out]
    if days is not None:
        arguments += ["--vars", json.dumps(day_vars(days), sort_keys=True)]
    return arguments


def docs_arguments(cell: str, target_path: str) -> list[str]:
    """Return the arguments of ``dbt docs generate`` for a cell."""
    return ["docs", "generate", "--target", cell, "--target-path", target_path]
