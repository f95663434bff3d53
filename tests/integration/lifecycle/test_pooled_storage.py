"""Dagster's storage keeps its connections, and survives losing them."""

from collections.abc import Iterator

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import TupleRow

from orchestration.cells import routing
from orchestration.engines.local import LocalEngines
from orchestration.lifecycle import dagster_home
from orchestration.settings import get_settings

EVENTS = 50


@pytest.fixture
def instance(cells: LocalEngines) -> Iterator[dg.DagsterInstance]:  # noqa: ARG001 -- has to be running
    settings = get_settings()
    dagster_home.write(settings)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        yield instance


@pytest.fixture
def control(cells: LocalEngines) -> Iterator[psycopg.Connection[TupleRow]]:  # noqa: ARG001 -- has to be running
    with routing.connect("control", "superuser", autocommit=True) as connection:
        yield connection


@dg.asset
def counted(context: dg.AssetExecutionContext) -> None:
    for number in range(EVENTS):
        context.log.info(f"event {number}")


def _backends(control: psycopg.Connection[TupleRow]) -> set[int]:
    rows = control.execute("select pid from pg_stat_activity where datname = 'dagster' and usename = 'dagster'")
    return {row[0] for row in rows}


def test_a_run_of_many_events_uses_the_connections_that_there_are(instance: dg.DagsterInstance) -> None:
    assert dg.materialize([counted], instance=instance).success
    opened: list[object] = []
    sa.event.listen(sa.Pool, "connect", lambda connection, _: opened.append(connection))
    assert dg.materialize([counted], instance=instance).success
    # One per use would be more than two an event.
    assert len(opened) < EVENTS / 5


def test_connections_that_the_server_has_ended_cost_no_error(
    instance: dg.DagsterInstance, control: psycopg.Connection[TupleRow]
) -> None:
    assert dg.materialize([counted], instance=instance).success
    ended = _backends(control)
    assert ended
    for pid in ended:
        control.execute("select pg_terminate_backend(%s, 5000)", (pid,))
    assert dg.materialize([counted], instance=instance).success
    assert not _backends(control) & ended
