"""Files of random events through the command line's own path give what trying every path gives."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.analysis import asking
from orchestration.analysis.asking import Question
from orchestration.settings import get_settings
from tests.integration.dbt_project import test_funnel_definition as by_trying
from tests.integration.dbt_project import test_retention_definition as by_counting

pytestmark = pytest.mark.usefixtures("cells")

TENANT = by_trying.TENANTS[0]
PROPERTY = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
ZONES = ["Z", "+00:00", "+05:30", "-08:00"]
MOMENTS = [datetime(2026, 3, 1, 23, 59, 58, tzinfo=UTC) + timedelta(seconds=s / 2) for s in range(8)]
STEPS: list[Any] = [
    "A",
    "B",
    {"type": "B"},
    {"type": None},
    {"type": "A", "props": {"k": 1}},
    {"type": None, "props": {"k": 1.0}},
]


def _fail(message: str) -> None:
    pytest.fail(message)


def _text(at: datetime, zone: str) -> str:
    offset = datetime.fromisoformat(f"2026-01-01T00:00:00{zone}").tzinfo
    return at.astimezone(offset).isoformat().replace("+00:00", zone if zone in {"Z", "+00:00"} else "+00:00")


@PROPERTY
@given(
    stream=st.lists(
        st.tuples(
            st.sampled_from([1, 1, 1, 2, None]),
            st.sampled_from(MOMENTS),
            st.sampled_from(["A", "B", "C"]),
            st.sampled_from([{}, {"k": 1}, {"k": 2, "l": [1]}]),
            st.sampled_from(ZONES),
        ),
        max_size=7,
    ),
    steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=4),
    window=st.sampled_from([None, 0, 1, 2, 4]),
    mode=st.sampled_from(["ordered", "ordered", "strict"]),
    excluded=st.lists(st.tuples(st.sampled_from(["A", "C"]), st.integers(0, 2), st.integers(1, 3)), max_size=2),
)
def test_a_funnel_of_a_random_file_agrees_with_brute_force(
    *,
    tmp_path: Path,
    stream: list[tuple[Any, ...]],
    steps: list[Any],
    window: int | None,
    mode: str,
    excluded: list[tuple[str, int, int]],
) -> None:
    exclusions = [{"type": t, "from": i, "to": j} for t, i, j in excluded if i < j < len(steps)]
    lines = [{"t": _text(at, zone), "user": u, "type": t, "props": p} for u, at, t, p, zone in stream]
    spec = {"steps": steps, "window_seconds": window, "mode": mode, "exclusions": exclusions}
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "s.json").write_text(json.dumps(spec))
    question = Question(tmp_path / "e.jsonl", None, None)
    found = asking.funnel(question, tmp_path / "s.json", None, get_settings(), warn=_fail).as_json()

    events = [by_trying.Event(TENANT, u, at, t, tuple(p.items())) for u, at, t, p, _ in stream]
    funnel = by_trying.Funnel(steps, None if window is None else timedelta(seconds=window), mode, tuple(exclusions))
    expected = by_trying.brute_force(events, funnel, by_day=False).get((TENANT, None), [(0, None, None)] * len(steps))
    assert found["step_counts"] == [figures[0] for figures in expected]
    assert found["avg_seconds"] == pytest.approx([figures[1] for figures in expected], abs=1e-6)
    assert found["median_seconds"] == pytest.approx([figures[2] for figures in expected], abs=1e-6)


@PROPERTY
@given(
    stream=st.lists(
        st.tuples(st.sampled_from([1, 2, 3, None]), st.sampled_from(by_counting.DAYS), st.sampled_from(["T", "R"])),
        max_size=14,
    ),
    period=st.sampled_from(["day", "week", "month"]),
    kind=st.sampled_from(["first_time", "recurring", "rolling"]),
)
def test_a_matrix_of_a_random_file_agrees_with_brute_force(
    *, tmp_path: Path, stream: list[tuple[Any, ...]], period: str, kind: str
) -> None:
    first, last = by_counting.RANGES[period]
    spec = {"period": period, "kind": kind, "target_event": "T", "return_event": {"type": "R"}}
    spec |= {"range": {"first": first.isoformat(), "last": last.isoformat()}}
    lines = [{"t": at.isoformat(), "user": u, "type": t} for u, at, t in stream]
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "s.json").write_text(json.dumps(spec))
    question = Question(tmp_path / "e.jsonl", None, None)
    found = asking.retention(question, tmp_path / "s.json", None, None, get_settings(), warn=_fail).as_json()

    tenant = by_counting.TENANTS[0]
    events = [by_counting.Event(tenant, u, at, t) for u, at, t in stream]
    expected = by_counting.brute_force(events, period, kind, first, last)
    assert found == {cohort.isoformat(): counts for (_, cohort), counts in expected.items()}
