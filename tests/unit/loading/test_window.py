"""The window of days: fixed once, read back, and refused where it cannot be meant."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.loading.window import (
    SCALES,
    EmptyPartitionRangeError,
    Window,
    WindowError,
    day_bounds,
    day_range,
    establish_window,
    read_window,
    require_days,
    share_out,
    window_file,
)
from orchestration.settings import Scale, Settings

TODAY = date(2026, 3, 31)


def settings_of(home: Path, scale: Scale | None = None) -> Settings:
    return Settings(home=home, scale=scale)


def test_the_first_day_is_fixed_once_and_the_window_ends_yesterday(tmp_path: Path) -> None:
    window = establish_window(settings_of(tmp_path), today=TODAY)
    assert window == Window("small", TODAY - timedelta(days=30))
    assert establish_window(settings_of(tmp_path), today=TODAY + timedelta(days=9)) == window
    assert read_window(settings_of(tmp_path)) == window
    assert json.loads(window_file(settings_of(tmp_path)).read_text()) == {"scale": "small", "first_day": "2026-03-01"}


def test_nothing_but_the_file_is_left_behind(tmp_path: Path) -> None:
    establish_window(settings_of(tmp_path), today=TODAY)
    assert [path.name for path in tmp_path.iterdir()] == ["platform.json"]


def test_a_filled_home_refuses_another_scale(tmp_path: Path) -> None:
    establish_window(settings_of(tmp_path, "medium"), today=TODAY)
    with pytest.raises(WindowError, match="filled at scale 'medium'"):
        establish_window(settings_of(tmp_path, "large"), today=TODAY)


def test_a_home_without_a_platform_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WindowError, match="capstone up"):
        read_window(settings_of(tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"scale": "tiny", "first_day": "2026-03-01"}',
        '{"scale": "small"}',
        '{"scale": "small", "first_day": 3}',
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    window_file(settings_of(tmp_path)).write_text(content)
    with pytest.raises(WindowError, match=r"platform\.json is damaged"):
        read_window(settings_of(tmp_path))


def test_no_days_and_days_before_the_first_are_errors() -> None:
    with pytest.raises(EmptyPartitionRangeError, match="at least one"):
        require_days([], TODAY)
    with pytest.raises(WindowError, match="2026-03-30 lies before"):
        require_days([TODAY, TODAY - timedelta(days=1)], TODAY)
    assert require_days([TODAY + timedelta(days=1), TODAY, TODAY], TODAY) == (TODAY, TODAY + timedelta(days=1))


def test_an_inverted_range_is_an_error() -> None:
    with pytest.raises(EmptyPartitionRangeError, match="inverted"):
        day_range(TODAY, TODAY - timedelta(days=1))
    assert list(day_range(TODAY, TODAY)) == [TODAY]


def test_a_day_is_24_hours_of_utc() -> None:
    assert day_bounds(TODAY) == (datetime(2026, 3, 31, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))


def test_the_scales_are_the_promised_ones() -> None:
    assert [(size.tenants, size.days, size.events) for size in SCALES.values()] == [
        (50, 30, 1_000_000),
        (1_000, 90, 10_000_000),
        (10_000, 365, 50_000_000),
    ]


@settings(deadline=None)
@given(st.integers(0, 10**9), st.lists(st.integers(1, 1_000), min_size=1, max_size=20))
def test_parts_always_add_up_to_the_whole(total: int, weights: list[int]) -> None:
    parts = share_out(total, [weight / sum(weights) for weight in weights])
    assert sum(parts) == total
    assert len(parts) == len(weights)
    assert min(parts) >= 0
