"""Live traffic that looks like the shops', sent into a cell's queue at a stated rate.

Honest about it: an event is sent when it happens, with its own time. When the queue refuses more, or this process
cannot keep up, the shops' clock stands still meanwhile; nothing is sent in a burst afterwards, and what was reached is
said.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from uuid import UUID

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.loading.window import read_window
from orchestration.realtime.event import StreamEvent, encode
from orchestration.realtime.queue import EventQueue, QueueFullError, QueueUnavailableError
from orchestration.realtime.redis_queue import RedisQueue
from orchestration.settings import Settings, get_settings
from orchestration.synthetic.live_traffic import LiveEvent, live_traffic, sessions_of_day
from orchestration.tenancy.registry import find

Say = Callable[[str], None]

# Sent at once at most; how long events gather before they are sent.
_AT_ONCE = 1_000
_TICK_SECONDS = 0.02
# So far behind its schedule the traffic's clock stands still instead.
_MOST_BEHIND_SECONDS = 1.0
_FULL_SECONDS = 0.2
_SAY_SECONDS = 5.0


class SimulationError(RuntimeError):
    """There is no traffic to simulate; the message says why and the way out."""


@dataclass
class Simulated:
    """What was sent.

    Attributes:
        events: accepted by the queue.
        seconds: how long it took, waiting included.
        held_up: of these, how long the traffic's clock stood still: queue full or not answering, or too slow a sender.
        refused: how often the queue was full.
    """

    events: int = 0
    seconds: float = 0.0
    held_up: float = 0.0
    refused: int = 0

    def __str__(self) -> str:
        rate = self.events / self.seconds if self.seconds else 0.0
        text = f"{self.events} events in {self.seconds:.1f} s, {rate:.1f} a second"
        if self.held_up >= 0.1:
            text += f"; held up for {self.held_up:.1f} s (the queue was full {self.refused} times)"
        return text


def traffic_of(
    cell: Cell, rate: float, settings: Settings | None = None, *, tenant: str | None = None, seed: int | None = None
) -> Iterator[LiveEvent]:
    """Return the traffic of a cell's tenants, or of one.

    Args:
        cell: whose shops.
        rate: events a second, of all together.
        settings: which platform.
        tenant: only this one's, by id or subdomain; one that the platform did not make has other shops' sessions.
        seed: of chance, for the same traffic again; its own each time unless given.

    Raises:
        SimulationError: the rate is none, or the cell has no tenants that are open.
        WindowError: the platform was never filled.
        CellUnavailableError: the cell does not answer.
    """
    if not 0 < rate < float("inf"):
        raise SimulationError(f"a rate of {rate:g} events a second cannot be sent: give one above 0")
    settings = settings or get_settings()
    window = read_window(settings)
    with routing.connect(cell, "auditor", application_name="capstone simulate", settings=settings) as connection:
        here = frozenset(row[0] for row in connection.execute("select id from saas.tenants where status = 'active'"))
    if tenant is not None:
        here &= {find(tenant, cell, settings).id}
    if not here:
        raise SimulationError(f"cell {cell!r} has no such tenant that is open: `capstone tenant list --cell {cell}`")
    today = datetime.now(UTC).date()
    chosen = {"size": window.size, "seed": settings.seed, "first_day": window.first_day}
    sessions = sessions_of_day(cell, today, tenants=here, **chosen)  # type: ignore[arg-type]
    if sessions is None:
        # Tenants that somebody made have no synthetic sessions of their own.
        sessions = sessions_of_day(cell, today, **chosen)  # type: ignore[arg-type]
        if sessions is not None:
            sessions.give_to(sorted(here))
    if sessions is None:
        raise SimulationError(f"there is no synthetic session of cell {cell!r} up to {today}")
    return live_traffic(sessions, rate, seed)


def as_event(live: LiveEvent, began: datetime) -> StreamEvent:
    """Return the event of a traffic that began then."""
    row = live.row
    return StreamEvent(
        UUID(bytes=row["tenant_id"]),
        live.event_id,
        began + timedelta(seconds=live.happens),
        row["event_type"],
        live.session_id,
        row["user_id"],
        row["page_url"],
        row["referrer"],
        json.loads(row["properties"]),
        row["device_type"],
        row["country"],
    )


def simulate(
    cell: Cell,
    rate: float,
    settings: Settings | None = None,
    *,
    stop: Event,
    seconds: float | None = None,
    tenant: str | None = None,
    seed: int | None = None,
    say: Say = lambda _: None,
) -> Simulated:
    """Send live traffic until ``stop`` is set or ``seconds`` have passed; what is in hand then is sent.

    Raises:
        as :func:`traffic_of`.
    """
    settings = settings or get_settings()
    traffic = traffic_of(cell, rate, settings, tenant=tenant, seed=seed)
    queue = RedisQueue.of_cell(cell, settings)
    try:
        return send(traffic, queue, stop=stop, seconds=seconds, say=say)
    finally:
        queue.client.close()


def send(
    traffic: Iterator[LiveEvent],
    queue: EventQueue,
    *,
    stop: Event,
    seconds: float | None = None,
    say: Say = lambda _: None,
) -> Simulated:
    """Send ``traffic`` as it happens; see :func:`simulate`."""
    done = Simulated()
    started = time.monotonic()
    began = datetime.now(UTC)
    said = started
    ahead = next(traffic)
    while not stop.is_set():
        now = time.monotonic()
        done.seconds = now - started
        if seconds is not None and done.seconds >= seconds:
            break
        if now - said >= _SAY_SECONDS:
            said = now
            say(str(done))
        # The traffic's own clock: what it stood still does not count.
        clock = done.seconds - done.held_up
        due: list[LiveEvent] = []
        while ahead.sent <= clock and len(due) < _AT_ONCE:
            due.append(ahead)
            ahead = next(traffic)
        if not due:
            stop.wait(min(_TICK_SECONDS, max(ahead.sent - clock, 0.0)))
            continue
        shifted = began + timedelta(seconds=done.held_up)
        refused = done.refused
        done.held_up += _append(queue, [encode(as_event(each, shifted)) for each in due], done, stop, say)
        if done.refused == refused and clock - due[-1].sent > _MOST_BEHIND_SECONDS:
            done.held_up += clock - due[-1].sent
    done.seconds = time.monotonic() - started
    return done


def _append(queue: EventQueue, payloads: list[bytes], done: Simulated, stop: Event, say: Say) -> float:
    """Send, waiting as long as the queue is full or does not answer; return how many seconds that took.

    What was sent without an answer is sent again: the same event twice is stored and counted once.
    """
    first = time.monotonic()
    waited = 0.0
    trouble = ""
    while True:
        try:
            queue.append(payloads)
        except (QueueFullError, QueueUnavailableError) as error:
            done.refused += isinstance(error, QueueFullError)
            if str(error) != trouble:
                trouble = str(error)
                say(trouble)
            if stop.wait(_FULL_SECONDS):
                return time.monotonic() - first
            waited = time.monotonic() - first
            continue
        done.events += len(payloads)
        return waited
