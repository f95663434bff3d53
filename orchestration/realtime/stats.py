"""What the real-time counters say of a tenant: now, and over the last minutes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestration.cells import endpoints
from orchestration.cells.regions import Cell
from orchestration.realtime import counter_keys
from orchestration.settings import Settings, get_settings

# What a dashboard waits for at most; the answer itself takes a millisecond.
ANSWER_SECONDS = 2.0

_STATS = Path(__file__).with_name("stats.lua").read_text()


class RealtimeStatsError(RuntimeError):
    """The counters cannot be asked, or not that; the message says what to do."""


@dataclass(frozen=True)
class RealtimeStats:
    """The counters of one tenant at one moment.

    Attributes:
        tenant_id: whose.
        event_type: of which events; None for all.
        at: when it was asked, UTC.
        total: events ever.
        this_minute: events of the minute that ``at`` lies in, by the events' own time.
        unique_users: users known by name in this minute, with a standard error of 0.81 %.
        window_events: events of the window.
        window_users: users of the window, each once.
        by_minute: events of each minute of the window by its beginning, ascending, zeros included; this minute last.
    """

    tenant_id: UUID
    event_type: str | None
    at: datetime
    total: int
    this_minute: int
    unique_users: int
    window_events: int
    window_users: int
    by_minute: Mapping[datetime, int]

    def as_json(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "tenant_id": str(self.tenant_id),
            "event_type": self.event_type,
            "at": self.at.isoformat(),
            "total": self.total,
            "this_minute": self.this_minute,
            "unique_users": self.unique_users,
            "window_minutes": len(self.by_minute),
            "window_events": self.window_events,
            "window_users": self.window_users,
            "by_minute": {minute.isoformat(): events for minute, events in self.by_minute.items()},
        }


def counters_client(cell: Cell, settings: Settings | None = None) -> Any:
    """Return a client of the Redis of ``cell``, not connected yet.

    Raises:
        EndpointError: where it is, is not known.
    """
    settings = settings or get_settings()
    return redis.Redis.from_url(
        endpoints.redis_url(cell, settings),
        protocol=2,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=settings.connect_timeout_seconds,
        retry=Retry(NoBackoff(), 0),
    )


def get_realtime_stats(
    client: Any, tenant_id: UUID, event_type: str | None = None, *, minutes: int = 1, at: datetime | None = None
) -> RealtimeStats:
    """Return the brief's ``get_realtime_stats`` of one tenant, in one round trip.

    Args:
        client: of the Redis of the tenant's cell, see :func:`counters_client`.
        tenant_id: whose; take it from the tenant context, never from a request.
        event_type: of which events; None for all. A type beyond the ``MAX_TYPES`` that are told apart has none.
        minutes: length of the window, this minute included; 1 to ``WINDOW_MINUTES``.
        at: the moment, aware; now unless given. Minutes are kept for about an hour.

    Raises:
        RealtimeStatsError: the window cannot be asked for, or Redis does not answer.
    """
    if not 1 <= minutes <= counter_keys.WINDOW_MINUTES:
        raise RealtimeStatsError(
            f"a window of {minutes} minutes is not kept: ask for 1 to {counter_keys.WINDOW_MINUTES}"
        )
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    labels = counter_keys.minutes_until(moment, minutes)
    keys = [counter_keys.totals(tenant_id), *(counter_keys.minute(tenant_id, label) for label in labels)]
    keys += [counter_keys.users(tenant_id, label, event_type) for label in labels]
    arguments = (minutes,) if event_type is None else (minutes, event_type)
    try:
        total, unique_users, window_users, *by_minute = client.register_script(_STATS)(keys=keys, args=arguments)
    except redis.RedisError as error:
        raise RealtimeStatsError(
            f"the counters do not answer ({type(error).__name__}): start the cell with `capstone up`"
        ) from None
    return RealtimeStats(
        tenant_id,
        event_type,
        moment,
        total,
        by_minute[-1],
        unique_users,
        sum(by_minute),
        window_users,
        {counter_keys.start_of(label): events for label, events in zip(labels, by_minute, strict=True)},
    )


@dataclass(frozen=True)
class RecentEvent:
    """One of a tenant's newest events.

    Attributes:
        counted_at: when it was counted, UTC.
        event_type: its type.
        user_id: the shopper, None where nobody is known.
    """

    counted_at: datetime
    event_type: str
    user_id: int | None


def recent_events(client: Any, tenant_id: UUID, count: int = 100) -> list[RecentEvent]:
    """Return up to ``count`` of a tenant's events, the newest first; ``NEWEST_EVENTS`` of the last hour are kept.

    Raises:
        RealtimeStatsError: Redis does not answer.
    """
    try:
        entries = client.lrange(counter_keys.newest(tenant_id), -count, -1)
    except redis.RedisError as error:
        raise RealtimeStatsError(
            f"the counters do not answer ({type(error).__name__}): start the cell with `capstone up`"
        ) from None
    return [_event_of(entry) for entry in reversed(entries)]


def _event_of(entry: bytes) -> RecentEvent:
    milliseconds, user, event_type = counter_keys.read_newest_event(entry)
    return RecentEvent(
        datetime.fromtimestamp(int(milliseconds) / 1000, tz=UTC), event_type.decode(), int(user) if user else None
    )
