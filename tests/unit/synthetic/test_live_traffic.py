"""Live traffic comes at its rate from the first second on, in whole sessions of the shops."""

from collections import Counter, defaultdict
from datetime import date
from itertools import pairwise, takewhile
from uuid import UUID

import pytest

from orchestration.loading.window import ScaleSize
from orchestration.synthetic.live_traffic import HELD_BACK_SHARE, LiveEvent, Sessions, live_traffic, sessions_of_day
from orchestration.synthetic.merchants import merchants

SIZE = ScaleSize(tenants=10, days=10, events=60_000)
FIRST_DAY = date(2026, 3, 1)
DAY = date(2026, 3, 5)
SECONDS = 600.0


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    found = sessions_of_day("na", DAY, size=SIZE, seed=7, first_day=FIRST_DAY)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def traffic(sessions: Sessions) -> list[LiveEvent]:
    return list(takewhile(lambda event: event.sent < SECONDS, live_traffic(sessions, 50.0, seed=1)))


def test_every_minute_has_its_share_from_the_first_on(traffic: list[LiveEvent]) -> None:
    by_minute = Counter(int(event.sent // 60) for event in traffic)
    assert len(by_minute) == SECONDS / 60
    # 3,000 in sessions of five or six: a standard deviation of some 130.
    assert all(2_400 < count < 3_600 for count in by_minute.values()), by_minute
    assert [event.sent for event in traffic] == sorted(event.sent for event in traffic)


def test_events_are_sent_when_they_happen_but_for_a_few_that_come_later(traffic: list[LiveEvent]) -> None:
    late = [event for event in traffic if event.sent > event.happens]
    assert all(event.sent >= event.happens for event in traffic)
    assert 0.4 * HELD_BACK_SHARE < len(late) / len(traffic) < 1.6 * HELD_BACK_SHARE


def test_sessions_go_down_the_funnel_at_a_visitors_pace(traffic: list[LiveEvent]) -> None:
    visits: dict[UUID, list[LiveEvent]] = defaultdict(list)
    for event in sorted(traffic, key=lambda each: each.happens):
        visits[event.session_id].append(event)
    whole = [visit for visit in visits.values() if visit[0].happens > 60 and visit[-1].happens < SECONDS - 300]
    assert len(whole) > 500
    assert len({event.event_id for event in traffic}) == len(traffic)
    # Of one tenant each, and seconds between two events, as people take.
    assert all(len({event.row["tenant_id"] for event in visit}) == 1 for visit in whole)
    gaps = [b.happens - a.happens for visit in whole for a, b in pairwise(visit)]
    assert 25 < sum(gaps) / len(gaps) < 45
    types = Counter(event.row["event_type"] for event in traffic)
    assert types["page_view"] > types["add_to_cart"] > types["checkout_start"] > types["purchase"] > 0


def test_only_the_given_tenants_have_traffic() -> None:
    one = merchants("na", SIZE, 7).ids[1]
    found = sessions_of_day("na", DAY, size=SIZE, seed=7, first_day=FIRST_DAY, tenants=frozenset({one}))
    assert found is not None
    assert {row["tenant_id"] for row in found.rows} == {one.bytes}
    stranger = frozenset({UUID(int=5)})
    assert sessions_of_day("na", DAY, size=SIZE, seed=7, first_day=FIRST_DAY, tenants=stranger) is None


def test_sessions_are_given_whole_to_tenants_of_ones_own() -> None:
    found = sessions_of_day("na", DAY, size=SIZE, seed=7, first_day=FIRST_DAY)
    assert found is not None
    own = [UUID(int=1), UUID(int=2)]
    found.give_to(own)
    for first, length in zip(found.first[:50], found.length[:50], strict=True):
        assert len({row["tenant_id"] for row in found.rows[first : first + length]}) == 1
    assert {row["tenant_id"] for row in found.rows} == {each.bytes for each in own}
