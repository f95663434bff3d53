"""The kept sequences after any days' runs against a rebuild: SQL of the model's macros, executed many times."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import TupleRow

Render = Callable[..., str]
Connection = psycopg.Connection[TupleRow]

FILE = "funnel/event_sequences.sql"
TENANT = "00000000-0000-0000-0000-000000000001"
FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 4
# Around midnight, so that a slice's ends are met.
MOMENTS = [timedelta(0), timedelta(seconds=1), timedelta(hours=24) - timedelta(microseconds=1)]

Event = tuple[int | None, int, timedelta, str]  # user, day, time of the day, type
Run = tuple[int, int]  # first and last day
Change = tuple[set[Event], set[Event], Run]  # added, removed, and the run after it

EVENTS = st.sets(
    st.tuples(
        st.sampled_from([1, 2, 3, None]),
        st.integers(0, DAYS - 1),
        st.sampled_from(MOMENTS),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=12,
)
RUNS = st.tuples(st.integers(0, DAYS - 1), st.integers(0, DAYS - 1)).map(lambda r: (min(r), max(r)))
CHANGES = st.lists(st.tuples(EVENTS, EVENTS, RUNS), max_size=4)


def _moment(day: int) -> str:
    return f"timestamptz '{FIRST_DAY + timedelta(days=day)}'"


def _store(connection: Connection, events: set[Event]) -> None:
    connection.execute("truncate stream")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into stream values (%s, %s, %s, %s)",
            [(TENANT, user, FIRST_DAY + timedelta(days=day) + at, type_) for user, day, at, type_ in events],
        )


def _rows(connection: Connection, relation: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        f"select tenant_id, user_id, event_types, ends, times, first_at, last_at from {relation} as r order by 1, 2"
    ).fetchall()


def _places(connection: Connection) -> dict[int, str]:
    """Where each user's row is stored: a row that is written anew is elsewhere."""
    return {row[0]: row[1] for row in connection.execute("select user_id, ctid::text from kept")}


def _run(connection: Connection, render: Render, **limits: str) -> set[int]:
    """Bring the kept rows up to date; return the users whose rows were written."""
    before = _places(connection)
    query = render(FILE, "event_sequences_changed", kept="kept", events="stream", **limits)
    with connection.transaction():
        connection.execute(f"create temporary table changed on commit drop as {query}")
        connection.execute(render(FILE, "event_sequences_apply", kept="kept", changed="changed"))
    after = _places(connection)
    return {user for user in before | after if before.get(user) != after.get(user)}


def _rebuild(connection: Connection, render: Render) -> list[tuple[Any, ...]]:
    return _rows(connection, f"({render(FILE, 'event_sequences', events='stream')})")


PROPERTY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@PROPERTY
@given(changes=CHANGES)
def test_any_order_of_changes_and_runs_ends_in_a_rebuild(
    events: Connection, render: Render, changes: list[Change]
) -> None:
    _new_kept(events)
    stream: set[Event] = set()
    waiting: set[Event] = set()
    for added, removed, (first, last) in changes:
        changed = stream ^ ((stream | added) - removed)
        stream = (stream | added) - removed
        waiting ^= changed
        _store(events, stream)
        written = _run(events, render, first_moment=_moment(first), end_moment=_moment(last + 1))
        due = {e for e in waiting if first <= e[1] <= last}
        assert written == {e[0] for e in due if e[0] is not None}
        waiting -= due
    for day in {e[1] for e in waiting}:
        _run(events, render, first_moment=_moment(day), end_moment=_moment(day + 1))
    assert _rows(events, "kept") == _rebuild(events, render)
    assert not _run(events, render), "a run of everything finds nothing to write"


@PROPERTY
@given(stream=EVENTS, day=st.integers(0, DAYS - 1), retained=st.integers(0, DAYS))
def test_times_whose_events_retention_dropped_go_with_any_run(
    *, events: Connection, render: Render, stream: set[Event], day: int, retained: int
) -> None:
    _new_kept(events)
    _store(events, stream)
    _run(events, render)
    _store(events, {e for e in stream if e[1] >= retained})
    _run(
        events,
        render,
        first_moment=_moment(day),
        end_moment=_moment(day + 1),
        retained_from=_moment(retained),
        retained_everywhere_from=_moment(retained),
    )
    assert _rows(events, "kept") == _rebuild(events, render)


def _new_kept(connection: Connection) -> None:
    connection.execute("drop table if exists pg_temp.kept")
    connection.execute(
        "create temporary table kept (tenant_id uuid, user_id bigint, event_types text[], ends int[],"
        " times timestamptz[], first_at timestamptz, last_at timestamptz)"
    )
