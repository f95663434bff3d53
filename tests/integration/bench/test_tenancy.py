"""The benchmark of tenancy measures what it says, at a size that takes seconds, and leaves nothing behind."""

import pytest

from orchestration.bench import tenancy
from orchestration.bench.load import BenchError
from orchestration.bench.scratch_database import SCRATCH_DATABASE
from orchestration.cells import routing
from orchestration.engines.local import LocalEngines


def test_it_measures_every_goal_and_leaves_no_database(cells: LocalEngines) -> None:
    assert cells
    report = tenancy.run(tenants=20, rows=5, queries=20, flood_seconds=0.5, flood_rounds=1)
    assert [result.goal for result in report.results] == [
        tenancy.ROW_SECURITY_GOAL,
        tenancy.CREATION_GOAL_SECONDS,
        tenancy.SUITE_GOAL_SECONDS,
        tenancy.TICK_GOAL_SECONDS,
        tenancy.FLOOD_GOAL,
    ]
    assert all(result.value > 0 for result in report.results)
    with routing.connect("na", "superuser") as connection:
        assert SCRATCH_DATABASE not in {name for (name,) in connection.execute("select datname from pg_database")}


def test_impossible_sizes_are_errors() -> None:
    with pytest.raises(BenchError, match="3 tenants"):
        tenancy.run(tenants=3)
