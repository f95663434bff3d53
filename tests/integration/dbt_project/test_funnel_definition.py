"""The funnel's SQL against the written definition: the cases beside the tests, and every path of random streams."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain, pairwise, permutations, product
from statistics import fmean, median
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from orchestration.settings import PROJECT_ROOT

Step = str | dict[str, Any]
Render = Callable[..., str]
Connection = psycopg.Connection[TupleRow]

TENANTS = (UUID(int=1), UUID(int=2))
FILE = "funnel/funnel_paths.sql"
CASES = json.loads((PROJECT_ROOT / "tests" / "cases" / "funnel_cases.json").read_text())["cases"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Path = tuple[datetime, ...]
Figures = dict[tuple[UUID, date | None], list[tuple[int, float | None, float | None]]]


@dataclass(frozen=True)
class Event:
    tenant: UUID
    user: int | None
    at: datetime
    type: str
    props: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Funnel:
    steps: list[Step]
    window: timedelta | None
    mode: str = "ordered"
    exclusions: tuple[dict[str, Any], ...] = ()


def _matches(event: Event, step: Step) -> bool:
    if isinstance(step, str):
        return event.type == step
    properties = dict(event.props)
    type_fits = step["type"] is None or event.type == step["type"]
    return type_fits and all(properties.get(key, ...) == value for key, value in step.get("props", {}).items())


def _orders(events: Sequence[Event]) -> Iterator[tuple[int, ...]]:
    """Every order of the events in which times never decrease."""
    moments = [[i for i, e in enumerate(events) if e.at == at] for at in sorted({e.at for e in events})]
    for parts in product(*(permutations(moment) for moment in moments)):
        yield tuple(chain.from_iterable(parts))


def _strict_paths(events: Sequence[Event], funnel: Funnel) -> Iterator[tuple[int, ...]]:
    """Every run of neighbours, in every order of the user's events."""
    for order in _orders(events):
        for first in range(len(order)):
            for k in range(1, min(len(funnel.steps), len(order) - first) + 1):
                path = order[first : first + k]
                if all(_matches(events[i], step) for i, step in zip(path, funnel.steps, strict=False)):
                    yield path


def _ordered_paths(events: Sequence[Event], funnel: Funnel) -> Iterator[tuple[int, ...]]:
    """Every path, by trying every event after every other: the definition, word by word."""

    def extend(path: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if path:
            yield path
        if len(path) == len(funnel.steps):
            return
        for i, event in enumerate(events):
            if i in path or not _matches(event, funnel.steps[len(path)]):
                continue
            if path and event.at < events[path[-1]].at:
                continue
            yield from extend((*path, i))

    yield from extend(())


def _timing_order(path: Path) -> tuple[Any, ...]:
    """Least for the deepest path; of these the one that ends first, then starts last, then the earliest between."""
    return (-len(path), path[-1], EPOCH - path[0], path[1:-1])


def _is_tainted(events: Sequence[Event], path: Path, funnel: Funnel) -> bool:
    for exclusion in funnel.exclusions:
        first, last = exclusion["from"], exclusion["to"]
        if first >= len(path):
            continue
        if last < len(path):
            end = path[last]
        else:
            end = datetime.max.replace(tzinfo=UTC) if funnel.window is None else path[0] + funnel.window
        if any(_matches(e, {"type": exclusion["type"]}) and path[first] < e.at < end for e in events):
            return True
    return False


def _result(events: Sequence[Event], funnel: Funnel, day: date | None) -> Path | None:
    """The path of one user; None for one who is in no step."""
    paths = _strict_paths(events, funnel) if funnel.mode == "strict" else _ordered_paths(events, funnel)
    attempts: dict[int, Path] = {}
    for path in paths:
        times = tuple(events[i].at for i in path)
        if funnel.window is not None and times[-1] - times[0] > funnel.window:
            continue
        if day is not None and times[0].date() != day:
            continue
        attempts[path[0]] = min(attempts.get(path[0], times), times, key=_timing_order)
    if not attempts:
        return None
    deepest = max(map(len, attempts.values()))
    clean = [p for p in attempts.values() if len(p) == deepest and not _is_tainted(events, p, funnel)]
    return min(clean, key=_timing_order, default=None)


def brute_force(events: Sequence[Event], funnel: Funnel, *, by_day: bool) -> Figures:
    chosen: dict[tuple[UUID, date | None], list[Path]] = {}
    for tenant, user in sorted({(e.tenant, e.user) for e in events if e.user is not None}):
        of_user = [e for e in events if (e.tenant, e.user) == (tenant, user)]
        for day in {e.at.date() if by_day else None for e in of_user}:
            path = _result(of_user, funnel, day)
            if path is not None:
                chosen.setdefault((tenant, day), []).append(path)
    return {key: [_figures(paths, step) for step in range(len(funnel.steps))] for key, paths in chosen.items()}


def _figures(paths: Sequence[Path], step: int) -> tuple[int, float | None, float | None]:
    reached = [path for path in paths if len(path) > step]
    if not reached or step == 0:
        return len(reached), None, None
    seconds = [list(pairwise(path))[step - 1] for path in reached]
    taken = [(later - earlier).total_seconds() for earlier, later in seconds]
    return len(reached), fmean(taken), median(taken)


def _store(connection: Connection, events: Sequence[Event]) -> None:
    connection.execute("truncate stream")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into stream values (%s, %s, %s, %s, %s)",
            [(e.tenant, e.user, e.at, e.type, Jsonb(dict(e.props))) for e in events],
        )


