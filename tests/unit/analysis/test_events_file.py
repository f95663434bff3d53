"""Events are read as they were meant, or rejected with the number of their line."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestration.analysis import events_file
from orchestration.analysis.events_file import Event, EventsFileError, Rejections, copy_text, read_events

GOOD = {"t": "2026-03-01T09:30:00Z", "user": 1, "type": "a"}


def _read(folder: Path, lines: list[Any]) -> tuple[list[Event], Rejections]:
    path = folder / "events.jsonl"
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"".join(text + b"\n" for text in texts))
    rejections = Rejections()
    return [event for block in read_events(path, rejections) for event in block], rejections


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T09:30:00Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01T09:30Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01 09:30:00.5+02:00", datetime(2026, 3, 1, 7, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-03-01t09:30:00.000001z", datetime(2026, 3, 1, 9, 30, 0, 1, tzinfo=UTC)),
        ("2026-03-01T00:10:00+0530", datetime(2026, 2, 28, 18, 40, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_times_keep_their_zone_and_their_microseconds(tmp_path: Path, text: str, moment: datetime) -> None:
    rows, rejections = _read(tmp_path, [GOOD | {"t": text}])
    assert rejections.count == 0
    assert datetime.fromisoformat(rows[0][1].upper()) == moment


def test_null_users_properties_empty_lines_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    lines: list[Any] = [
        b"\xef\xbb\xbf" + json.dumps(GOOD | {"user": None}).encode(),
        b"",
        b"  \r",
        GOOD | {"props": {"a": [1, None, {"b": True}]}},
        GOOD | {"props": None},
        GOOD | {"type": "it's 100% \\ {{ x }} \U0001f600"},
    ]
    rows, rejections = _read(tmp_path, lines)
    assert rejections.count == 0
    assert [user for user, *_ in rows] == [None, 1, 1, 1]
    assert json.loads(rows[1][3]) == {"a": [1, None, {"b": True}]}
    assert rows[2][3] == "{}"
    assert rows[3][2] == "it's 100% \\ {{ x }} \U0001f600"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"garbage", "not JSON"),
        (b'{"t": "2026-03-01T00:00:00Z", "user": 1, "type": "a"} {}', "not JSON"),
        (b'{"t": "2026-03-01T00:00:00Z", "user": NaN, "type": "a"}', "not JSON"),
        (b'{"t": "2026-03-01T00:00:00Z", "user": 1, "type": "\xff"}', "not JSON"),
        (b'{"t": "2026-03-01T00:00:00Z", "user": 1, "type": "\\ud800"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "a JSON object is needed"),
        (b"7", "a JSON object is needed"),
        (GOOD | {"event": "a"}, "unknown field 'event' (allowed: t, user, type, props)"),
        ({"t": GOOD["t"], "type": "a"}, "field 'user' is missing"),
        ({"user": 1, "type": "a"}, "field 't' is missing"),
        ({"user": 1, "t": GOOD["t"]}, "field 'type' is missing"),
        (GOOD | {"t": "2026-03-01T09:30:00"}, "has no zone"),
        (GOOD | {"t": "2026-03-01 09:30"}, "has no zone"),
        (GOOD | {"t": "2026-03-01"}, "has no zone"),
        (GOOD | {"t": "2026-03-01T09:30:00.1234567Z"}, "finer than a microsecond"),
        (GOOD | {"t": "2026-02-29T09:30:00Z"}, "is no time"),
        (GOOD | {"t": "2026-03-01T24:30:00Z"}, "is no time"),
        (GOOD | {"t": "2026-03-01T23:59:60Z"}, "is no time"),
        (GOOD | {"t": "2026-03-01T09:30:00+25:00"}, "is no time"),
        (GOOD | {"t": "0000-01-01T00:00:00Z"}, "is no time"),
        (GOOD | {"t": "10000-01-01T00:00:00Z"}, "is not an ISO 8601 time"),
        (GOOD | {"t": "0001-01-01T00:00:00+01:00"}, "outside the years 1 to 9999"),
        (GOOD | {"t": "2026-W09-7T09:30:00Z"}, "is not an ISO 8601 time"),
        (GOOD | {"t": "٢٠٢٦-03-01T09:30:00Z"}, "is not an ISO 8601 time"),
        (GOOD | {"t": "now"}, "is not an ISO 8601 time"),
        (GOOD | {"t": 1772357400}, "t must be a text"),
        (GOOD | {"t": None}, "t must be a text"),
        (GOOD | {"user": "1"}, "user must be an integer"),
        (GOOD | {"user": 1.0}, "user must be an integer"),
        (GOOD | {"user": True}, "user must be an integer"),
        (GOOD | {"user": 2**63}, "user must be an integer of 64 bits"),
        (GOOD | {"user": 2**70}, "user must be an integer of 64 bits"),
        (GOOD | {"type": None}, "type must be a text"),
        (GOOD | {"type": "a\u0000"}, "type holds a null character"),
        (GOOD | {"props": []}, "props must be an object"),
        (GOOD | {"props": "x"}, "props must be an object"),
        (GOOD | {"props": {"a": "\u0000"}}, "props hold a null character"),
        (GOOD | {"props": {"\u0000": 1}}, "props hold a null character"),
    ],
)
def test_a_line_that_cannot_be_meant_is_rejected_with_its_number(tmp_path: Path, line: Any, reason: str) -> None:
    rows, rejections = _read(tmp_path, [GOOD, line, GOOD])
    assert len(rows) == 2
    assert rejections.count == 1
    number, told = rejections.first[0]
    assert number == 2
    assert reason in told


def test_an_escaped_backslash_before_u0000_is_no_null_character(tmp_path: Path) -> None:
    rows, rejections = _read(tmp_path, [GOOD | {"props": {"a": "\\u0000"}}])
    assert rejections.count == 0
    assert json.loads(rows[0][3]) == {"a": "\\u0000"}


def test_the_first_twenty_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    _, rejections = _read(tmp_path, [b"x"] * 30)
    told = rejections.listed(Path("events.jsonl")).splitlines()
    assert rejections.count == 30
    assert len(told) == 21
    assert told[0].startswith("events.jsonl:1: not JSON")
    assert told[-1] == "… and 10 more"


def test_blocks_are_handed_on_while_the_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_file, "BLOCK_ROWS", 3)
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(GOOD | {"user": n}) + "\n" for n in range(7)))
    blocks = list(read_events(path, Rejections()))
    assert [len(block) for block in blocks] == [3, 3, 1]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EventsFileError, match=re.escape(f"{tmp_path}/none.jsonl: cannot be read: No such file")):
        list(read_events(tmp_path / "none.jsonl", Rejections()))


def test_rows_of_copy_escape_what_would_end_them() -> None:
    text = copy_text([(None, "2026-03-01T09:30:00Z", "a\tb\nc\rd\\e", '{"k":"\\n"}')])
    assert text == b'\\N\t2026-03-01T09:30:00Z\ta\\tb\\nc\\rd\\\\e\t{"k":"\\\\n"}\n'
