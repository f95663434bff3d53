"""The benchmark of the stream measures every number it promises, and leaves neither server, process nor database."""

import psutil
import pytest

from orchestration.bench import realtime
from orchestration.cells import routing
from orchestration.engines.local import LocalEngines
from orchestration.settings import get_settings


def test_every_number_is_measured_and_nothing_is_left(engines: LocalEngines, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engines
    for name, value in {
        "SINGLE_EVENTS": 20,
        "BRIEF_EVENTS": 20,
        "PIPELINE_EVENTS": 1_000,
        "SETTLED_EVENTS": 2_000,
        "STREAM_EVENTS": 2_000,
        "WAITING_SECONDS": 1.0,
    }.items():
        monkeypatch.setattr(realtime, name, value)
    before = {child.pid for child in psutil.Process().children(recursive=True)}

    report = realtime.run(get_settings(), rounds=1)

    by_name = {result.name: result for result in report.results}
    nothing = [name for name, result in by_name.items() if result.value <= 0 and "dead letters" not in name]
    assert nothing == []
    assert sum(result.value for result in by_name.values() if result.unit == "share") == pytest.approx(1, abs=0.01)
    assert {result.goal for result in report.results if result.goal} == {100.0, 7.0, 1.0}
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    with routing.connect("na", "superuser") as connection:
        names = {name for (name,) in connection.execute("select datname from pg_database")}
    assert realtime.DATABASE not in names
