"""The benchmark of residency measures what it says, at a size that takes seconds, and leaves nothing behind."""

import pytest

from orchestration.bench import residency
from orchestration.bench.load import BenchError
from orchestration.bench.scratch_database import SCRATCH_DATABASE
from orchestration.cells import routing
from orchestration.engines.local import LocalEngines


def test_it_measures_every_goal_and_leaves_no_database(cells: LocalEngines) -> None:
    assert cells
    report = residency.run(persons=20, turns=20, seconds=0.5)
    assert [result.goal for result in report.results] == [
        residency.SUITE_GOAL_SECONDS,
        residency.TICK_GOAL_SECONDS,
        residency.LINEAGE_GOAL_SECONDS,
        residency.ROUTING_GOAL_MICROSECONDS,
        residency.PERSON_GOAL_MICROSECONDS,
        residency.P99_GOAL_SECONDS,
    ]
    assert all(result.value > 0 for result in report.results if result.unit == "s")
    assert all(result.met == (result.value <= result.goal) for result in report.results)
    with routing.connect("na", "superuser") as connection:
        assert SCRATCH_DATABASE not in {name for (name,) in connection.execute("select datname from pg_database")}


@pytest.mark.parametrize("sizes", [{"persons": 0}, {"turns": 0}, {"seconds": 0}])
def test_impossible_sizes_are_errors(sizes: dict[str, int]) -> None:
    with pytest.raises(BenchError, match="at least one of each"):
        residency.run(**sizes)  # type: ignore[arg-type]
