from datetime import date

import pytest

from orchestration.lifecycle.filling import AssetPath, DayRange
from orchestration.lifecycle.materializing import SelectionError, per_cell, require_within

ASSETS: dict[AssetPath, bool] = {
    ("na", "ingest", "events"): True,
    ("eu", "ingest", "events"): True,
    ("na", "ingest", "plans"): False,
}


def test_a_selection_over_two_regions_becomes_two_runs() -> None:
    requests = per_cell(ASSETS)
    assert {request.cell: [path[-1] for path in request.assets] for request in requests} == {
        "na": ["events", "plans"],
        "eu": ["events"],
    }


def test_a_cell_narrows_the_selection() -> None:
    (request,) = per_cell(ASSETS, "eu")
    assert request.cell == "eu"
    assert request.partitioned


def test_a_selection_that_holds_nothing_of_the_cell_is_an_error() -> None:
    with pytest.raises(SelectionError, match="in cell 'apac'"):
        per_cell(ASSETS, "apac")


@pytest.mark.parametrize(
    ("first", "last"), [(date(2026, 2, 28), date(2026, 3, 2)), (date(2026, 3, 4), date(2026, 3, 6))]
)
def test_days_without_a_partition_are_refused(first: date, last: date) -> None:
    with pytest.raises(SelectionError, match="it has 2026-03-01 to 2026-03-05"):
        require_within(DayRange(first, last), DayRange(date(2026, 3, 1), date(2026, 3, 5)))
