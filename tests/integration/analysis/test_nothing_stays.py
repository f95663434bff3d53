"""Of a question nothing stays in the cell, however it ends, and it cannot write."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from orchestration.analysis.event_source import events_of_file
from orchestration.analysis.events_file import Rejections
from orchestration.cells import routing
from orchestration.engines.local import LocalEngines
from orchestration.settings import get_settings

Capstone = Callable[..., Any]
Connection = psycopg.Connection[TupleRow]

SESSIONS = "select count(*) from pg_stat_activity where application_name = 'capstone analysis'"
DEADLINE_SECONDS = 30


@pytest.fixture(scope="module")
def onlooker(cells: LocalEngines) -> Iterator[Connection]:
    assert cells
    with routing.connect("na", "superuser", autocommit=True) as connection:
        yield connection


def _number(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _await(connection: Connection, query: str, wanted: Callable[[int], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not wanted(_number(connection, query)):
        assert time.monotonic() < deadline, query
        time.sleep(0.05)


def _relations(connection: Connection) -> list[Any]:
    return connection.execute(
        "select relnamespace::regnamespace::text, relname from pg_class"
        " where relname not like 'pg_toast_%' order by 1, 2"
    ).fetchall()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Events that take a while to load, and a funnel that takes a while to compute."""
    chance = random.Random(1)  # noqa: S311 -- test data
    events, spec = tmp_path / "events.jsonl", tmp_path / "spec.json"
    with events.open("w") as file:
        for number in range(60_000):
            at = f"2026-03-{1 + number % 28:02d}T{number % 24:02d}:{number % 60:02d}:00.{number:06d}Z"
            file.write(
                json.dumps({"t": at, "user": number % 50, "type": chance.choice("abc"), "props": {"k": 1}}) + "\n"
            )
    steps: list[Any] = [{"type": None}, {"type": None, "props": {"k": 1}}] * 6
    spec.write_text(json.dumps({"steps": steps, "window_seconds": None}))
    return events, spec


def _start(files: tuple[Path, Path]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "orchestration.cli", "funnel", "--cell", "na", "--json"]
    return subprocess.Popen(
        [*command, "--events", str(files[0]), "--spec", str(files[1])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_the_catalog_is_as_it_was_and_the_proof_stays_valid(
    onlooker: Connection, capstone: Capstone, tmp_path: Path
) -> None:
    digest = "select ('x' || left(md5(platform.catalog_digest()::text), 8))::bit(32)::int"
    before = _relations(onlooker), _number(onlooker, digest)
    events, spec = tmp_path / "e.jsonl", tmp_path / "s.json"
    events.write_text('{"t": "2026-03-01T00:00:00Z", "user": 1, "type": "a"}\n')
    spec.write_text('{"steps": ["a"], "window_seconds": null}')
    with events_of_file(events, "na", Rejections(), skip_rejected=False, settings=get_settings()):
        assert _number(onlooker, digest) == before[1]
    capstone("funnel", "--events", events, "--spec", spec, "--cell", "na", "--json")
    events.write_text("garbage\n")
    capstone("funnel", "--events", events, "--spec", spec, "--cell", "na", "--json", code=1)
    _await(onlooker, SESSIONS, lambda sessions: sessions == 0)
    assert (_relations(onlooker), _number(onlooker, digest)) == before


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("doing", ["copy", "with asked_events"])
def test_killed_while_loading_or_computing_it_leaves_no_session_and_no_table(
    sent: signal.Signals, doing: str, onlooker: Connection, files: tuple[Path, Path]
) -> None:
    before = _relations(onlooker)
    process = _start(files)
    busy = f"{SESSIONS} and state = 'active' and query ilike '{doing}%'"
    _await(onlooker, busy, lambda sessions: sessions > 0)
    process.send_signal(sent)
    assert process.wait(DEADLINE_SECONDS) != 0
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    _await(onlooker, SESSIONS, lambda sessions: sessions == 0)
    assert _relations(onlooker) == before


def test_a_question_can_only_read(cells: LocalEngines, tmp_path: Path) -> None:
    assert cells
    events = tmp_path / "e.jsonl"
    events.write_text('{"t": "2026-03-01T00:00:00Z", "user": 1, "type": "a"}\n')
    with events_of_file(events, "na", Rejections(), skip_rejected=False, settings=get_settings()) as source:
        assert source.rows("select count(*) from asked_events") == [(1,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            source.rows(
                "insert into saas.plans (plan, name, monthly_price) select 'left', 'behind', 0 from asked_events"
            )
        with pytest.raises(psycopg.errors.SyntaxError, match="multiple commands"):
            source.rows("select 1 from asked_events; create table marts.left_behind ()")
