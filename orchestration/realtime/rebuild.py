"""Computes the counters anew from the hypertable while a processor goes on counting, and is exact all the same.

Totals take long, for they read every event of the stream; a snapshot is read while processors work. At the moment of
the snapshot no processor is within a batch (``processing_lock``), the totals in Redis are noted, and what is found is
put right by the *difference* between the two: whatever was counted meanwhile stays counted.

Minutes, sketches and the newest events cannot be put right by differences. Each tenant's are read from the retained
hour while processors are held off once more, prepared beside the old ones, and take their place in one step.

What is stored and not yet counted is left out (``open_entries``): it will be counted. If such an entry is settled all
the same before the tenant's counters are replaced, the replacement is refused and computed again. A rebuild that is
killed leaves each tenant either as it was or as it should be; repeating it begins from the front.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
from psycopg import IsolationLevel

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.loading.copy_loader import Connection
from orchestration.realtime import counter_keys
from orchestration.realtime.open_entries import OpenEntries, all_positions, open_entries, pending_positions
from orchestration.realtime.processing_lock import processors_held_off
from orchestration.realtime.redis_queue import RedisQueue, redis_explained
from orchestration.realtime.statements import statement
from orchestration.realtime.stream_keys import STREAM
from orchestration.settings import Settings, get_settings

Say = Callable[[str], None]
Totals = Mapping[UUID, Mapping[str, int]]

# Says which rebuild is going on; a Redis that was emptied meanwhile, or a second rebuild, shows by it.
MARK = f"{counter_keys.PREFIX}rebuild"
_MARK_SECONDS = 86_400

# A settlement in the same moment needs a processor without its lock, that is one whose connection broke.
_ATTEMPTS = 5
_USERS_AT_ONCE = 4_000
# Minutes that an event's time may be ahead, and one for the clocks.
_MINUTES_AHEAD = 61

_REPLACE = Path(__file__).with_name("replace.lua").read_text()


class RebuildError(RuntimeError):
    """The counters could not be rebuilt; the message says what to do. What was done so far is right."""


@dataclass(frozen=True)
class RebuildReport:
    """What a rebuild found.

    Attributes:
        cell: whose counters.
        tenants: with events of the stream, or with counters.
        events: of the stream in the hypertable, without those left out.
        left_out: stored and not yet counted: their entries are in the queue, and they are counted when those are
            settled.
        wrong_totals: totals, one per tenant and event type, that were not what the hypertable says.
        drift: by how much, added up without signs.
        changed: whether the counters were replaced; not so when only the difference was asked for.
    """

    cell: Cell
    tenants: int
    events: int
    left_out: int
    wrong_totals: int
    drift: int
    changed: bool

    def __str__(self) -> str:
        done = "rebuilt" if self.changed else "compared, nothing was changed"
        return (
            f"counters of {self.tenants} tenants {done}: {self.events} events in the hypertable, beside "
            f"{self.left_out} that are still to be counted; {self.wrong_totals} totals differed, by {self.drift} events"
        )


def rebuild_counters(
    cell: Cell,
    settings: Settings | None = None,
    *,
    tenant: UUID | None = None,
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> RebuildReport:
    """Replace the counters of ``cell`` by what its hypertable says of the stream's events.

    Totals then cover what is retained, a year; minutes, users and the newest events the retained hour.

    Args:
        cell: whose.
        settings: which platform.
        tenant: only this one's.
        dry_run: only say how the totals differ.
        say: is told what is being done.

    Raises:
        RebuildError: another rebuild has begun, or Redis was emptied meanwhile.
        ProcessorsBusyError: a processor does not end its batch.
        CellUnavailableError: the database does not answer.
        QueueUnavailableError: Redis does not answer.
    """
    settings = settings or get_settings()
    queue = RedisQueue.of_cell(cell, settings)
    name = "capstone rebuild-counters"
    with (
        redis_explained(cell),
        routing.connect(cell, "auditor", autocommit=True, application_name=name, settings=settings) as connection,
        routing.connect(cell, "auditor", application_name=name, settings=settings) as snapshot,
    ):
        try:
            return _Rebuild(cell, queue.client, connection, tenant, say).run(snapshot, dry_run=dry_run)
        finally:
            queue.client.close()


class _Rebuild:
    def __init__(self, cell: Cell, client: Any, connection: Connection, tenant: UUID | None, say: Say) -> None:
        self.cell = cell
        self.client = client
        self.connection = connection
        self.tenant = tenant
        self.say = say
        self.mark = str(uuid4())
        # Entries that are stored although Redis does not know that anybody took them: after a torn file.
        self.untaken: tuple[str, ...] = ()

    def run(self, snapshot: Connection, *, dry_run: bool) -> RebuildReport:
        self.untaken = tuple(open_entries(self.connection, self.client, all_positions(self.client)).positions)
        snapshot.isolation_level = IsolationLevel.REPEATABLE_READ
        snapshot.read_only = True
        known = self._tenants()
        with processors_held_off(self.connection):
            # The first statement of the transaction is what its snapshot is taken for.
            left_out = open_entries(snapshot, self.client, (*pending_positions(self.client), *self.untaken))
            snapshot.execute("select 1")
            if not dry_run:
                self.client.set(MARK, self.mark, ex=_MARK_SECONDS)
            before = self._totals_in_redis(known)
        self.say("reading the events of the stream")
        stored = self._totals_in_hypertable(snapshot, left_out)
        snapshot.rollback()
        tenants = sorted({*stored, *(each for each, totals in before.items() if totals)})
        wrong, drift = 0, 0
        for each in tenants:
            named = counter_keys.named_types(before.get(each, {}), stored.get(each, {}))
            differences = _differences(before.get(each, {}), stored.get(each, {}), named).values()
            wrong += len(differences)
            drift += sum(map(abs, differences))
        if not dry_run:
            self._replace_all(tenants, before, stored)
        events = sum(sum(each.values()) for each in stored.values())
        return RebuildReport(self.cell, len(tenants), events, len(left_out), wrong, drift, changed=not dry_run)

    def _tenants(self) -> list[UUID]:
        if self.tenant is not None:
            return [self.tenant]
        found = {row[0] for row in self.connection.execute("select id from saas.tenants")}
        # Counters of tenants that are not here any more are to go, too.
        for key in self.client.scan_iter(match=f"{counter_keys.PREFIX}*:totals", count=10_000):
            found.add(UUID(key.decode().split(":")[1]))
        return sorted(found)

    def _totals_in_redis(self, tenants: Iterable[UUID]) -> dict[UUID, dict[str, int]]:
        named = list(tenants)
        pipeline = self.client.pipeline(transaction=False)
        for each in named:
            pipeline.hgetall(counter_keys.totals(each))
        return {each: _counts(reply) for each, reply in zip(named, pipeline.execute(), strict=True)}

    def _totals_in_hypertable(self, snapshot: Connection, left_out: OpenEntries) -> dict[UUID, dict[str, int]]:
        found: dict[UUID, dict[str, int]] = defaultdict(dict)
        parameters = {"tenant": self.tenant, **left_out.parameters()}
        for tenant, event_type, events in snapshot.execute(statement("streamed_totals"), parameters):
            found[tenant][event_type] = events
        return dict(found)

    def _replace_all(self, tenants: list[UUID], before: Totals, stored: Totals) -> None:
        for number, each in enumerate(tenants, 1):
            for _ in range(_ATTEMPTS):
                with processors_held_off(self.connection):
                    done = self._replace(each, before.get(each, {}), stored.get(each, {}))
                if done:
                    break
            else:
                raise RebuildError(
                    f"entries were settled {_ATTEMPTS} times while they were looked at: is a processor at work that "
                    "lost its database? See `capstone stream status`, then repeat the command"
                )
            if number % 1_000 == 0:
                self.say(f"{number} of {len(tenants)} tenants")

    def _replace(self, tenant: UUID, before: Mapping[str, int], stored: Mapping[str, int]) -> bool:
        """Compute and replace one tenant's counters; return whether it was done. Processors are held off."""
        left_out = open_entries(self.connection, self.client, (*pending_positions(self.client), *self.untaken))
        live = _counts(self.client.hgetall(counter_keys.totals(tenant)))
        named = counter_keys.named_types(live, stored)
        now = datetime.fromtimestamp(self.client.time()[0], tz=UTC)
        since = now.replace(second=0, microsecond=0) - timedelta(minutes=counter_keys.KEPT_MINUTES - 1)
        parameters = {
            "tenant": tenant,
            "since": since,
            "named": list(named),
            "other": counter_keys.OTHER,
            "newest": counter_keys.NEWEST_EVENTS,
            **left_out.parameters(),
        }
        span = range(counter_keys.KEPT_MINUTES + _MINUTES_AHEAD)
        labels = [counter_keys.minute_of(since + timedelta(minutes=minute)) for minute in span]
        possible = _sketch_keys(tenant, labels, (*named, *live, counter_keys.OTHER))
        self._unlink(_prepared(tenant, key) for key in possible)
        sketches: dict[str, tuple[str, str, int]] = {}
        minutes: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for minute, counted_as, events, users in self.connection.execute(statement("streamed_minutes"), parameters):
            minutes[minute].append((counted_as, str(events)))
            if users:
                label = _label(minute)
                for key in (counter_keys.users(tenant, label), counter_keys.users(tenant, label, counted_as)):
                    sketches[key] = (_prepared(tenant, key), key, _expiry(minute))
                    self._prepare(_prepared(tenant, key), users)
        recent = self.connection.execute(statement("streamed_recently"), parameters).fetchall()
        content = (
            self.mark,
            left_out.positions_of(tenant),
            [
                *possible,
                *(counter_keys.minute(tenant, label) for label in labels),
                counter_keys.newest(tenant),
            ],
            list(sketches.values()),
            [(counter_keys.minute(tenant, _label(m)), _expiry(m), counts) for m, counts in minutes.items()],
            (counter_keys.totals(tenant), [(t, str(n)) for t, n in _differences(before, stored, named).items()]),
            (counter_keys.newest(tenant), counter_keys.KEPT_SECONDS, _timed(recent, now)),
        )
        answer = int(self.client.register_script(_REPLACE)(keys=(STREAM, MARK), args=(orjson.dumps(content),)))
        if answer < 0:
            raise RebuildError("another rebuild has begun, or Redis was emptied meanwhile: repeat the command")
        return bool(answer)

    def _unlink(self, keys: Iterable[str]) -> None:
        named = list(keys)
        for start in range(0, len(named), _USERS_AT_ONCE):
            self.client.unlink(*named[start : start + _USERS_AT_ONCE])

    def _prepare(self, key: str, users: list[int]) -> None:
        pipeline = self.client.pipeline(transaction=False)
        for start in range(0, len(users), _USERS_AT_ONCE):
            pipeline.pfadd(key, *users[start : start + _USERS_AT_ONCE])
        # Gone by itself if the rebuild is killed.
        pipeline.expire(key, counter_keys.KEPT_SECONDS)
        pipeline.execute()


