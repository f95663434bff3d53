"""The border: one row below the rule, and nothing of the dataset leaves."""

from datetime import date, timedelta
from typing import Any

import pytest

from orchestration.publishing.border import BorderError, Row, require_fit, withhold
from orchestration.publishing.datasets import NAMES, UndeclaredDatasetError, dataset
from orchestration.publishing.rule import read_rule

RULE = read_rule()
MONDAY = date(2026, 3, 2)
CLOSED = date(2026, 3, 12)


def funnel(first: int, last: int, persons: Any = 50, **more: Any) -> Row:
    row = {
        "region": "na",
        "closes_on": CLOSED,
        "funnel": "purchase",
        "week": MONDAY,
        "detail": "steps",
        "first_step": first,
        "last_step": last,
        "step_name": "x",
        "persons": persons,
    }
    return row | more


def revenue(**more: Any) -> Row:
    row = {"region": "na", "closes_on": CLOSED, "day": MONDAY, "currency": "EUR"}
    return row | {"persons": 20, "orders": 25, "revenue": 100} | more


def cohort(weeks_later: int, persons: int) -> Row:
    return {
        "region": "na",
        "closes_on": CLOSED,
        "cohort_name": "c",
        "cohort": MONDAY,
        "weeks_later": weeks_later,
        "persons": persons,
    }


def test_groups_that_are_large_enough_pass() -> None:
    require_fit([funnel(1, 1), funnel(2, 4)], "na", dataset("funnel"), RULE, CLOSED)
    require_fit([revenue(), revenue(currency="other", revenue=None)], "na", dataset("revenue"), RULE, CLOSED)
    require_fit([cohort(0, 50), cohort(1, 20)], "na", dataset("cohorts"), RULE, CLOSED)


@pytest.mark.parametrize(
    "row",
    [
        funnel(1, 4, RULE.k - RULE.rounding),
        funnel(1, 4, RULE.k + 1),
        funnel(1, 4, None),
        funnel(1, 4, True),
        funnel(1, 4, region="eu"),
        funnel(1, 4, closes_on=CLOSED + timedelta(days=1)),
        funnel(1, 4, closes_on=None),
        funnel(2, 4),
    ],
    ids=[
        "below k",
        "not rounded",
        "no count",
        "no number",
        "another cell's",
        "not settled",
        "no period",
        "a step is missing",
    ],
)
def test_one_row_that_is_not_as_the_rule_has_it_stops_the_dataset(row: Row) -> None:
    with pytest.raises(
        BorderError, match="dataset 'funnel' of cell 'na': 1 of 1 rows are not groups of at least k = 10"
    ):
        require_fit([row], "na", dataset("funnel"), RULE, CLOSED)


@pytest.mark.parametrize(
    "row", [revenue(orders=5), revenue(orders=15), revenue(currency="other"), revenue(revenue=None)]
)
def test_revenue_with_fewer_orders_than_persons_or_an_amount_where_none_belongs_is_stopped(row: Row) -> None:
    with pytest.raises(BorderError, match="1 of 1 rows"):
        require_fit([row], "na", dataset("revenue"), RULE, CLOSED)


def test_two_details_of_one_week_are_stopped_for_what_they_differ_by() -> None:
    with pytest.raises(BorderError, match="2 of 2 rows"):
        require_fit([funnel(1, 1), funnel(2, 4, detail="conversion")], "na", dataset("funnel"), RULE, CLOSED)
    with pytest.raises(BorderError, match="2 of 2 rows"):
        require_fit([funnel(1, 4), funnel(2, 4)], "na", dataset("funnel"), RULE, CLOSED)


def test_the_error_names_no_value_of_a_row() -> None:
    with pytest.raises(BorderError) as raised:
        require_fit([funnel(1, 4, 7)], "na", dataset("funnel"), RULE, CLOSED)
    assert "7" not in str(raised.value)


def test_a_return_that_leaves_fewer_than_k_of_the_published_cohort_is_withheld() -> None:
    sizes = {("c", MONDAY): 50}
    assert withhold([cohort(1, 40), cohort(2, 45)], sizes, RULE) == ([cohort(1, 40)], 1)


def test_a_return_to_a_cohort_that_is_not_published_is_withheld() -> None:
    assert withhold([cohort(1, 20)], {}, RULE) == ([], 1)


def test_a_cohort_and_its_first_week_may_be_published_at_once() -> None:
    rows = [cohort(1, 20), cohort(0, 50)]
    assert withhold(rows, {}, RULE) == (rows, 0)


def test_only_declared_datasets_have_a_name() -> None:
    assert [dataset(name).name for name in NAMES] == list(NAMES)
    with pytest.raises(UndeclaredDatasetError, match="'fct_sessions' is no declared dataset: only funnel, cohorts"):
        dataset("fct_sessions")
