"""What the benchmark compares with computes the same: else its ratios would mean nothing."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import duckdb
import psycopg
from psycopg.rows import TupleRow

from orchestration.analysis.render import COHORT, FUNNEL, render
from orchestration.bench.marts import _by_tenant, _of_cohorts, _of_steps, _same, _summed
from orchestration.bench.marts_baselines import duckdb_funnel, duckdb_retention, naive_retention, self_join_funnel

STEPS = ("a", "b", "c")
WINDOW = 4
START = datetime(2026, 3, 1, tzinfo=UTC)
RANGES = "(select distinct tenant_id, date '2026-02-23' as first_period, date '2026-03-09' as last_period from stream)"


def test_duckdb_and_plain_joins_agree_with_the_generators(events: psycopg.Connection[TupleRow]) -> None:
    chance = random.Random(7)  # noqa: S311 -- test data
    events.execute("set timezone = 'UTC'")
    for _ in range(25):
        rows = [
            (
                UUID(int=chance.randint(1, 2)),
                chance.choice([1, 2, 3, None]),
                START + timedelta(seconds=chance.randint(0, 12), days=chance.choice([0, 0, 3, 8])),
                chance.choice("abcx"),
            )
            for _ in range(40)
        ]
        events.execute("truncate stream")
        with events.cursor() as cursor:
            cursor.executemany("insert into stream values (%s, %s, %s, %s)", rows)
        with duckdb.connect() as other:
            other.execute("set timezone = 'UTC'")
            other.execute("create table events (tenant_id uuid, user_id bigint, t timestamptz, event_type varchar)")
            other.executemany("insert into events values (?, ?, ?, ?)", rows)
            funnels = [
                _by_tenant(other.execute(duckdb_funnel(STEPS, WINDOW)).fetchall()),
                _by_tenant(events.execute(self_join_funnel(STEPS, WINDOW, "stream").encode()).fetchall()),
            ]
            cohorts = [
                _of_cohorts(other.execute(duckdb_retention()).fetchall()),
                _of_cohorts(events.execute(naive_retention("stream").encode()).fetchall()),
            ]
        funnel = render(FUNNEL, "funnel_steps", steps=list(STEPS), window_seconds=WINDOW, events="stream", by_day=False)
        ours = _of_steps(events.execute(f"select * from {funnel} as f".encode()).fetchall())
        assert all(_same(ours, theirs) for theirs in funnels), (ours, funnels)
        retention = render(
            COHORT,
            "cohort_retention",
            kind="first_time",
            period="week",
            targets="stream",
            returns="stream",
            ranges=RANGES,
        )
        matrix = _of_cohorts(events.execute(_summed(retention).encode()).fetchall())
        assert all(matrix == theirs for theirs in cohorts), (matrix, cohorts)
