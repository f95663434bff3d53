"""What a benchmark prints is one object with the agreed fields, or a table."""

import io
import json

from rich.console import Console

from orchestration.bench.report import BenchReport, compared, this_machine


def report() -> BenchReport:
    return BenchReport(
        "load",
        this_machine("15.18", "2.19.3 apache"),
        (
            compared("loader", 150_000.04, "rows/s", baseline=100_000.0, goal=1.0),
            compared("generator", 50_000.0, "rows/s", baseline=100_000.0, goal=2.0),
        ),
    )


def test_the_json_has_the_agreed_fields_and_ratios_to_the_baseline() -> None:
    found = json.loads(report().to_json())
    assert list(found) == ["bench", "machine", "results"]
    assert found["results"] == [
        {
            "name": "loader",
            "value": 150_000.0,
            "unit": "rows/s",
            "baseline": 100_000.0,
            "ratio": 1.5,
            "goal": 1.0,
            "met": True,
        },
        {
            "name": "generator",
            "value": 50_000.0,
            "unit": "rows/s",
            "baseline": 100_000.0,
            "ratio": 0.5,
            "goal": 2.0,
            "met": False,
        },
    ]
    assert found["machine"]["cpus"] >= 1


def test_one_goal_that_is_missed_is_a_report_that_is() -> None:
    assert not report().met


def test_the_table_names_every_result() -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(report().table())
    text = console.export_text()
    assert "loader" in text
    assert "150,000" in text
    assert "no" in text
