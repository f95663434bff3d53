"""The policies of a cell: they run what changed and no more, and tell what they last did, also to Dagster."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import psycopg
import pytest

from orchestration import migrations
from orchestration.cells import routing
from orchestration.defs.operations import policies as shown
from orchestration.engines.local import LocalEngines
from orchestration.loading import policies

NOW = datetime.now(UTC)
INSERT = """
    insert into analytics.events (time, tenant_id, event_id, event_type, origin, load_id)
    values (%s, %s, gen_random_uuid(), 'click', 'synthetic', gen_random_uuid())
"""


def insert(*times: datetime) -> None:
    with routing.connect("na", "loader") as loader:
        for time in times:
            loader.execute(INSERT, (time, uuid4()))


def execute(statement: Any) -> Any:
    with routing.connect("na", "superuser", autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if cursor.description else None


@pytest.fixture
def cell(engines: LocalEngines) -> Iterator[None]:
    """Cell na, migrated, without events and without a policy that ever ran."""
    del engines
    migrations.apply_all("na")
    execute("truncate analytics.events")
    execute("truncate analytics.policy_runs")
    yield
    execute("truncate analytics.events")


def of(kind: str) -> policies.Policy:
    (found,) = [each for each in policies.policies("na") if each.kind == kind]
    return found


@pytest.mark.usefixtures("cell")
def test_a_refresh_touches_the_days_that_changed_and_says_when_it_ran() -> None:
    assert of("refresh").last_started is None
    assert not policies.has_changed("na")
    insert(NOW, NOW - timedelta(days=300), NOW - timedelta(days=3))
    assert of("refresh").behind > timedelta(0)
    assert policies.has_changed("na")
    assert policies.refresh_rollups("na") == 3
    done = of("refresh")
    assert (done.last_status, done.behind, done.trouble) == ("success", timedelta(0), None)
    assert done.last_finished is not None
    assert done.last_started is not None
    assert done.last_finished >= done.last_started
    # The day that goes on is left to readers: there is nothing to do.
    assert not policies.has_changed("na")
    assert policies.refresh_rollups("na") == 0


@pytest.mark.usefixtures("cell")
def test_retention_behind_is_seen_until_it_ran() -> None:
    insert(NOW - timedelta(days=380), NOW)
    assert "retention of events: behind by" in (of("retention").trouble or "")
    policies.drop_expired_events("na", NOW - timedelta(days=367))
    assert of("retention").trouble is None
    assert of("retention").last_status == "success"


@pytest.mark.usefixtures("cell")
def test_a_policy_that_failed_is_told() -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="kept for a year"):
        policies.drop_expired_events("na", NOW)
    assert of("retention").trouble == "retention of events: its last run failed"


@pytest.mark.usefixtures("cell")
def test_the_sensor_starts_a_run_only_when_something_changed_and_reports_what_is_new() -> None:
    first = shown.evaluate("na", None, 0.0, under_way=False)
    assert (first.run_requests, len(first.asset_events)) == ([], 2)
    again = shown.evaluate("na", first.cursor, 60.0, under_way=False)
    assert (again.run_requests, again.asset_events) == ([], [])
    insert(NOW)
    changed = shown.evaluate("na", again.cursor, 120.0, under_way=False)
    assert [run.tags[shown.REFRESH_TAG] for run in changed.run_requests or []] == ["na"]
    assert shown.evaluate("na", again.cursor, 130.0, under_way=True).run_requests == []
    with dg.DagsterInstance.ephemeral() as instance:
        assert shown.refresh_job("na").execute_in_process(instance=instance).success
    after = shown.evaluate("na", changed.cursor, 180.0, under_way=False)
    assert after.run_requests == []
    assert [type(event).__name__ for event in after.asset_events] == ["AssetMaterialization", "AssetCheckEvaluation"]
    assert json.loads(after.cursor or "")[1] == 180.0


@pytest.mark.usefixtures("cell")
def test_the_check_warns_of_what_is_behind() -> None:
    insert(NOW - timedelta(days=400))
    found = policies.policies("na")
    assert shown.problem(found) is not None
    table = shown.metadata_of(found)["policies"]
    assert [record.data["policy"] for record in table.records] == ["refresh of rollups", "retention of events"]
