"""The dashboard's benchmark measures every query beside readers and a loader, and leaves nothing."""

from typing import Any

import pytest

from orchestration.bench import dashboard
from orchestration.bench.load import BenchError
from orchestration.bench.scratch_database import SCRATCH_DATABASE
from orchestration.cells import routing
from orchestration.dashboard.queries import NAMES
from orchestration.engines.local import LocalEngines


def test_it_measures_every_query_and_the_refresh(engines: LocalEngines, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engines
    monkeypatch.setattr(dashboard, "REFRESH_SECONDS", 1.0)
    report = dashboard.run(rows=20_000, tenants=20, seconds=15, refresh_rounds=1)
    names = [result.name for result in report.results]
    assert [name.partition(": ")[2] for name in names[: len(NAMES)]] == list(NAMES)
    assert {"events loaded meanwhile", "median: all queries"} <= set(names)
    assert all(result.value > 0 for result in report.results)
    with routing.connect("na", "superuser") as connection:
        assert SCRATCH_DATABASE not in {name for (name,) in connection.execute("select datname from pg_database")}


@pytest.mark.parametrize("sizes", [{"rows": 0}, {"tenants": 9}, {"seconds": 0}, {"refresh_rounds": 0}])
def test_sizes_that_measure_nothing_are_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(BenchError, match="more is needed"):
        dashboard.run(**sizes)
