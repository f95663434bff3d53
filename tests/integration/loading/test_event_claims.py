"""Each event is written once, whoever brings it, in whatever order, and whatever dies in between."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql
from pydantic import SecretStr

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.engines.local import LocalEngines
from orchestration.loading.copy_loader import LoadError
from orchestration.loading.event_claims import (
    CONFLICT,
    HORIZON,
    INSERTED,
    KEPT_DAYS,
    REPEAT,
    EventsOnce,
    expire_claims,
    insert_events_once,
)
from orchestration.settings import Settings, get_settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOAD = UUID(int=7)
TENANT = UUID(int=1)


@pytest.fixture(scope="module")
def cell(engines: LocalEngines) -> Iterator[Settings]:
    assert engines
    settings, name = get_settings(), sql.Identifier("claims")
    with routing.connect("na", "superuser", autocommit=True, settings=settings) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(name))
    own = SecretStr(endpoints.dsn("na", "superuser", database="claims", settings=settings))
    try:
        migrations.apply_all("na", settings=settings.model_copy(update={"dsn_na": own}))
        yield settings.model_copy(update={"dsn_na": own})
    finally:
        with routing.connect("na", "superuser", autocommit=True, settings=settings) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture
def loader(cell: Settings) -> Iterator[psycopg.Connection[Any]]:
    with routing.connect("na", "superuser", autocommit=True, settings=cell) as connection:
        connection.execute("truncate analytics.events, analytics.events_history, analytics.event_ids")
    with routing.connect("na", "loader", autocommit=True, settings=cell) as connection:
        yield connection


def block(ids: Sequence[UUID], times: Sequence[datetime] | None = None, tenant: UUID = TENANT) -> pa.Table:
    return pa.table(
        {
            "time": pa.array(times or [NOON] * len(ids), pa.timestamp("us", "UTC")),
            "tenant_id": pa.array([tenant.bytes] * len(ids), pa.binary(16)),
            "event_id": pa.array([each.bytes for each in ids], pa.binary(16)),
            "event_type": pa.array(["click"] * len(ids)),
        }
    )


def insert(
    connection: psycopg.Connection[Any], events: pa.Table, claimed_by: Sequence[str] | None = None
) -> EventsOnce:
    with connection.transaction():
        return insert_events_once(connection, events, origin="import", load_id=LOAD, claimed_by=claimed_by)


def stored(connection: psycopg.Connection[Any]) -> list[UUID]:
    return [row[0] for row in connection.execute("select event_id from analytics.events order by event_id")]


def test_what_is_sent_again_is_not_written_again(loader: psycopg.Connection[Any]) -> None:
    ids = sorted(uuid4() for _ in range(50))
    assert insert(loader, block(ids)).fates.tolist() == [INSERTED] * 50
    again = insert(loader, block(ids))
    assert again.fates.tolist() == [REPEAT] * 50
    assert stored(loader) == ids


def test_new_events_among_repeats_are_written(loader: psycopg.Connection[Any]) -> None:
    old, new = [uuid4() for _ in range(20)], [uuid4() for _ in range(20)]
    insert(loader, block(old))
    mixed = [each for pair in zip(old, new, strict=True) for each in pair]
    assert insert(loader, block(mixed)).fates.tolist() == [REPEAT, INSERTED] * 20
    assert stored(loader) == sorted(old + new)


def test_another_event_under_a_taken_id_is_a_conflict_and_the_first_stays(loader: psycopg.Connection[Any]) -> None:
    one = uuid4()
    insert(loader, block([one]))
    assert insert(loader, block([one], [NOON + timedelta(microseconds=1)])).fates.tolist() == [CONFLICT]
    assert loader.execute("select time from analytics.events").fetchall() == [(NOON,)]


def test_of_equal_ids_in_a_block_the_first_row_wins(loader: psycopg.Connection[Any]) -> None:
    one, other = uuid4(), uuid4()
    late = NOON + timedelta(seconds=1)
    outcome = insert(loader, block([one, other, one, one], [NOON, NOON, late, NOON]), ["a", "b", "c", "d"])
    assert outcome.fates.tolist() == [INSERTED, INSERTED, CONFLICT, REPEAT]
    assert outcome.held_by == {2: "a", 3: "a"}


def test_equal_ids_of_a_block_are_judged_by_who_holds_the_id(loader: psycopg.Connection[Any]) -> None:
    one, late = uuid4(), NOON + timedelta(seconds=1)
    insert(loader, block([one], [late]), ["first"])
    outcome = insert(loader, block([one, one], [NOON, late]), ["a", "b"])
    assert outcome.fates.tolist() == [CONFLICT, REPEAT]
    assert outcome.held_by == {0: "first", 1: "first"}


def test_the_same_id_of_two_tenants_is_two_events(loader: psycopg.Connection[Any]) -> None:
    one = uuid4()
    both = pa.concat_tables([block([one], tenant=UUID(int=2)), block([one], tenant=UUID(int=1))])
    assert insert(loader, both).fates.tolist() == [INSERTED, INSERTED]
    assert insert(loader, both).fates.tolist() == [REPEAT, REPEAT]


def test_ids_that_begin_alike_are_told_apart(loader: psycopg.Connection[Any]) -> None:
    ids = [UUID(int=(5 << 64) | low) for low in (3, 1, 2, 1)]
    assert insert(loader, block(ids)).fates.tolist() == [INSERTED, INSERTED, INSERTED, REPEAT]


def test_who_claimed_an_id_is_told_and_a_load_is_nobody(loader: psycopg.Connection[Any]) -> None:
    queued, loaded = uuid4(), uuid4()
    insert(loader, block([queued]), ["17-0"])
    insert(loader, block([loaded]))
    assert insert(loader, block([queued, loaded]), ["18-0", "18-1"]).held_by == {0: "17-0", 1: None}


def test_an_id_claimed_in_a_transaction_that_failed_is_free(loader: psycopg.Connection[Any]) -> None:
    one = uuid4()
    with loader.transaction(force_rollback=True):
        assert insert_events_once(loader, block([one]), origin="import", load_id=LOAD).inserted == 1
    assert insert(loader, block([one])).inserted == 1


@pytest.mark.parametrize("commits", [True, False], ids=["commits", "rolls_back"])
def test_of_two_at_once_the_second_waits_for_the_first(
    loader: psycopg.Connection[Any], cell: Settings, commits: bool
) -> None:
    ids = [uuid4() for _ in range(30)]
    outcomes: list[EventsOnce] = []
    with routing.connect("na", "loader", autocommit=True, settings=cell) as second:

        def insert_reversed() -> None:
            outcomes.append(insert(second, block(ids[::-1])))

        thread = threading.Thread(target=insert_reversed)
        with loader.transaction(force_rollback=not commits):
            insert_events_once(loader, block(ids), origin="import", load_id=LOAD)
            thread.start()
            thread.join(timeout=0.3)
            assert thread.is_alive()
        thread.join(timeout=30)
    assert outcomes[0].fates.tolist() == [REPEAT if commits else INSERTED] * 30
    assert stored(loader) == sorted(ids)


def test_claims_outlive_the_horizon_and_are_then_forgotten(loader: psycopg.Connection[Any]) -> None:
    one = uuid4()
    insert(loader, block([one]))
    now = datetime.now(UTC)
    assert expire_claims(loader, now=now + HORIZON) == 0
    assert insert(loader, block([one])).repeats == 1
    assert expire_claims(loader, now=now + timedelta(days=KEPT_DAYS + 1)) == 1
    assert insert(loader, block([one])).inserted == 1


def test_a_block_of_nothing_and_one_without_identity_are_told_apart(loader: psycopg.Connection[Any]) -> None:
    assert insert(loader, block([])).fates.tolist() == []
    with pytest.raises(LoadError, match="no column event_id"):
        insert(loader, block([uuid4()]).drop_columns(["event_id"]))
    with pytest.raises(LoadError, match="in the transaction"):
        insert_events_once(loader, block([uuid4()]), origin="import", load_id=LOAD)
