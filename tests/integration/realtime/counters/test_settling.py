"""An event is counted by the call that acknowledges its entry, whole or not at all, and Redis does not grow by it."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from redis.exceptions import OutOfMemoryError

from orchestration.realtime import counter_keys
from orchestration.realtime.counters import DEFAULT_STREAM
from orchestration.realtime.reconciliation import allowed_user_error
from orchestration.realtime.stats import RealtimeStatsError, get_realtime_stats, recent_events
from tests.integration.realtime.counters.conftest import NewEvent, OwnRedis, Queue

NOON = datetime.now(UTC).replace(second=30, microsecond=0)


def test_total_minute_users_and_recent_events_are_those_that_were_settled(queue: Queue, new_event: NewEvent) -> None:
    tenant = uuid4()
    users = [None, 1, 2, 2, 3]
    queue.count([new_event(tenant, NOON, "page_view", user) for user in users])
    queue.count([new_event(tenant, NOON, "purchase", user) for user in (3, 4)])

    views = get_realtime_stats(queue.client, tenant, "page_view", at=NOON)
    assert (views.total, views.this_minute, views.unique_users) == (5, 5, 3)
    everything = get_realtime_stats(queue.client, tenant, at=NOON)
    assert (everything.total, everything.this_minute, everything.unique_users) == (7, 7, 4)
    newest = recent_events(queue.client, tenant)
    assert [(event.event_type, event.user_id) for event in newest[:3]] == [
        ("purchase", 4),
        ("purchase", 3),
        ("page_view", 3),
    ]
    assert len(newest) == 7


def test_entries_are_acknowledged_and_gone_also_those_that_are_not_counted(queue: Queue, new_event: NewEvent) -> None:
    tenant = uuid4()
    first, second, third = queue.taken(3)

    assert queue.counters.settle([(first, new_event(tenant, NOON)), (second, None)]) == 2

    assert (queue.pending(), queue.client.xlen(DEFAULT_STREAM)) == (1, 1)
    assert queue.totals(tenant) == {"page_view": 1}
    assert queue.counters.settle([(third, None)]) == 1
    assert (queue.pending(), queue.client.xlen(DEFAULT_STREAM)) == (0, 0)


def test_what_was_settled_before_is_not_counted_again_and_the_rest_of_the_batch_is(
    queue: Queue, new_event: NewEvent
) -> None:
    tenant = uuid4()
    positions = queue.taken(6)
    batch = [(position, new_event(tenant, NOON)) for position in positions]

    assert queue.counters.settle(batch[1:4]) == 3
    assert queue.counters.settle(batch[:5]) == 2
    assert queue.counters.settle(batch[:5]) == 0
    assert queue.counters.settle([batch[5], batch[5]]) == 1

    assert queue.totals(tenant) == {"page_view": 6}
    assert (queue.pending(), queue.client.xlen(DEFAULT_STREAM)) == (0, 0)


def test_a_processor_that_is_overtaken_by_another_loses_nothing(queue: Queue, new_event: NewEvent) -> None:
    tenant = uuid4()
    slow, fast = queue.taken(4, "slow"), queue.taken(4, "fast")

    queue.counters.settle([(position, new_event(tenant, NOON)) for position in fast])
    assert [position.decode() for position, _ in queue.client.xrange(DEFAULT_STREAM)] == slow
    queue.counters.settle([(position, new_event(tenant, NOON)) for position in slow])

    assert queue.totals(tenant) == {"page_view": 8}
    assert (queue.pending(), queue.client.xlen(DEFAULT_STREAM)) == (0, 0)


def test_more_events_than_lua_passes_arguments_are_counted_at_once(queue: Queue, new_event: NewEvent) -> None:
    tenant = uuid4()
    assert queue.count([new_event(tenant, NOON, user=number + 1) for number in range(9_000)]) == 9_000
    now = get_realtime_stats(queue.client, tenant, at=NOON)
    assert now.this_minute == 9_000
    assert abs(now.unique_users - 9_000) < 9_000 * 0.04
    assert queue.client.llen(counter_keys.newest(tenant)) == counter_keys.NEWEST_EVENTS


def test_tenants_types_and_minutes_of_one_batch_are_told_apart(queue: Queue, new_event: NewEvent) -> None:
    tenants = [uuid4(), uuid4()]
    # Now, and not when this file was read: minutes of an hour ago end soon.
    noon = datetime.now(UTC).replace(second=30, microsecond=0)
    minutes = [noon - timedelta(minutes=back) for back in (0, 1, 59)]
    events = [
        new_event(tenant, minute, event_type, user)
        for tenant in tenants
        for place, minute in enumerate(minutes)
        for event_type in ("page_view", "click")
        for user in range(1, place + 3)
    ]
    queue.count(events)

    for tenant in tenants:
        for event_type in ("page_view", "click"):
            window = get_realtime_stats(queue.client, tenant, event_type, minutes=60, at=noon)
            per_minute = Counter({counter_keys.minute_of(m): place + 2 for place, m in enumerate(minutes)})
            found = {counter_keys.minute_of(m): n for m, n in window.by_minute.items() if n}
            assert found == dict(per_minute)
            assert (window.total, window.window_events, window.window_users, window.this_minute) == (9, 9, 4, 2)
        assert get_realtime_stats(queue.client, tenant, minutes=60, at=noon).window_users == 4


def test_the_minute_is_that_of_the_event_in_utc(queue: Queue, new_event: NewEvent) -> None:
    tenant = uuid4()
    last = NOON.replace(second=59, microsecond=999_999)
    queue.count([new_event(tenant, last), new_event(tenant, last + timedelta(microseconds=1))])
    window = get_realtime_stats(queue.client, tenant, minutes=2, at=last + timedelta(minutes=1))
    assert list(window.by_minute.values()) == [1, 1]


def test_an_event_older_than_the_hour_counts_in_the_totals_only(queue: Queue, new_event: NewEvent) -> None:
    tenant = uuid4()
    old = NOON - timedelta(minutes=counter_keys.KEPT_MINUTES + 1)
    queue.count([new_event(tenant, old, user=7), new_event(tenant, old - timedelta(days=300), user=7)])
    assert queue.totals(tenant) == {"page_view": 2}
    assert not list(queue.client.scan_iter(match=f"{counter_keys.of_tenant(tenant)}minute:*"))
    assert not list(queue.client.scan_iter(match=f"{counter_keys.of_tenant(tenant)}users:*"))
    assert len(recent_events(queue.client, tenant)) == 2


def test_every_key_of_a_minute_expires_by_its_own_time_however_late_it_was_written(
    queue: Queue, new_event: NewEvent
) -> None:
    tenant = uuid4()
    half_an_hour_ago = NOON - timedelta(minutes=30)
    queue.count([new_event(tenant, half_an_hour_ago)])
    queue.count([new_event(tenant, half_an_hour_ago, user=1)])
    queue.count([new_event(tenant, half_an_hour_ago, "click", user=2)])
    begin = half_an_hour_ago.replace(second=0)
    expires = int((begin + timedelta(minutes=counter_keys.KEPT_MINUTES)).timestamp())
    keys = list(queue.client.scan_iter(match=f"{counter_keys.of_tenant(tenant)}*:2*"))
    assert len(keys) == 4
    assert {queue.client.expiretime(key) for key in keys} == {expires}
    assert 0 < queue.client.ttl(counter_keys.newest(tenant)) <= counter_keys.KEPT_SECONDS
    without_end = {key.decode() for key in queue.client.scan_iter() if queue.client.ttl(key) == -1}
    assert without_end == {DEFAULT_STREAM, counter_keys.totals(tenant)}


def test_invented_event_types_share_one_field_and_take_nobodys_place(queue: Queue, new_event: NewEvent) -> None:
    tenant = uuid4()
    queue.count([new_event(tenant, NOON, f"invented {number}", user=1) for number in range(500)])
    queue.count([new_event(tenant, NOON, event_type, user=2) for event_type in counter_keys.KNOWN_TYPES])
    queue.count([new_event(tenant, NOON, "invented 3"), new_event(tenant, NOON, "invented 499")])

    totals = queue.totals(tenant)
    assert len(totals) <= counter_keys.MAX_TYPES + len(counter_keys.KNOWN_TYPES) + 1
    assert {totals[event_type] for event_type in counter_keys.KNOWN_TYPES} == {1}
    assert totals["invented 3"] == 2
    assert totals[counter_keys.OTHER] == 500 - counter_keys.MAX_TYPES + 1
    assert sum(totals.values()) == 509
    assert len(list(queue.client.scan_iter(match=f"{counter_keys.of_tenant(tenant)}*"))) < 50
    everything = get_realtime_stats(queue.client, tenant, at=NOON)
    assert (everything.this_minute, everything.unique_users) == (509, 2)


def test_at_the_memory_limit_a_batch_is_still_settled_and_the_counters_still_answer(
    queue: Queue, new_event: NewEvent
) -> None:
    tenant = uuid4()
    positions = queue.taken(50)
    queue.client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(OutOfMemoryError):
            queue.client.xadd(DEFAULT_STREAM, {"e": b"{}"})
        assert queue.counters.settle([(position, new_event(tenant, NOON, user=1)) for position in positions]) == 50
        assert get_realtime_stats(queue.client, tenant, at=NOON).this_minute == 50
    finally:
        queue.client.config_set("maxmemory", "0")


def test_a_settlement_that_is_torn_out_of_the_append_only_file_is_there_whole_or_not_at_all(
    own_redis: OwnRedis, queue: Queue, new_event: NewEvent
) -> None:
    tenant = uuid4()
    positions = queue.taken(20)
    before = own_redis.append_only_file.stat().st_size
    queue.counters.settle([(position, new_event(tenant, NOON, user=9)) for position in positions])
    own_redis.kill()
    whole = own_redis.append_only_file.read_bytes()
    assert len(whole) > before

    seen: set[tuple[int, int, int]] = set()
    try:
        for end in [*range(before, len(whole), max(1, (len(whole) - before) // 8)), len(whole) - 1, len(whole)]:
            own_redis.append_only_file.write_bytes(whole[:end])
            own_redis.start()
            counted, open_still = queue.totals(tenant).get("page_view", 0), queue.pending()
            seen.add((counted, open_still, queue.client.xlen(DEFAULT_STREAM)))
            own_redis.kill()
    finally:
        own_redis.append_only_file.write_bytes(whole)
        own_redis.start()
    assert seen == {(0, 20, 20), (20, 0, 0)}


@pytest.mark.parametrize("minutes", [0, 61])
def test_a_window_that_is_not_kept_is_refused(queue: Queue, minutes: int) -> None:
    with pytest.raises(RealtimeStatsError, match="1 to 60"):
        get_realtime_stats(queue.client, uuid4(), minutes=minutes)


def test_a_tenant_that_never_sent_anything_has_zeros(queue: Queue) -> None:
    nothing = get_realtime_stats(queue.client, uuid4(), minutes=3)
    assert (nothing.total, nothing.this_minute, nothing.unique_users, nothing.window_users) == (0, 0, 0, 0)
    assert list(nothing.by_minute.values()) == [0, 0, 0]


@pytest.mark.parametrize("users", [1, 7, 60, 400, 2_500])
def test_unique_users_are_as_near_as_a_comparison_expects(queue: Queue, users: int) -> None:
    off = 0
    for sample in range(200):
        key = f"sample:{users}:{sample}"
        queue.client.pfadd(key, *(sample * 10_000_000 + number for number in range(users)))
        off = max(off, abs(queue.client.pfcount(key) - users))
    assert off <= allowed_user_error(users)
