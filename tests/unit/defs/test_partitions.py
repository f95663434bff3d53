import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import dagster as dg
import pytest

from orchestration.defs import partitions
from orchestration.defs.partitions import FIRST_DAY_WITHOUT_PLATFORM, daily_partitions, days_of
from orchestration.loading.window import WindowError, window_file
from orchestration.settings import get_settings


@dataclass
class Context:
    """The part of an execution context that names its partitions."""

    partition_keys: list[str] = field(default_factory=list)


@pytest.fixture(autouse=True)
def _forget() -> None:
    partitions.daily_partitions.cache_clear()


@pytest.fixture
def platform() -> Iterator[None]:
    path = window_file(get_settings())
    path.write_text(json.dumps({"scale": "small", "first_day": "2026-03-01"}))
    yield
    path.unlink()


def test_without_a_platform_there_is_still_a_partition_space() -> None:
    assert daily_partitions().start.date() == FIRST_DAY_WITHOUT_PLATFORM


@pytest.mark.usefixtures("platform")
def test_the_first_partition_is_the_platforms_first_day() -> None:
    assert daily_partitions().get_first_partition_key() == "2026-03-01"


def test_a_damaged_window_is_an_error_and_not_another_partition_space() -> None:
    path = window_file(get_settings())
    path.write_text("{")
    try:
        with pytest.raises(WindowError, match="damaged"):
            daily_partitions()
    finally:
        path.unlink()


def test_days_come_in_order() -> None:
    assert days_of(Context(["2026-03-02", "2026-03-01"])) == (date(2026, 3, 1), date(2026, 3, 2))


def test_an_empty_range_fails_for_good_instead_of_succeeding_with_nothing() -> None:
    with pytest.raises(dg.Failure, match="no day is selected") as failure:
        days_of(Context())
    assert failure.value.allow_retries is False


def test_an_inverted_range_fails_a_run() -> None:
    @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2026-03-01"), backfill_policy=dg.BackfillPolicy.single_run())
    def loaded(context: dg.AssetExecutionContext) -> None:
        days_of(context)

    inverted = {
        "dagster/asset_partition_range_start": "2026-03-05",
        "dagster/asset_partition_range_end": "2026-03-02",
    }
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(dg.Failure, match="no day is selected"):
        dg.materialize([loaded], instance=instance, tags=inverted)
