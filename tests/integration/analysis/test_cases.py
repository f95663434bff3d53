"""Every case through the command line, on a real database."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestration.engines.local import LocalEngines
from orchestration.settings import PROJECT_ROOT

Case = dict[str, Any]
Capstone = Callable[..., Any]

FUNNELS: list[Case] = json.loads((PROJECT_ROOT / "tests/cases/funnel_cases.json").read_text())["cases"]
MATRICES: list[Case] = json.loads((PROJECT_ROOT / "tests/cases/retention_cases.json").read_text())["cases"]
MATRIX_FIELDS = ("period", "kind", "target_event", "return_event", "range")

pytestmark = pytest.mark.usefixtures("cells")


def _events(folder: Path, case: Case) -> Path:
    path = folder / "events.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in case["events"]))
    return path


def _spec(folder: Path, content: Any) -> Path:
    path = folder / "spec.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("case", FUNNELS, ids=lambda case: str(case["name"]))
def test_a_funnel_case_gives_its_expected_object(case: Case, tmp_path: Path, capstone: Capstone) -> None:
    events = _events(tmp_path, case)
    for content in (case["funnel"], case):
        found = capstone("funnel", "--events", events, "--spec", _spec(tmp_path, content), "--json")
        assert found.keys() == case["expected"].keys()
        assert found["step_counts"] == case["expected"]["step_counts"]
        for times in ("avg_seconds", "median_seconds"):
            assert found[times] == pytest.approx(case["expected"][times], abs=1e-6)


@pytest.mark.parametrize("case", MATRICES, ids=lambda case: str(case["name"]))
def test_a_retention_case_gives_its_expected_object(case: Case, tmp_path: Path, capstone: Capstone) -> None:
    events = _events(tmp_path, case)
    for content in ({key: case[key] for key in MATRIX_FIELDS}, case):
        found = capstone("retention", "--events", events, "--spec", _spec(tmp_path, content), "--json")
        assert found == case["expected"]
        assert list(found) == sorted(found)


def test_the_cdnow_log_has_its_known_answers(tmp_path: Path, capstone: Capstone) -> None:
    events = tmp_path / "cdnow.jsonl"
    with gzip.open(PROJECT_ROOT / "data" / "cdnow_master.txt.gz", "rt") as log, events.open("w") as file:
        next(log)
        for line in log:
            customer, day, _, _ = line.split()
            at = f"{day[:4]}-{day[4:6]}-{day[6:]}T12:00:00Z"
            file.write(json.dumps({"t": at, "user": int(customer), "type": "purchase"}) + "\n")
    spec = {"period": "month", "kind": "first_time", "target_event": "purchase", "return_event": "purchase"}
    spec_file = _spec(tmp_path, spec | {"range": {"first": "1997-01-01", "last": "1998-06-01"}})
    found = capstone("retention", "--events", events, "--spec", spec_file, "--json")
    assert [counts[0] for counts in found.values()] == [7846, 8476, 7248]
    assert found["1997-01-01"][:4] == [7846, 1157, 964, 810]


def test_what_people_read_has_the_same_numbers(
    tmp_path: Path, capstone: Capstone, capsys: pytest.CaptureFixture[str], cells: LocalEngines
) -> None:
    assert cells
    case = FUNNELS[0]
    capstone("funnel", "--events", _events(tmp_path, case), "--spec", _spec(tmp_path, case))
    told = capsys.readouterr().out
    assert "watched movie" in told
    assert "50.0%" in told
    case = MATRICES[0]
    capstone("retention", "--events", _events(tmp_path, case), "--spec", _spec(tmp_path, case))
    assert "2020-06-10" in capsys.readouterr().out