def _query(render: Render, funnel: Funnel, **more: Any) -> str:
    return render(
        FILE,
        "funnel_steps",
        steps=funnel.steps,
        window_seconds=None if funnel.window is None else int(funnel.window.total_seconds()),
        events="stream",
        mode=funnel.mode,
        exclusions=list(funnel.exclusions),
        **more,
    )


def computed(connection: Connection, query: str) -> Figures:
    found: Figures = {}
    rows = connection.execute(f"select * from {query} as f order by tenant_id, day, step").fetchall()
    for tenant, day, step, users, average, middle in rows:
        figures = found.setdefault((tenant, day), [])
        assert step == len(figures) + 1
        figures.append((users, average, middle))
    return found


def _assert_same(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for key, figures in expected.items():
        assert [f[0] for f in found[key]] == [f[0] for f in figures], key
        for part in (1, 2):
            assert [f[part] for f in found[key]] == pytest.approx([f[part] for f in figures], abs=1e-6), key


def _parse(case: dict[str, Any]) -> list[Event]:
    return [
        Event(TENANTS[0], e["user"], datetime.fromisoformat(e["t"]), e["type"], tuple((e.get("props") or {}).items()))
        for e in case["events"]
    ]


def _funnel(case: dict[str, Any]) -> Funnel:
    spec = case["funnel"]
    window = None if spec["window_seconds"] is None else timedelta(seconds=spec["window_seconds"])
    return Funnel(spec["steps"], window, spec["mode"], tuple(spec.get("exclusions") or ()))


def _assert_expected(found: Figures, case: dict[str, Any]) -> None:
    expected = case["expected"]
    figures = found.get((TENANTS[0], None), [(0, None, None)] * len(expected["step_counts"]))
    assert [f[0] for f in figures] == expected["step_counts"]
    assert [f[1] for f in figures] == pytest.approx(expected["avg_seconds"], abs=1e-6)
    assert [f[2] for f in figures] == pytest.approx(expected["median_seconds"], abs=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_case_gives_its_expected_counts_and_times(case: dict[str, Any], events: Connection, render: Render) -> None:
    _store(events, _parse(case))
    _assert_expected(computed(events, _query(render, _funnel(case), by_day=False)), case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_brute_force_agrees_with_the_case(case: dict[str, Any]) -> None:
    _assert_expected(brute_force(_parse(case), _funnel(case), by_day=False), case)


EXCLUSIVE: list[Step] = ["A", "B", "C"]
OVERLAPPING: list[Step] = [
    "A",
    "B",
    {"type": None},
    {"type": "A", "props": {"k": 1}},
    {"type": None, "props": {"k": 1}},
]
# Few moments, close to midnight, so that ties, window boundaries and days' ends meet often.
MOMENTS = [datetime(2026, 3, 1, 23, 59, 58, tzinfo=UTC) + timedelta(seconds=s) for s in range(6)]


def _streams(with_props: bool, size: int = 8) -> st.SearchStrategy[list[Event]]:
    return st.lists(
        st.builds(
            Event,
            tenant=st.sampled_from(TENANTS),
            user=st.sampled_from([1, 1, 1, 2, None]),
            at=st.sampled_from(MOMENTS),
            type=st.sampled_from(["A", "B", "C"]),
            props=st.sampled_from([(), (("k", 1),)]) if with_props else st.just(()),
        ),
        max_size=size,
    )


def _compare(*, connection: Connection, render: Render, stream: list[Event], funnel: Funnel, by_day: bool) -> None:
    _store(connection, stream)
    expected = brute_force(stream, funnel, by_day=by_day)
    _assert_same(computed(connection, _query(render, funnel, by_day=by_day)), expected)
    # Read where they suffice; where they do not, the events are.
    kept = _query(render, funnel, by_day=by_day, sequences=_sequences(render))
    _assert_same(computed(connection, kept), expected)


def _sequences(render: Render) -> str:
    return f"({render('funnel/event_sequences.sql', 'event_sequences', events='stream')})"


PROPERTY = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
WINDOWS = st.one_of(st.none(), st.integers(0, 6).map(lambda s: timedelta(seconds=s)))


def _lists_of(steps: list[Step], at_least: int = 1) -> st.SearchStrategy[list[Step]]:
    return st.lists(st.sampled_from(steps), min_size=at_least, max_size=4)


@st.composite
def _exclusions(draw: st.DrawFn, steps: int) -> tuple[dict[str, Any], ...]:
    def one() -> dict[str, Any]:
        first = draw(st.integers(0, steps - 2))
        return {"type": draw(st.sampled_from("ABC")), "from": first, "to": draw(st.integers(first + 1, steps - 1))}

    return tuple(one() for _ in range(draw(st.integers(1, 2))))


@PROPERTY
@given(stream=_streams(with_props=False), steps=_lists_of(EXCLUSIVE), window=WINDOWS, by_day=st.booleans())
def test_steps_of_single_types_are_exact(
    *, events: Connection, render: Render, stream: list[Event], steps: list[Step], window: timedelta, by_day: bool
) -> None:
    funnel = Funnel(steps, window)
    _compare(connection=events, render=render, stream=stream, funnel=funnel, by_day=by_day)


@PROPERTY
@given(stream=_streams(with_props=True), steps=_lists_of(OVERLAPPING), window=WINDOWS, by_day=st.booleans())
def test_steps_that_can_match_the_same_event_are_exact(
    *, events: Connection, render: Render, stream: list[Event], steps: list[Step], window: timedelta, by_day: bool
) -> None:
    funnel = Funnel(steps, window)
    _compare(connection=events, render=render, stream=stream, funnel=funnel, by_day=by_day)


@PROPERTY
@given(stream=_streams(with_props=True, size=6), steps=_lists_of(OVERLAPPING), window=WINDOWS, by_day=st.booleans())
def test_strict_paths_are_exact(
    *, events: Connection, render: Render, stream: list[Event], steps: list[Step], window: timedelta, by_day: bool
) -> None:
    funnel = Funnel(steps, window, "strict")
    _compare(connection=events, render=render, stream=stream, funnel=funnel, by_day=by_day)


@PROPERTY
@given(
    stream=_streams(with_props=True, size=6),
    steps=st.one_of(_lists_of(EXCLUSIVE, 2), _lists_of(OVERLAPPING, 2)),
    window=WINDOWS,
    by_day=st.booleans(),
    mode=st.sampled_from(["ordered", "strict"]),
    data=st.data(),
)
def test_exclusions_are_exact(
    *,
    events: Connection,
    render: Render,
    stream: list[Event],
    steps: list[Step],
    window: timedelta,
    by_day: bool,
    mode: str,
    data: st.DataObject,
) -> None:
    funnel = Funnel(steps, window, mode, data.draw(_exclusions(len(steps))))
    _compare(connection=events, render=render, stream=stream, funnel=funnel, by_day=by_day)


@PROPERTY
@given(
    stream=_streams(with_props=False),
    window=st.integers(0, 6),
    funnel=st.sampled_from(
        [
            Funnel(["A", "B", "C"], None),
            Funnel(["A", "B", "A"], None),
            Funnel(["A", "B", {"type": None}], None),
            Funnel(["A", "B", "A"], None, "strict"),
            Funnel(["A", "B", "A"], None, "ordered", ({"type": "C", "from": 0, "to": 1},)),
        ]
    ),
)
def test_a_limit_of_days_gives_the_rows_of_these_days(
    events: Connection, render: Render, stream: list[Event], window: int, funnel: Funnel
) -> None:
    _store(events, stream)
    funnel = replace(funnel, window=timedelta(seconds=window))
    whole = brute_force(stream, funnel, by_day=True)
    for day in (date(2026, 3, 1), date(2026, 3, 2)):
        limits = {"first_day": f"date '{day}'", "last_day": f"date '{day}'"}
        of_day = {key: row for key, row in whole.items() if key[1] == day}
        _assert_same(computed(events, _query(render, funnel, **limits)), of_day)
        _assert_same(computed(events, _query(render, funnel, sequences=_sequences(render), **limits)), of_day)
        _assert_same(
            computed(events, _query(render, funnel, by_day=False, sequences=_sequences(render), **limits)),
            {(tenant, None): row for (tenant, _), row in of_day.items()},
        )


def test_a_later_start_at_the_moment_of_step_2_leaves_its_event_to_step_3(events: Connection, render: Render) -> None:
    seconds = [(0, "A"), (10, "A"), (20, "A"), (20, "B")]
    _store(events, [Event(TENANTS[0], 1, MOMENTS[0] + timedelta(seconds=s), type_) for s, type_ in seconds])
    funnel = Funnel(["A", "B", "A"], timedelta(seconds=15))
    found = computed(events, _query(render, funnel, by_day=False))
    assert found == {(TENANTS[0], None): [(1, None, None), (1, 10, 10), (1, 0, 0)]}


def test_a_breakdown_counts_users_by_their_touch(events: Connection, render: Render) -> None:
    at = MOMENTS[0]
    _store(events, [Event(TENANTS[0], user, at, type_) for user in (1, 2, 3) for type_ in ("A", "B")[: user % 2 + 1]])
    touches = (
        f"(values ('{TENANTS[0]}'::uuid, 1, 'US'), ('{TENANTS[0]}'::uuid, 2, 'US'), ('{TENANTS[1]}'::uuid, 3, 'DE'))"
    )
    query = _query(
        render,
        Funnel(["A", "B"], None),
        by_day=False,
        touches=f"(select * from {touches} as v (tenant_id, user_id, breakdown_value))",
    )
    rows = events.execute(f"select breakdown_value, step, users from {query} as f order by 1, 2").fetchall()
    assert rows == [("US", 1, 2), ("US", 2, 1), (None, 1, 1), (None, 2, 1)]


# Events of the types A, B, C in turn, three at a time, every 10 ms; 3.6 s hold 360 moments.
LARGE = {
    "exclusive": (Funnel(["A", "B", "A"], timedelta(hours=1)), 1),
    "overlapping": (Funnel(["A", "B", {"type": None}], timedelta(hours=1)), 1),
    "strict": (Funnel(["A", "B", "C", "A"], timedelta(hours=1), "strict"), 1),
    "excluded": (
        Funnel(["A", "B", "C", "A"], timedelta(hours=1), "ordered", ({"type": "C", "from": 0, "to": 3},)),
        1,
    ),
    "none is untainted": (
        Funnel(["A", "B", "C", "D"], timedelta(hours=1), "ordered", ({"type": "B", "from": 0, "to": 3},)),
        0,
    ),
    "all types twelve times": (Funnel([{"type": None}] * 12, timedelta(hours=1)), 1),
}


@pytest.mark.parametrize(("funnel", "users"), LARGE.values(), ids=LARGE)
def test_a_quarter_of_a_million_events_of_one_user_are_not_quadratic(
    events: Connection, render: Render, funnel: Funnel, users: int
) -> None:
    events.execute("truncate stream")
    events.execute(
        "insert into stream select %s, 1, timestamptz '2026-03-01Z' + (g / 3) * interval '10 milliseconds',"
        " (array['A', 'B', 'C'])[1 + g %% 3] from generate_series(1, 250000) as g",
        (TENANTS[0],),
    )
    # Quadratic would be 10^10 comparisons: hours. The limit only has to tell that from n log n on a busy machine.
    events.execute("set statement_timeout = '60s'")
    try:
        found = computed(events, _query(render, funnel))
    finally:
        events.execute("reset statement_timeout")
    if users:
        assert found[(TENANTS[0], date(2026, 3, 1))][-1][0] == users
    else:
        assert found == {}
