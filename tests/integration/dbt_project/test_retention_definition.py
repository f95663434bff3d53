"""The cohorts' SQL against the written definition: the cases beside the tests, and random streams."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from orchestration.settings import PROJECT_ROOT

Render = Callable[..., str]
Connection = psycopg.Connection[TupleRow]
Rows = dict[tuple[UUID, date], list[int]]

TENANTS = (UUID(int=1), UUID(int=2))
FILE = "cohort/cohort_retention.sql"
CASES = json.loads((PROJECT_ROOT / "tests" / "cases" / "retention_cases.json").read_text())["cases"]


@dataclass(frozen=True)
class Event:
    tenant: UUID
    user: int | None
    at: datetime
    type: str


def _period(period: str, moment: datetime) -> date:
    day = moment.date()
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day


def _next(period: str, start: date) -> date:
    if period == "month":
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(days=7 if period == "week" else 1)


def brute_force(events: Sequence[Event], period: str, kind: str, first: date, last: date) -> Rows:
    """The definition, word by word, for target event T and return event R."""
    periods = [first]
    while periods[-1] < last:
        periods.append(_next(period, periods[-1]))
    rows: Rows = {}
    for tenant in TENANTS:
        of_tenant = [event for event in events if event.tenant == tenant and event.user is not None]
        targets = {(event.user, _period(period, event.at)) for event in of_tenant if event.type == "T"}
        returns = {(event.user, _period(period, event.at)) for event in of_tenant if event.type == "R"}
        for index, cohort in enumerate(periods):
            users = {user for user, at in targets if at == cohort}
            if kind == "first_time":
                users -= {user for user, at in targets if at < cohort}
            later = periods[index + 1 :]
            counts = [len(users)]
            for j, at in enumerate(later):
                reached = later[j:] if kind == "rolling" else [at]
                counts.append(sum(any((user, when) in returns for when in reached) for user in users))
            if users:
                rows[tenant, cohort] = counts
    return rows


def computed(connection: Connection, query: str) -> Rows:
    found: Rows = {}
    rows = connection.execute(f"select * from {query} as r order by tenant_id, cohort, period_offset").fetchall()
    for tenant, cohort, offset, size, users in rows:
        counts = found.setdefault((tenant, cohort), [])
        assert offset == len(counts)
        counts.append(users)
        assert size == counts[0]
    return found


def _query(*, render: Render, kind: str, period: str, targets: str, returns: str, first: str, last: str) -> str:
    ranges = f"(select distinct tenant_id, date '{first}' as first_period, date '{last}' as last_period from stream)"
    return render(FILE, "cohort_retention", kind=kind, period=period, targets=targets, returns=returns, ranges=ranges)


def _selection(step: str | dict[str, Any]) -> str:
    type_, props = (step, {}) if isinstance(step, str) else (step["type"], step.get("props", {}))
    conditions = [f"event_type = '{type_}'"] + [f"properties -> '{k}' = '{json.dumps(v)}'" for k, v in props.items()]
    return f"(select tenant_id, user_id, occurred_at from stream where {' and '.join(conditions)})"


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_case_gives_its_expected_matrix(case: dict[str, Any], events: Connection, render: Render) -> None:
    events.execute("truncate stream")
    with events.cursor() as cursor:
        cursor.executemany(
            "insert into stream values (%s, %s, %s, %s, %s)",
            [
                (TENANTS[0], e["user"], datetime.fromisoformat(e["t"]), e["type"], Jsonb(e.get("props") or {}))
                for e in case["events"]
            ],
        )
    query = _query(
        render=render,
        kind=case["kind"],
        period=case["period"],
        targets=_selection(case["target_event"]),
        returns=_selection(case["return_event"]),
        first=case["range"]["first"],
        last=case["range"]["last"],
    )
    found = {cohort.isoformat(): counts for (_, cohort), counts in computed(events, query).items()}
    assert found == case["expected"]


# The turn of a year: ISO weeks, months of different lengths and period starts all meet here.
DAYS = [datetime(2024, 12, 20, tzinfo=UTC) + timedelta(days=d, hours=h) for d in range(0, 45, 3) for h in (0, 23)]
RANGES = {
    "day": (date(2024, 12, 23), date(2025, 1, 20)),
    "week": (date(2024, 12, 23), date(2025, 1, 20)),
    "month": (date(2024, 12, 1), date(2025, 2, 1)),
}


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(
    stream=st.lists(
        st.builds(
            Event,
            tenant=st.sampled_from(TENANTS),
            user=st.sampled_from([1, 2, 3, None]),
            at=st.sampled_from(DAYS),
            type=st.sampled_from(["T", "R"]),
        ),
        max_size=14,
    ),
    period=st.sampled_from(["day", "week", "month"]),
    kind=st.sampled_from(["first_time", "recurring", "rolling"]),
)
def test_random_streams_agree_with_brute_force(
    *, events: Connection, render: Render, stream: list[Event], period: str, kind: str
) -> None:
    events.execute("truncate stream")
    with events.cursor() as cursor:
        cursor.executemany(
            "insert into stream values (%s, %s, %s, %s)", [(e.tenant, e.user, e.at, e.type) for e in stream]
        )
    first, last = RANGES[period]
    query = _query(
        render=render,
        kind=kind,
        period=period,
        targets=_selection("T"),
        returns=_selection("R"),
        first=first.isoformat(),
        last=last.isoformat(),
    )
    assert computed(events, query) == brute_force(stream, period, kind, first, last)
