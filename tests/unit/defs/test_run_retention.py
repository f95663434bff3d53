from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from orchestration.defs.operations.run_retention import purge_runs

DAYS = dg.DailyPartitionsDefinition("2026-03-01")
MONTH = timedelta(days=30)


@dg.asset
def whole() -> None:
    pass


@dg.asset(partitions_def=DAYS)
def daily() -> None:
    pass


@dg.asset_check(asset=whole)
def checked() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.op
def nothing() -> None:
    pass


@dg.job
def housekeeping() -> None:
    nothing()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def later() -> datetime:
    """Return a moment at which every run of a test is two months old."""
    return datetime.now(UTC) + timedelta(days=60)


def test_a_run_whose_materialization_was_replaced_goes_and_the_latest_stays(instance: dg.DagsterInstance) -> None:
    dg.materialize([whole], instance=instance)
    newest = dg.materialize([whole], instance=instance)
    assert purge_runs(instance, MONTH, later()) == (1, 1)
    event = instance.get_latest_materialization_event(whole.key)
    assert event is not None
    assert event.run_id == newest.run_id


def test_no_partition_becomes_missing(instance: dg.DagsterInstance) -> None:
    for day in ("2026-03-01", "2026-03-02", "2026-03-01"):
        dg.materialize([daily], instance=instance, partition_key=day)
    before = instance.get_materialized_partitions(daily.key)
    assert purge_runs(instance, MONTH, later()) == (1, 2)
    assert instance.get_materialized_partitions(daily.key) == before == {"2026-03-01", "2026-03-02"}


def test_the_latest_verdict_of_a_check_stays(instance: dg.DagsterInstance) -> None:
    dg.materialize([whole, checked], instance=instance)
    dg.materialize([whole], instance=instance)
    assert purge_runs(instance, MONTH, later()) == (0, 2)


def test_a_run_that_recorded_nothing_lasting_goes(instance: dg.DagsterInstance) -> None:
    housekeeping.execute_in_process(instance=instance)
    assert purge_runs(instance, MONTH, later()) == (1, 0)
    assert instance.get_runs() == []


def test_young_runs_stay(instance: dg.DagsterInstance) -> None:
    housekeeping.execute_in_process(instance=instance)
    assert purge_runs(instance, MONTH) == (0, 0)


def test_a_run_under_way_stays_however_old(instance: dg.DagsterInstance) -> None:
    instance.create_run_for_job(housekeeping, status=dg.DagsterRunStatus.STARTED)
    assert purge_runs(instance, MONTH, later()) == (0, 0)


def test_more_runs_than_a_page_are_all_looked_at(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.defs.operations.run_retention._PAGE", 2)
    for _ in range(5):
        housekeeping.execute_in_process(instance=instance)
    assert purge_runs(instance, MONTH, later()) == (5, 0)


def test_keeping_runs_for_less_than_a_day_is_a_mistake(instance: dg.DagsterInstance) -> None:
    with pytest.raises(ValueError, match="at least one day"):
        purge_runs(instance, timedelta(0))
