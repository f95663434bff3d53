"""Synthetic traffic as it happens: the sessions of a day of the shops, begun over and over at a given rate of events.

Sessions are those of ``events.generate_day``: who comes, with what, how far down the funnel each gets, and the seconds
between one event and the next are the shops' own. New are when a session begins and the ids of its events, so that no
event is ever the same as one of another run or of the day's partition.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.cells.regions import Cell
from orchestration.loading.window import ScaleSize
from orchestration.synthetic.events import generate_day
from orchestration.synthetic.hashing import Floats, Ints

# Sessions to choose from; fewer days than this are generated where one has enough.
_ENOUGH_EVENTS = 10_000
_MOST_DAYS = 7
# Part of the events that a phone holds back, and for how many seconds on average.
HELD_BACK_SHARE = 0.01
_HELD_BACK_SECONDS = 20.0


@dataclass(frozen=True)
class LiveEvent:
    """An event that happens.

    Attributes:
        happens: seconds after the beginning of the traffic.
        sent: seconds after the beginning at which it is sent; most at once, some later.
        event_id, session_id: new.
        row: the other columns of ``analytics.events``.
    """

    happens: float
    sent: float
    event_id: UUID
    session_id: UUID
    row: dict[str, Any]


class Sessions:
    """Sessions to choose from.

    Args:
        events: columns of ``analytics.events``; sessions are whole.
    """

    def __init__(self, events: pa.Table) -> None:
        ordered = events.sort_by([("session_id", "ascending"), ("time", "ascending")])
        sessions = pc.dictionary_encode(ordered["session_id"]).combine_chunks()
        codes = sessions.indices.to_numpy() if isinstance(sessions, pa.DictionaryArray) else None
        if codes is None or not len(codes):
            raise ValueError("no sessions to choose from")
        self.first: Ints = np.flatnonzero(np.diff(codes, prepend=-1)).astype(np.int64)
        self.length: Ints = np.diff(np.append(self.first, len(codes)))
        seconds = ordered["time"].cast(pa.int64()).to_numpy() / 1e6
        self.offset: Floats = seconds - np.repeat(seconds[self.first], self.length)
        self.duration: Floats = self.offset[self.first + self.length - 1]
        self.rows: list[dict[str, Any]] = ordered.drop_columns(["time", "event_id", "session_id"]).to_pylist()

    def __len__(self) -> int:
        return len(self.first)

    def give_to(self, tenants: Sequence[UUID]) -> None:
        """Let these tenants have the sessions, each whole, in turns."""
        for number, (first, length) in enumerate(zip(self.first.tolist(), self.length.tolist(), strict=True)):
            for row in self.rows[first : first + length]:
                row["tenant_id"] = tenants[number % len(tenants)].bytes


def sessions_of_day(
    cell: Cell, day: date, *, size: ScaleSize, seed: int, first_day: date, tenants: frozenset[UUID] | None = None
) -> Sessions | None:
    """Return the sessions of ``day``, and of days before it where that has few; None where there are none.

    Args:
        cell, size, seed, first_day: as of ``generate_day``.
        day: the newest that is taken.
        tenants: only theirs; all unless given.
    """
    tables: list[pa.Table] = []
    wanted = None if tenants is None else pa.array([each.bytes for each in tenants], pa.binary(16))
    for back in range(_MOST_DAYS):
        if day - timedelta(days=back) < first_day or sum(map(len, tables)) >= _ENOUGH_EVENTS:
            break
        for block in generate_day(cell, day - timedelta(days=back), size=size, seed=seed, first_day=first_day):
            owners = block["tenant_id"].cast(pa.binary(16))
            tables.append(block if wanted is None else block.filter(pc.is_in(owners, wanted)))
    return Sessions(pa.concat_tables(tables)) if sum(map(len, tables)) else None


def live_traffic(sessions: Sessions, rate: float, seed: int | None = None) -> Iterator[LiveEvent]:
    """Yield events for ever, in the order in which they are sent, ``rate`` a second from the first second on.

    Sessions begin by a Poisson process. At the beginning some are under way already, as many and as far as at any other
    moment: what came of them before is not sent.
    """
    random = np.random.default_rng(seed)
    per_second = rate / float(sessions.length.mean())
    # Ahead of the others: what is sent, when, and where the session goes on.
    due: list[tuple[float, int, float, LiveEvent | None, tuple[int, int, UUID] | None]] = []
    number = 0

    def push(begin: float, session: int, place: int) -> None:
        nonlocal number
        number += 1
        at = begin + float(sessions.offset[sessions.first[session] + place])
        visit = UUID(bytes=random.bytes(16), version=4)
        heapq.heappush(due, (at, number, begin, None, (session, place, visit)))

    under_way = int(random.poisson(per_second * float(sessions.duration.mean())))
    if under_way and sessions.duration.sum():
        chosen = random.choice(len(sessions), under_way, p=sessions.duration / sessions.duration.sum())
        for session, passed in zip(chosen, random.random(under_way) * sessions.duration[chosen], strict=True):
            first, length = sessions.first[session], sessions.length[session]
            place = int(np.searchsorted(sessions.offset[first : first + length], passed, side="right"))
            if place < length:
                push(-float(passed), int(session), place)
    begin = float(random.exponential(1 / per_second))
    while True:
        while not due or due[0][0] >= begin:
            push(begin, int(random.integers(len(sessions))), 0)
            begin += float(random.exponential(1 / per_second))
        at, _, began, held_back, going_on = heapq.heappop(due)
        if held_back is not None:
            yield held_back
        if going_on is None:
            continue
        session, place, visit = going_on
        first = int(sessions.first[session])
        event_id = UUID(bytes=random.bytes(16), version=4)
        happens = began + float(sessions.offset[first + place])
        if random.random() < HELD_BACK_SHARE:
            sent = at + float(random.exponential(_HELD_BACK_SECONDS))
            late = LiveEvent(happens, sent, event_id, visit, sessions.rows[first + place])
            number += 1
            heapq.heappush(due, (sent, number, began, late, None))
        else:
            yield LiveEvent(happens, at, event_id, visit, sessions.rows[first + place])
        if place + 1 < sessions.length[session]:
            number += 1
            following = began + float(sessions.offset[first + place + 1])
            heapq.heappush(due, (following, number, began, None, (session, place + 1, visit)))
