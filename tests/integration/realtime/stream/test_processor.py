"""The processor: every event once in the hypertable and once in the counters, and one tenant's trouble its own."""

import json
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from uuid import uuid4

import pytest

from orchestration.realtime.dead_letters import DeadLetters
from orchestration.realtime.processor import Processor
from orchestration.realtime.queue import QueueFullError
from tests.integration.realtime.stream.stream_cell import CELL, StreamCell, drained, event, payloads, wait_for


def reasons(cell: StreamCell) -> dict[str, int]:
    return dict(DeadLetters(cell.queue()).reasons())


def test_each_event_is_stored_and_counted_once_however_often_it_is_sent(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    events = [event(tenant) for _ in range(50)]
    queue = fresh.queue()
    queue.append(payloads(events))
    queue.append(payloads(events[:20] + events[:5]))
    drained(fresh)
    queue.append(payloads(events))
    drained(fresh)
    assert sorted(fresh.stored(tenant)) == sorted(each.event_id for each in events)
    assert fresh.counted(tenant) == 50
    assert queue.state().depth == 0
    assert reasons(fresh) == {}


def test_what_was_sent_is_what_is_stored(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    full = event(tenant, properties={"nested": {"list": [1, 2.5, None, "ü"]}}, referrer="https://example.org/ä")
    bare = event(tenant, session_id=None, user_id=None, page_url=None, properties={}, device_type=None, country=None)
    fresh.queue().append(payloads([full, bare]))
    drained(fresh)
    found = {
        row[0]: row[1:]
        for row in fresh.rows(
            "select event_id, time, session_id, user_id, event_type, page_url, referrer, properties, device_type, "
            "country, origin from analytics.events where tenant_id = %s",
            tenant,
        )
    }
    for each in (full, bare):
        assert found[each.event_id] == (
            each.time, each.session_id, each.user_id, each.event_type, each.page_url, each.referrer,
            dict(each.properties), each.device_type, each.country, "stream",
        )  # fmt: skip


def test_another_event_under_a_taken_id_is_a_dead_letter_and_the_first_stays(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    first = event(tenant)
    other = event(tenant, event_id=first.event_id, time=first.time + timedelta(seconds=1))
    fresh.queue().append(payloads([first, other]))
    drained(fresh)
    assert fresh.stored(tenant) == [first.event_id]
    assert reasons(fresh) == {"conflicting_event_id": 1}


POISON = {
    "no-json": b"\xff\xfe",
    "empty": b"",
    "a-list": b"[1]",
    "nul": None,
    "year-1": "0001-01-01T00:00:00+00:00",
    "year-9999": "9999-12-31T23:59:59+00:00",
    "no-zone": "2026-11-01T10:00:00",
}


def test_a_poisoned_message_becomes_a_dead_letter_and_stops_nobody(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    good = event(tenant)
    poisoned = []
    for value in POISON.values():
        if isinstance(value, bytes):
            poisoned.append(value)
            continue
        content = json.loads(payloads([event(tenant)])[0])
        content |= {"time": value} if value else {"page_url": "a\x00b"}
        poisoned.append(json.dumps(content).encode())
    poisoned.append(b'{"properties": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    fresh.queue().append([*poisoned, *payloads([good])])
    fresh.queue().client.xadd("stream:events", {"somebody": "else"})
    drained(fresh)
    assert fresh.stored(tenant) == [good.event_id]
    assert reasons(fresh) == {
        "not_json": 4,
        "too_large": 1,
        "nul_character:page_url": 1,
        "time_too_old:time": 1,
        "time_in_the_future:time": 1,
        "time_without_zone:time": 1,
    }
    assert fresh.queue().state().depth == 0


def test_events_of_an_unknown_tenant_are_dead_letters_that_can_be_replayed(fresh: StreamCell) -> None:
    tenant, unknown = fresh.new_tenant(), uuid4()
    known, early = event(tenant), event(unknown)
    fresh.queue().append(payloads([known, early]))
    drained(fresh)
    assert fresh.stored(tenant) == [known.event_id]
    letters = DeadLetters(fresh.queue())
    assert [letter.tenant for letter in letters.letters(reason="unknown_tenant")] == [str(unknown)]
    fresh.rows(
        "insert into saas.tenants (id, subdomain, name, plan) values (%s, %s, 'Late', 'free') returning id",
        unknown, f"late-{unknown.hex[:8]}",
    )  # fmt: skip
    assert letters.replay([letter.letter for letter in letters.letters()]) == 1
    drained(fresh)
    assert fresh.stored(unknown) == [early.event_id]
    assert fresh.counted(unknown) == 1
    assert fresh.queue().state().dead == 0


def test_a_tenant_beyond_its_plan_stores_what_fits_and_keeps_nobody_else_from_storing(fresh: StreamCell) -> None:
    limited, other = fresh.new_tenant("free"), fresh.new_tenant()
    fresh.rows("update metering.accounts set max_events_per_month = 7 where tenant_id = %s returning 1", limited)
    mine, others = [event(limited) for _ in range(20)], [event(other) for _ in range(20)]
    mixed = [each for pair in zip(mine, others, strict=True) for each in pair]
    fresh.queue().append(payloads(mixed))
    processor = drained(fresh)
    assert sorted(fresh.stored(limited)) == sorted(each.event_id for each in mine[:7])
    assert fresh.counted(limited) == 7
    assert len(fresh.stored(other)) == fresh.counted(other) == 20
    # Again: those that are stored are no new use, those that were refused are refused again.
    fresh.queue().append(payloads(mixed))
    while processor.step(0.01):
        pass
    assert len(fresh.stored(limited)) == fresh.counted(limited) == 7
    assert reasons(fresh) == {"over_quota": 26}


def test_events_of_a_tenant_that_is_closed_to_writes_wait_and_others_go_on(fresh: StreamCell) -> None:
    closed, other = fresh.new_tenant(), fresh.new_tenant()
    fresh.rows(
        "insert into saas.tenant_fences (tenant_id, writes, reason) values (%s, true, 'it is being moved') returning 1",
        closed,
    )
    fresh.queue().append(payloads([event(closed), event(other), event(closed), event(other)]))
    processor = Processor(CELL, fresh.settings, stale_seconds=0.01)
    for _ in range(5):
        processor.step(0.02)
    assert fresh.stored(closed) == []
    assert len(fresh.stored(other)) == fresh.counted(other) == 2
    assert fresh.queue().state().depth == 2
    fresh.rows("delete from saas.tenant_fences where tenant_id = %s returning 1", closed)
    while fresh.queue().state().depth:
        processor.step(0.02)
    assert len(fresh.stored(closed)) == fresh.counted(closed) == 2
    assert reasons(fresh) == {}


def test_entries_of_a_tenant_that_was_erased_meanwhile_are_settled_and_leave_nothing(fresh: StreamCell) -> None:
    gone = fresh.new_tenant()
    queue = fresh.queue()
    positions = queue.append(payloads([event(gone), event(gone)]))
    queue.take("processor", 10, 0.1)
    queue.client.xdel("stream:events", positions[0])
    drained(fresh, stale_seconds=0.01)
    assert len(fresh.stored(gone)) == fresh.counted(gone) == 1
    assert queue.state().pending == 0


def test_a_full_queue_accepts_all_or_nothing(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    queue = fresh.queue(limit=10)
    queue.append(payloads([event(tenant) for _ in range(8)]))
    with pytest.raises(QueueFullError, match="at its limit"):
        queue.append(payloads([event(tenant) for _ in range(3)]))
    assert queue.state().depth == 8
    queue.append(payloads([event(tenant) for _ in range(2)]))
    drained(fresh)
    assert len(fresh.stored(tenant)) == 10


def test_redis_without_memory_accepts_nothing_and_the_queue_is_still_worked_off(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    queue = fresh.queue()
    queue.append([*payloads([event(tenant) for _ in range(50)]), b"poison"])
    queue.client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(QueueFullError, match="memory"):
            queue.append(payloads([event(tenant)]))
        drained(fresh)
    finally:
        queue.client.config_set("maxmemory", "512mb")
    assert len(fresh.stored(tenant)) == fresh.counted(tenant) == 50
    assert reasons(fresh) == {"not_json": 1}


def test_two_processors_with_the_same_entries_count_each_event_once(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    fresh.queue().append(payloads([event(tenant) for _ in range(30)]))
    overtaken: list[str] = []

    def overtake(step: str) -> None:
        if step == "committed" and not overtaken:
            overtaken.append(step)
            drained(fresh, stale_seconds=0.01)

    drained(fresh, at_step=overtake)
    assert overtaken
    assert len(fresh.stored(tenant)) == fresh.counted(tenant) == 30


def test_an_event_that_waited_is_judged_by_when_it_was_accepted(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    old = event(tenant, time=datetime.now(UTC) - timedelta(days=365) + timedelta(milliseconds=300))
    fresh.queue().append(payloads([old]))
    while datetime.now(UTC) - old.time < timedelta(days=365):
        pass
    drained(fresh)
    assert fresh.stored(tenant) == [old.event_id]


def test_a_full_disk_is_waited_for_and_said_without_losing_or_doubling(
    fresh: StreamCell, caplog: pytest.LogCaptureFixture
) -> None:
    tenant = fresh.new_tenant()
    fresh.execute(
        "create function public.no_room() returns trigger language plpgsql as "
        "$$ begin raise exception 'could not extend file' using errcode = 'disk_full'; end $$; "
        "create trigger no_room before insert on analytics.events for each statement execute function public.no_room()"
    )
    stop = Event()
    processor = Thread(target=Processor(CELL, fresh.settings).run, args=(stop,))
    caplog.set_level("INFO")
    try:
        processor.start()
        fresh.queue().append(payloads([event(tenant) for _ in range(10)]))
        wait_for(lambda: "the disk of PostgreSQL is full" in caplog.text, "the reason")
        assert fresh.queue().state().depth == 10
        fresh.execute("drop function public.no_room() cascade")
        # An empty queue is seen by others before the processor has come back to say so.
        wait_for(lambda: "goes on" in caplog.text, "the processor to go on")
    finally:
        stop.set()
        processor.join(10)
    assert fresh.queue().state().depth == 0
    assert len(fresh.stored(tenant)) == fresh.counted(tenant) == 10


def test_a_value_that_only_the_database_refuses_is_told_from_the_others(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    fresh.execute("alter table analytics.events add constraint no_tea check (page_url <> '/tea') not valid")
    try:
        events = [event(tenant, page_url="/tea" if number == 13 else "/coffee") for number in range(30)]
        fresh.queue().append(payloads(events))
        drained(fresh)
    finally:
        fresh.execute("alter table analytics.events drop constraint no_tea")
    assert sorted(fresh.stored(tenant)) == sorted(each.event_id for each in events if each.page_url != "/tea")
    assert fresh.counted(tenant) == 29
    assert reasons(fresh) == {"refused_by_database:23514": 1}


def test_dead_letters_beyond_their_limit_stay_in_the_queue(fresh: StreamCell, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = fresh.new_tenant()
    monkeypatch.setattr(DeadLetters.__init__, "__kwdefaults__", {"limit": 3})
    good = event(tenant)
    fresh.queue().append([b"poison"] * 5 + payloads([good]))
    drained(fresh)
    letters = DeadLetters(fresh.queue())
    assert reasons(fresh) == {"not_json": 3}
    assert fresh.queue().state().depth == 2
    assert fresh.stored(tenant) == [good.event_id]
    assert letters.discard([letter.letter for letter in letters.letters(reason="not_json")]) == 3
    drained(fresh, stale_seconds=0.01)
    assert reasons(fresh) == {"not_json": 2}
    assert fresh.queue().state().depth == 0
