"""A specification that cannot be meant is refused, and the message names the file, the place and what is needed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from orchestration.analysis.spec_file import SpecError, read_funnel_spec, read_retention_spec

FUNNEL: dict[str, Any] = {"steps": ["a", "b"], "window_seconds": 60, "mode": "ordered"}
MATRIX: dict[str, Any] = {
    "period": "week",
    "kind": "first_time",
    "target_event": "buy",
    "return_event": {"type": None, "props": {"k": 1}},
    "range": {"first": "2026-01-05", "last": "2026-01-19"},
}


def _file(folder: Path, content: Any) -> Path:
    path = folder / "spec.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_funnel_is_read_with_defaults_from_a_spec_or_a_case(tmp_path: Path) -> None:
    spec = read_funnel_spec(_file(tmp_path, {"steps": [{"type": None}], "window_seconds": None}))
    assert (spec.window_seconds, spec.mode, spec.exclusions) == (None, "ordered", ())
    case = {"name": "n", "note": "x", "events": [], "expected": {}, "funnel": FUNNEL | {"window_seconds": 86400.0}}
    spec = read_funnel_spec(_file(tmp_path, case))
    assert spec.window_seconds == 86400
    assert isinstance(spec.window_seconds, int)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", ":1: not JSON"),
        ('{"steps": ["a"],\n "window_seconds": }', ":2: not JSON"),
        ("[]", "a JSON object is needed"),
        ('{"steps": ["a"], "window_seconds": NaN}', "not JSON"),
        ('{"steps": ["a"], "window_seconds": 1, "steps": ["b"]}', "'steps' is given twice"),
        (FUNNEL | {"widow_seconds": 1}, "unknown field 'widow_seconds' (allowed: steps, window_seconds, mode, excl"),
        ({"steps": ["a"]}, "field 'window_seconds' is missing"),
        ({"window_seconds": 1}, "field 'steps' is missing"),
        (FUNNEL | {"steps": []}, "steps must be a list of 1 to 12 steps, not 0 steps"),
        (FUNNEL | {"steps": ["a"] * 13}, "steps must be a list of 1 to 12 steps, not 13 steps"),
        (FUNNEL | {"steps": {"a": 1}}, "steps must be a list of 1 to 12 steps"),
        (FUNNEL | {"steps": ["a", None]}, "step 2: an event type is needed"),
        (FUNNEL | {"steps": ["a", ["b"]]}, "step 2: an event type is needed"),
        (FUNNEL | {"steps": ["a", {"typ": "b"}]}, "step 2: unknown field 'typ' (allowed: name, type, props)"),
        (FUNNEL | {"steps": ["a", {"type": "b", "props": []}]}, "step 2: props must be a mapping"),
        (FUNNEL | {"steps": ["a\u0000b"]}, "step 1: the event type holds a null character"),
        (FUNNEL | {"steps": [{"type": "a", "props": {"k": ["\u0000"]}}]}, "step 1: props.k[0] holds a null character"),
        (FUNNEL | {"steps": [{"type": "a", "props": {"\u0000": 1}}]}, "step 1: a key of props holds a null character"),
        ('{"steps": ["\\ud800"], "window_seconds": 1}', "not JSON"),
        (FUNNEL | {"window_seconds": -1}, "window_seconds is -1: whole seconds from 0 to"),
        (FUNNEL | {"window_seconds": 10**9}, "window_seconds is 1000000000"),
        (FUNNEL | {"window_seconds": 0.5}, "window_seconds is 0.5"),
        (FUNNEL | {"window_seconds": "60"}, "window_seconds is '60'"),
        (FUNNEL | {"window_seconds": True}, "window_seconds is true"),
        (FUNNEL | {"mode": "unordered"}, "mode is 'unordered': one of ordered, strict"),
        (FUNNEL | {"mode": None}, "mode is null"),
        (FUNNEL | {"exclusions": {"type": "x"}}, "exclusions must be a list"),
        (FUNNEL | {"exclusions": [{"type": "x", "from": 0}]}, "exclusion 1: field 'to' is missing"),
        (FUNNEL | {"exclusions": [{"type": "x", "from": 0, "to": 2}]}, "exclusion 1: to is 2"),
        (FUNNEL | {"exclusions": [{"type": "x", "from": 1, "to": 0}]}, "exclusion 1: from 1 is not before to 0"),
        ({"funnel": FUNNEL, "colour": 1}, "unknown field 'colour'"),
        ({"funnel": FUNNEL | {"stepps": []}}, "funnel: unknown field 'stepps'"),
        ({"funnel": 7}, "funnel: a mapping with steps"),
    ],
)
def test_a_mistake_in_a_funnel_is_named(tmp_path: Path, content: Any, message: str) -> None:
    path = _file(tmp_path, content)
    with pytest.raises(SpecError, match=re.escape(message)) as told:
        read_funnel_spec(path)
    assert str(path) in str(told.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as told:
        read_funnel_spec(_file(tmp_path, {"steps": ["a", ""], "window_seconds": -1, "mode": "x", "more": 1}))
    assert len(str(told.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MATRIX | {"period": "year"}, "period is 'year': one of day, week, month"),
        (MATRIX | {"kind": "once"}, "kind is 'once': one of first_time, recurring, rolling"),
        ({key: MATRIX[key] for key in MATRIX if key != "kind"}, "field 'kind' is missing"),
        ({key: MATRIX[key] for key in MATRIX if key != "range"}, "field 'range' is missing"),
        (MATRIX | {"target_event": ""}, "target_event: the event type is empty"),
        (MATRIX | {"return_event": {"type": "a", "prop": {}}}, "return_event: unknown field 'prop'"),
        (MATRIX | {"range": ["2026-01-05"]}, "range: a mapping with first, last is needed"),
        (MATRIX | {"range": {"first": "2026-01-05"}}, "range: field 'last' is missing"),
        (
            MATRIX | {"range": {"first": "2026-01-06", "last": "2026-01-19"}},
            "range: first is 2026-01-06, no start of a",
        ),
        (MATRIX | {"range": {"first": "2026-01-05", "last": "2026-01-20"}}, "range: last is 2026-01-20, no start of a"),
        (MATRIX | {"range": {"first": "2026-01-19", "last": "2026-01-05"}}, "last (2026-01-05) is before first"),
        (MATRIX | {"range": {"first": "2026-W02-1", "last": "2026-01-19"}}, "range: first is '2026-W02-1': a day"),
        (MATRIX | {"range": {"first": 20260105, "last": "2026-01-19"}}, "range: first is 20260105: a day"),
        (MATRIX | {"range": {"first": "0001-01-01", "last": "9998-12-28"}}, "are too many"),
        (MATRIX | {"ranges": {}}, "unknown field 'ranges'"),
    ],
)
def test_a_mistake_in_a_matrix_is_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        read_retention_spec(_file(tmp_path, content), range_is_required=True)


def test_a_matrix_over_a_tenants_events_needs_no_range(tmp_path: Path) -> None:
    content = {key: MATRIX[key] for key in MATRIX if key != "range"}
    assert read_retention_spec(_file(tmp_path, content), range_is_required=False).first is None


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        read_funnel_spec(tmp_path / "none.json")
