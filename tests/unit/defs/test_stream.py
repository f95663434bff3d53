"""What Dagster says of a stream, by how the stream stands."""

from collections.abc import Callable

import dagster as dg
import pytest

from orchestration.cells.regions import CELLS, Cell
from orchestration.defs.operations import stream
from orchestration.realtime.stream_status import StreamStatus


@pytest.mark.parametrize(
    ("status", "words", "severity"),
    [
        pytest.param(StreamStatus("na", oldest_seconds=59.0, depth=9), None, "ERROR", id="well"),
        pytest.param(StreamStatus("na", oldest_seconds=61.0), "waited for 61 s", "ERROR", id="stuck"),
        pytest.param(StreamStatus("na", dead_letters={"not_json": 2, "missing:time": 1}), "3 dead", "WARN", id="dead"),
        pytest.param(StreamStatus("na", trouble="recover it"), "recover it", "ERROR", id="damaged"),
    ],
)
def test_what_is_not_well_is_said_with_its_severity(status: StreamStatus, words: str | None, severity: str) -> None:
    what, how = stream.problem(status)
    assert (what is None) == (words is None)
    assert words is None or words in str(what)
    assert how.value == severity


def test_the_sensor_reports_a_change_at_once_and_what_stays_every_quarter_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states: dict[Cell, StreamStatus] = {cell: StreamStatus(cell, depth=0, oldest_seconds=0.0) for cell in CELLS}
    look: Callable[[Cell], StreamStatus] = states.__getitem__
    monkeypatch.setattr(stream, "_look", look)

    def checks(result: dg.SensorResult) -> dict[str, bool]:
        return {
            event.asset_key.path[0]: event.passed
            for event in result.asset_events
            if isinstance(event, dg.AssetCheckEvaluation)
        }

    first = stream.evaluate(None, 1_000.0)
    assert checks(first) == {"na": True, "eu": True, "apac": True}
    states["eu"] = StreamStatus("eu", depth=5, oldest_seconds=100.0)
    second = stream.evaluate(first.cursor, 1_060.0)
    assert checks(second) == {"eu": False}
    assert checks(stream.evaluate(second.cursor, 1_120.0)) == {}
    assert set(checks(stream.evaluate(second.cursor, 1_930.0))) == {"na", "apac"}
