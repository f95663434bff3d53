from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from orchestration.cells.regions import CELLS, Cell
from orchestration.defs.operations.refresh import days_to_refresh, refresh_schedule
from orchestration.defs.partitions import daily_partitions

DAYS = ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]


def test_an_ordinary_night_builds_yesterday() -> None:
    assert days_to_refresh(DAYS, {"2026-03-01", "2026-03-02", "2026-03-03"}, "2026-03-04") == (
        "2026-03-04",
        "2026-03-04",
    )


def test_missed_nights_are_caught_up_with_in_one_run() -> None:
    assert days_to_refresh(DAYS, {"2026-03-01"}, "2026-03-04") == ("2026-03-02", "2026-03-04")


def test_a_day_that_is_not_over_is_not_built() -> None:
    assert days_to_refresh(DAYS, {"2026-03-01", "2026-03-02"}, "2026-03-02") is None


@pytest.mark.parametrize("cell", CELLS)
def test_the_schedule_asks_for_the_days_that_its_cell_lacks(cell: Cell, tmp_path: Path) -> None:
    daily_partitions.cache_clear()

    @dg.asset(key=[cell, "ingest", "events"], partitions_def=daily_partitions())
    def events() -> None:
        pass

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        dg.materialize([events], instance=instance, partition_key="2026-01-01")
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime(2026, 1, 4, 0, 20, tzinfo=UTC)
        )
        (request,) = refresh_schedule(cell).evaluate_tick(context).run_requests or []
    assert request.run_key == "2026-01-02..2026-01-03"
    assert request.tags["capstone/cell"] == cell
    assert request.tags["dagster/asset_partition_range_start"] == "2026-01-02"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-01-03"


def test_the_cells_do_not_start_at_the_same_minute() -> None:
    assert len({refresh_schedule(cell).cron_schedule for cell in CELLS}) == len(CELLS)


def test_the_schedules_run_without_being_switched_on() -> None:
    assert {refresh_schedule(cell).default_status for cell in CELLS} == {dg.DefaultScheduleStatus.RUNNING}
