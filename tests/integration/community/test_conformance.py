"""Both editions of TimescaleDB give the same answers: rollups, dashboard queries and policies, late events included."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from orchestration.dashboard.queries import QUERIES, Question, statement

Connect = Callable[[str], AbstractContextManager[Any]]

EVENTS = Path(__file__).with_name("events.sql").read_text()
DIFFERENCES = (Path(__file__).parents[1] / "sql" / "rollup_differences.sql").read_text()
NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
ONE, OTHER = UUID(int=1), UUID(int=2)
ROLLUPS = ("events_hourly", "events_daily", "page_views_daily", "user_days", "page_users_hourly")
# Marts are built by dbt from the same events on both.
QUESTIONS = [name for name, query in QUERIES.items() if all(s.startswith("analytics.") for s in query.sources)]
LATE = """
    insert into analytics.events (time, tenant_id, event_id, user_id, event_type, page_url, origin, load_id)
    values (%s, %s, gen_random_uuid(), 99, 'page_view', 'late', 'synthetic', gen_random_uuid())
"""


def run(connect: Connect, role: str, statement: Any, parameters: Any = None) -> list[Any]:
    with connect(role) as connection:
        cursor = connection.execute(statement, parameters, prepare=False)
        return cursor.fetchall() if cursor.description else []


def on_both(editions: Sequence[Connect], role: str, statement: Any, parameters: Any = None) -> None:
    for connect in editions:
        run(connect, role, statement, parameters)


@pytest.fixture(scope="module")
def editions(apache: Connect, community: Connect) -> tuple[Connect, Connect]:
    """Both editions with the same tenants and events."""
    both = (apache, community)
    on_both(both, "loader", "insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0)")
    for tenant in (ONE, OTHER):
        on_both(
            both,
            "loader",
            "insert into saas.tenants (id, name, subdomain) values (%s, 'Shop', %s)",
            (tenant, f"shop{tenant.int}"),
        )
    on_both(both, "loader", EVENTS, {"now": NOW, "one": ONE, "other": OTHER, "count": 4_000})
    return both


def rows(connect: Connect, rollup: str) -> list[Any]:
    return sorted(run(connect, "auditor", f"select * from analytics.{rollup}"), key=str)


def agree(editions: Sequence[Connect]) -> None:
    """Require that every rollup is the same on both, and what its events give."""
    apache, community = editions
    for rollup in ROLLUPS:
        found = rows(apache, rollup)
        assert rows(community, rollup) == found, rollup
        assert found, rollup
    assert [run(connect, "auditor", DIFFERENCES) for connect in editions] == [[], []]


def refresh(editions: Sequence[Connect]) -> None:
    on_both(editions, "migrator", "call analytics.refresh_rollups()")


def test_the_community_engine_is_the_community_edition(community: Connect) -> None:
    assert run(community, "auditor", "show timescaledb.license") == [("timescale",)]


def test_rollups_hold_the_newest_events_before_any_refresh_and_after_one(editions: Sequence[Connect]) -> None:
    agree(editions)
    refresh(editions)
    agree(editions)
    # Now and not at NOW: an hour may have ended since, and the Community edition has then kept it.
    on_both(editions, "loader", LATE, (datetime.now(UTC), ONE))
    agree(editions)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_dashboard_query_answers_the_same(editions: Sequence[Connect], name: str) -> None:
    asked = statement(Question(name, at=NOW))
    answers = []
    for connect in editions:
        with connect("app") as app, app.transaction():
            app.execute("select set_config('app.current_tenant', %s, true)", (str(OTHER),))
            answers.append(app.execute(asked.text, asked.parameters, prepare=False).fetchall())
    assert answers[0] == answers[1]
    assert answers[0]


def test_late_events_and_deletions_of_any_age_are_counted_again(editions: Sequence[Connect]) -> None:
    refresh(editions)
    for days in (1, 30, 300):
        on_both(editions, "loader", LATE, (NOW - timedelta(days=days), OTHER))
    on_both(editions, "loader", "delete from analytics.events where user_id = 5 and tenant_id = %s", (ONE,))
    apache, community = editions
    # The Apache edition's readers see it at once, the Community edition's after the policy's next run.
    assert run(apache, "auditor", DIFFERENCES) == []
    assert run(community, "auditor", DIFFERENCES) != []
    refresh(editions)
    agree(editions)


def test_policies_of_the_server_compress_refresh_and_drop_and_say_so(editions: Sequence[Connect]) -> None:
    apache, community = editions
    before = NOW - timedelta(days=400)
    on_both(editions, "loader", LATE, (before, ONE))
    jobs = "select job_id from timescaledb_information.jobs where job_id >= 1000 order by proc_name = %s, job_id"
    # What retention drops goes from the rollups at the refresh after.
    for (job,) in run(community, "superuser", jobs, ("policy_refresh_continuous_aggregate",)):
        run(community, "migrator", f"call public.run_job({job})")
    run(apache, "migrator", "call analytics.drop_events_before(%s)", (NOW - timedelta(days=366),))
    agree(editions)
    on_both(editions, "loader", LATE, (NOW - timedelta(days=30), ONE))
    on_both(editions, "loader", "delete from analytics.events where user_id = 6 and tenant_id = %s", (OTHER,))
    refresh(editions)
    agree(editions)

    [(bytes_before, bytes_after)] = run(
        community,
        "auditor",
        "select before_compression_total_bytes, after_compression_total_bytes "
        "from public.hypertable_compression_stats('analytics.events')",
    )
    assert bytes_before > bytes_after, f"{bytes_before} to {bytes_after}"
    shown = run(community, "auditor", "select name, kind, detail from analytics.policies order by kind, name")
    assert [kind for _, kind, _ in shown] == ["compression", *["refresh"] * len(ROLLUPS), "retention"]
    assert "days compressed" in shown[0][2]


def test_both_editions_tell_of_their_policies_alike(editions: Sequence[Connect]) -> None:
    columns = """
        select column_name, data_type from information_schema.columns
        where table_schema = 'analytics' and table_name = 'policies' order by ordinal_position
    """
    apache, community = (run(connect, "superuser", columns) for connect in editions)
    assert apache == community
