"""Bad input ends in one message with file and line; it is never guessed at, and no text of it is ever SQL."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestration.engines.local import LocalEngines
from orchestration.settings import get_settings

Capstone = Callable[..., Any]

GOOD = {"t": "2026-03-01T09:30:00Z", "user": 1, "type": "a"}
ONE_STEP = {"steps": ["a"], "window_seconds": 60}

pytestmark = pytest.mark.usefixtures("cells")

# What would end a literal, a format string, a template, a comment, or a file of lines.
NASTY = [
    "it's",
    "''",
    "'; drop schema marts cascade; --",
    "back\\slash\\'",
    'double "quotes"',
    "100% %s %(tenant)s %%",
    "{{ 7 * 7 }} {% do boom %} {# x #}",
    "$1 $tag$ ?",
    "/* comment -- ",
    "two\nlines\ttab\r\u2028",
    "<script>&amp;",
    "ключ 鍵 \U0001f511",
    "E'\\x41'",
]


def _write(folder: Path, name: str, lines: Sequence[Any]) -> Path:
    path = folder / name
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_rejected_lines_are_listed_with_their_numbers(tmp_path: Path, capstone: Capstone) -> None:
    lines = [GOOD, "garbage", GOOD | {"t": "2026-03-01T09:30:00"}, GOOD | {"x": 1}]
    events, spec = _write(tmp_path, "events.jsonl", lines), _write(tmp_path, "spec.json", [ONE_STEP])
    told = capstone("funnel", "--events", events, "--spec", spec, "--json", code=1)
    assert "3 lines of" in told
    assert f"{events}:2: not JSON" in told
    assert f"{events}:3: t '2026-03-01T09:30:00' has no zone" in told
    assert f"{events}:4: unknown field 'x'" in told
    assert "Traceback" not in told


def test_lines_can_be_left_out_and_that_is_told(
    tmp_path: Path, capstone: Capstone, capsys: pytest.CaptureFixture[str]
) -> None:
    events = _write(tmp_path, "events.jsonl", [GOOD] + ["garbage"] * 25 + [GOOD | {"user": 2}])
    spec = _write(tmp_path, "spec.json", [ONE_STEP])
    from orchestration import cli

    with pytest.raises(SystemExit):
        cli.main(["funnel", "--events", str(events), "--spec", str(spec), "--json", "--skip-rejected"])
    shown = capsys.readouterr()
    assert json.loads(shown.out)["step_counts"] == [2]
    assert "25 lines are left out" in shown.err
    assert "… and 5 more" in shown.err
    assert capstone("funnel", "--events", events, "--spec", spec, code=1)


def test_a_mistaken_specification_is_told_before_anything_is_read(tmp_path: Path, capstone: Capstone) -> None:
    spec = _write(tmp_path, "spec.json", [{"steps": [], "window_seconds": -1}])
    told = capstone("funnel", "--events", tmp_path / "none.jsonl", "--spec", spec, code=1)
    assert f"{spec}: steps must be a list of 1 to 12 steps" in told
    assert f"{spec}: window_seconds is -1" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("funnel",), "give --events FILE, or --tenant"),
        (("funnel", "--events", "e", "--tenant", "t", "--cell", "na"), "give --events FILE, or --tenant"),
        (("funnel", "--events", "e"), "give --spec FILE or --funnel NAME"),
        (("funnel", "--events", "e", "--spec", "s", "--funnel", "f"), "give --spec FILE or --funnel NAME"),
        (("funnel", "--events", "e", "--funnel", "f"), "no funnel 'f' is configured: there is purchase"),
        (("funnel", "--events", "e", "--breakdown", "country"), "go with --tenant"),
        (("funnel", "--events", "e", "--kept"), "go with --tenant"),
        (("funnel", "--events", "e", "--from", "2026-03-01", "--to", "2026-03-01"), "go with --tenant"),
        (("funnel", "--tenant", "t"), "--tenant needs --cell"),
        (("funnel", "--tenant", "t", "--cell", "mars"), "unknown cell 'mars'"),
        (("funnel", "--tenant", "t", "--cell", "na", "--breakdown", "user_id; --"), "unknown breakdown 'user_id; --'"),
        (("funnel", "--tenant", "t", "--cell", "na", "--from", "2026-03-02", "--to", "2026-03-01"), "inverted"),
        (("retention", "--events", "e", "--cohort", "first_purchase"), "give --spec with a range"),
        (("retention", "--tenant", "t", "--cell", "na", "--cohort", "x"), "no cohort 'x' is configured"),
        (("retention", "--tenant", "t", "--cell", "na", "--cohort", "first_purchase", "--period", "y"), "one of day"),
        (("retention", "--tenant", "t", "--cell", "na", "--spec", "s", "--period", "day"), "--period goes with"),
    ],
)
def test_options_that_do_not_fit_are_told(arguments: tuple[str, ...], message: str, capstone: Capstone) -> None:
    assert message in capstone(*arguments, code=1)


def test_without_a_running_engine_it_says_how_to_start_one(
    tmp_path: Path, capstone: Capstone, monkeypatch: pytest.MonkeyPatch, cells: LocalEngines
) -> None:
    assert cells
    home = tmp_path / "home"
    home.mkdir()
    with monkeypatch.context() as environment:
        environment.setenv("CAPSTONE_HOME", str(home))
        get_settings.cache_clear()
        events, spec = _write(tmp_path, "e.jsonl", [GOOD]), _write(tmp_path, "s.json", [ONE_STEP])
        told = capstone("funnel", "--events", events, "--spec", spec, "--json", code=1)
    get_settings.cache_clear()
    assert "capstone up" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("mode", ["ordered", "strict"])
def test_no_text_is_anything_but_text(mode: str, tmp_path: Path, capstone: Capstone) -> None:
    for text in NASTY:
        lines = [
            {"t": "2026-03-01T00:00:00Z", "user": 1, "type": text, "props": {text: text}},
            {"t": "2026-03-01T00:00:01Z", "user": 1, "type": "b", "props": {"k": [text, {text: text}]}},
            {"t": "2026-03-01T00:00:00Z", "user": 2, "type": text, "props": {text: text + "x"}},
            {"t": "2026-03-01T00:00:00Z", "user": 3, "type": text + "x", "props": {text: text}},
        ]
        steps = [
            {"name": text, "type": text, "props": {text: text}},
            {"name": text, "type": "b", "props": {"k": [text, {text: text}]}},
        ]
        spec: dict[str, Any] = {"steps": steps, "window_seconds": 10, "mode": mode}
        for exclusions in ([], [{"type": text, "from": 0, "to": 1}]):
            spec["exclusions"] = exclusions
            files = _write(tmp_path, "e.jsonl", lines), _write(tmp_path, "s.json", [spec])
            found = capstone("funnel", "--events", files[0], "--spec", files[1], "--json")
            assert found["step_counts"] == [1, 1], text
        matrix = {
            "period": "day",
            "kind": "recurring",
            "target_event": steps[0] | {"name": None},
            "return_event": {"type": text},
            "range": {"first": "2026-03-01", "last": "2026-03-02"},
        }
        del matrix["target_event"]["name"]  # type: ignore[attr-defined]
        files = _write(tmp_path, "e.jsonl", lines), _write(tmp_path, "s.json", [matrix])
        found = capstone("retention", "--events", files[0], "--spec", files[1], "--json")
        assert found == {"2026-03-01": [1, 0]}, text


@pytest.mark.parametrize(
    ("stored", "asked", "equal"),
    [
        (1, 1.0, True),
        (1.0, 1, True),
        (True, 1, False),
        (1, True, False),
        ("1", 1, False),
        (None, None, True),
        (None, False, False),
        (0.1, 0.1, True),
        (2**53 + 1, 2**53 + 1, True),
        (12345678901234567890123, 12345678901234567890123, True),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ([1], [1, 2], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ("", "", True),
    ],
)
def test_properties_are_equal_as_json_is(
    stored: Any, asked: Any, equal: bool, tmp_path: Path, capstone: Capstone
) -> None:
    events = _write(tmp_path, "e.jsonl", [GOOD | {"props": {"k": stored}}, GOOD | {"user": 2}])
    step = {"type": "a", "props": {"k": asked}}
    spec = _write(tmp_path, "s.json", [{"steps": [step], "window_seconds": None}])
    assert capstone("funnel", "--events", events, "--spec", spec, "--json")["step_counts"] == [int(equal)]


def test_nobody_enters_an_empty_file(tmp_path: Path, capstone: Capstone) -> None:
    events = _write(tmp_path, "e.jsonl", [])
    spec = _write(tmp_path, "s.json", [{"steps": ["a", "b"], "window_seconds": None}])
    found = capstone("funnel", "--events", events, "--spec", spec, "--json")
    assert found == {"step_counts": [0, 0], "avg_seconds": [None, None], "median_seconds": [None, None]}
    matrix = {"period": "day", "kind": "rolling", "target_event": "a", "return_event": {"type": None}}
    matrix |= {"range": {"first": "2026-03-01", "last": "2026-03-02"}}
    assert capstone("retention", "--events", events, "--spec", _write(tmp_path, "m.json", [matrix]), "--json") == {}
