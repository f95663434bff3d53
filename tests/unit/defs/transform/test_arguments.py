"""dbt's command lines."""

import json
from datetime import date

import pytest

from orchestration.defs.transform.arguments import DayRangeError, build_arguments, docs_arguments

MARCH = date(2026, 3, 1)


def test_without_days_nothing_is_said_about_them() -> None:
    arguments = build_arguments("eu", None)
    assert arguments[:3] == ["build", "--target", "eu"]
    assert "--vars" not in arguments


def test_a_days_run_leaves_out_what_says_nothing_of_its_data() -> None:
    assert build_arguments("eu", None)[3:] == [
        "--exclude-resource-type", "unit_test", "--exclude-resource-type", "exposure", "--exclude", "source:*"
    ]  # fmt: skip


def test_a_range_becomes_its_first_and_last_day() -> None:
    days = [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)]
    arguments = build_arguments("na", days)
    assert arguments[:3] == ["build", "--target", "na"]
    assert arguments[-2] == "--vars"
    assert json.loads(arguments[-1]) == {"start_day": "2026-03-01", "end_day": "2026-03-03"}


def test_one_day_is_its_own_range() -> None:
    assert json.loads(build_arguments("apac", [MARCH])[-1]) == {"start_day": "2026-03-01", "end_day": "2026-03-01"}


@pytest.mark.parametrize(
    "days", [[], [date(2026, 3, 2), date(2026, 3, 1)], [date(2026, 3, 1), date(2026, 3, 3)], [MARCH, MARCH]]
)
def test_an_empty_inverted_or_broken_range_is_an_error(days: list[date]) -> None:
    with pytest.raises(DayRangeError):
        build_arguments("na", days)


def test_docs_are_written_where_they_are_asked_for() -> None:
    assert docs_arguments("eu", "/somewhere") == ["docs", "generate", "--target", "eu", "--target-path", "/somewhere"]