def _counts(reply: Mapping[bytes, bytes]) -> dict[str, int]:
    return {event_type.decode(): int(events) for event_type, events in reply.items()}


def _differences(before: Mapping[str, int], stored: Mapping[str, int], named: frozenset[str]) -> dict[str, int]:
    """Return what is to be added to each total that was ``before`` for it to be what is ``stored``; no zeros."""
    wanted: dict[str, int] = defaultdict(int)
    for event_type, events in stored.items():
        wanted[event_type if event_type in named else counter_keys.OTHER] += events
    differences = {each: wanted.get(each, 0) - before.get(each, 0) for each in {*wanted, *before}}
    return {each: difference for each, difference in differences.items() if difference}


def _sketch_keys(tenant: UUID, labels: Iterable[str], types: Iterable[str]) -> list[str]:
    kinds = (None, *dict.fromkeys(types))
    return [counter_keys.users(tenant, label, each) for label in labels for each in kinds]


def _prepared(tenant: UUID, key: str) -> str:
    """Return where a sketch is prepared: a key that names the tenant like all others."""
    prefix = counter_keys.of_tenant(tenant)
    return f"{prefix}rebuild:{key.removeprefix(prefix)}"


def _label(minute: int) -> str:
    return counter_keys.minute_of(datetime.fromtimestamp(minute * 60, tz=UTC))


def _expiry(minute: int) -> int:
    return (minute + counter_keys.KEPT_MINUTES) * 60


def _timed(events: Iterable[tuple[int, str, str]], now: datetime) -> list[str]:
    """Return entries of the newest events: at their own time, but never ahead of those that come."""
    latest = int(now.timestamp() * 1000)
    return [
        counter_keys.newest_event(min(milliseconds, latest), user, event_type)
        for milliseconds, event_type, user in events
    ]
