"""Events: chunks of a day, a rollup that follows a refresh of any period, retention that cannot slip."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

INSERT = """
    insert into analytics.events (time, tenant_id, event_id, session_id, user_id, event_type, device_type, country,
        origin, load_id)
    values (%s, %s, gen_random_uuid(), %s, %s, %s, %s, 'US', 'synthetic', gen_random_uuid())
"""
DIRECT = """
    select date_trunc('hour', time), event_type, device_type, country,
        count(*), count(distinct user_id), count(distinct session_id)
    from analytics.events where tenant_id = %s group by 1, 2, 3, 4 order by 1, 2, 3, 4
"""
ROLLUP = """
    select bucket, event_type, device_type, country, event_count, unique_users, sessions
    from analytics.events_hourly where tenant_id = %s order by 1, 2, 3, 4
"""


def insert(connect: Any, tenant: UUID, *events: tuple[datetime, int | None, str, str | None]) -> None:
    session = uuid4()
    with connect("loader") as loader:
        for time, user, event_type, device in events:
            loader.execute(INSERT, (time, tenant, session, user, event_type, device))


def refresh(connect: Any, start: datetime | None, end: datetime | None) -> None:
    with connect("migrator") as migrator:
        migrator.execute("call analytics.refresh_events_hourly(%s, %s)", (start, end))


def both(connect: Any, tenant: UUID) -> tuple[list[Any], list[Any]]:
    with connect("auditor") as auditor:
        return auditor.execute(DIRECT, (tenant,)).fetchall(), auditor.execute(ROLLUP, (tenant,)).fetchall()


def test_the_rollup_equals_the_events_also_after_late_ones_and_deletions(connect: Any) -> None:
    tenant = uuid4()
    insert(
        connect,
        tenant,
        (NOON, 1, "page_view", "mobile"),
        (NOON + timedelta(minutes=59, seconds=59), 1, "page_view", "mobile"),
        (NOON + timedelta(minutes=1), 2, "page_view", None),
        (NOON + timedelta(minutes=1), None, "page_view", None),
        (NOON + timedelta(hours=1), 1, "purchase", "tablet"),
    )
    refresh(connect, NOON, NOON + timedelta(hours=2))
    events, rollup = both(connect, tenant)
    assert rollup == events
    assert len(rollup) == 3

    insert(connect, tenant, (NOON + timedelta(minutes=30), 3, "page_view", "mobile"))
    # A period inside an hour still refreshes the whole hour: distinct counts cannot be added to.
    refresh(connect, NOON + timedelta(minutes=30), NOON + timedelta(minutes=31))
    refresh(connect, NOON + timedelta(minutes=30), NOON + timedelta(minutes=31))
    events, rollup = both(connect, tenant)
    assert rollup == events
    assert rollup[0][4:6] == (3, 2)

    with connect("loader") as loader:
        loader.execute("delete from analytics.events where tenant_id = %s and user_id = 1", (tenant,))
    refresh(connect, NOON, NOON + timedelta(hours=2))
    events, rollup = both(connect, tenant)
    assert rollup == events
    assert len(rollup) == 2


@pytest.mark.parametrize(
    ("start", "end"), [(NOON, NOON), (NOON, NOON - timedelta(hours=1)), (None, NOON), (NOON, None)]
)
def test_an_empty_or_inverted_period_is_an_error(connect: Any, start: datetime | None, end: datetime | None) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="nothing to refresh"):
        refresh(connect, start, end)


def test_a_day_of_events_is_one_chunk(connect: Any) -> None:
    insert(connect, uuid4(), (NOON, 1, "click", None), (NOON + timedelta(hours=11), 1, "click", None))
    with connect("auditor") as auditor:
        rows = auditor.execute(
            "select chunk_schema, range_end - range_start from timescaledb_information.chunks"
            " where hypertable_name = 'events' and range_start <= %s and range_end > %s",
            (NOON, NOON),
        ).fetchall()
    assert rows == [("analytics_chunks", timedelta(days=1))]


def test_events_older_than_a_year_are_dropped_and_younger_ones_cannot_be(connect: Any) -> None:
    tenant = uuid4()
    now = datetime.now(UTC)
    insert(connect, tenant, (now - timedelta(days=400), 1, "click", None), (now, 1, "click", None))
    with connect("migrator") as migrator, pytest.raises(errors.InvalidParameterValue, match="kept for a year"):
        migrator.execute("call analytics.drop_events_before(%s)", (now - timedelta(days=360),))
    with connect("migrator") as migrator:
        migrator.execute("call analytics.drop_events_before(%s)", (now - timedelta(days=366),))
    with connect("auditor") as auditor:
        query = "select count(*), min(time) > now() - interval '2 days' from analytics.events where tenant_id = %s"
        assert auditor.execute(query, (tenant,)).fetchone() == (1, True)
