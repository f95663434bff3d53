"""Whether the counters are what the hypertable says, for the closed minutes of the retained hour.

Both sides are looked at in one moment at which no processor is within a batch; what is stored and not yet counted is
left out, as in a rebuild. So counts have to be equal, to the event. Unique users are estimates, and have to be as near
as a HyperLogLog can be expected to be.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg import IsolationLevel

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.realtime import counter_keys
from orchestration.realtime.open_entries import open_entries, pending_positions
from orchestration.realtime.processing_lock import processors_held_off
from orchestration.realtime.redis_queue import RedisQueue, redis_explained
from orchestration.realtime.statements import statement
from orchestration.settings import Settings, get_settings

if TYPE_CHECKING:
    from orchestration.loading.copy_loader import Connection

# Redis' sketch: 2^14 registers, 1.04 / sqrt(2^14) = 0.81 %.
REGISTERS = 1 << 14
STANDARD_ERROR = 1.04 / math.sqrt(REGISTERS)
# A sketch in a thousand million is as far off as this by itself. An hour of 1,000 tenants has half a million sketches:
# once in a few months of hourly comparisons.
_DEVIATIONS = 6.0
_TAIL = 1e-9

# Redis refuses scripts and answers of any length; so many keys are asked for at once.
_AT_ONCE = 5_000


def allowed_user_error(users: int) -> int:
    """Return by how many an estimate of ``users`` distinct users may be off without anything being wrong.

    For large numbers six standard errors of 0.81 %. For small ones a sketch counts registers: two users that fall into
    one are seen as one, which happens n²/2m times on average, by Poisson's law. Its tail is longer than the normal one:
    of 100 users 0.3 are expected to fall together, and 8 may. The larger of the two holds. (Ertl, "New cardinality
    estimation algorithms for HyperLogLog sketches", 2017, whose estimator Redis has: unbiased over the whole range.)
    """
    spread = _DEVIATIONS * STANDARD_ERROR * users
    mean = users * users / (2 * REGISTERS)
    if mean > 50:
        return math.ceil(spread)
    probability, below, collisions = math.exp(-mean), math.exp(-mean), 0
    while 1 - below > _TAIL:
        collisions += 1
        probability *= mean / collisions
        below += probability
    # The estimate is corrected for those that are expected.
    return max(math.ceil(spread), math.ceil(collisions - mean))


@dataclass(frozen=True)
class Reconciliation:
    """How the counters and the hypertable compare; counts and no names.

    Attributes:
        cell: whose.
        since: first minute compared, UTC.
        until: end of the last.
        tenants: that had events in it, on one side or the other.
        counted: events by the counters.
        stored: events of the stream by the hypertable, without those left out.
        left_out: stored and still to be counted.
        series: counts compared, one per tenant, minute and event type.
        differing: of these, not equal.
        drift: events by which they differ, added up without signs.
        sketches: of unique users compared.
        sketches_beyond_error: of these, farther off than :func:`allowed_user_error` says.
        largest_user_error: the largest error of a sketch of at least 100 users, as a fraction; 0 where there is none.
    """

    cell: Cell
    since: datetime
    until: datetime
    tenants: int
    counted: int
    stored: int
    left_out: int
    series: int
    differing: int
    drift: int
    sketches: int
    sketches_beyond_error: int
    largest_user_error: float

    @property
    def agrees(self) -> bool:
        """Whether the counts are equal and the users within the error."""
        return not self.differing and not self.sketches_beyond_error

    @property
    def relative_drift(self) -> float:
        """Drift as a fraction of the stored events; 1 where only counters have any."""
        return self.drift / self.stored if self.stored else float(self.drift > 0)


Key = tuple[str, str | None]
Numbers = dict[Key, int]


def reconcile(cell: Cell, settings: Settings | None = None) -> Reconciliation:
    """Compare counters and hypertable of ``cell`` over the closed minutes of the last hour.

    Raises:
        ProcessorsBusyError: a processor does not end its batch.
        CellUnavailableError: the database does not answer.
        QueueUnavailableError: Redis does not answer.
    """
    settings = settings or get_settings()
    queue = RedisQueue.of_cell(cell, settings)
    client = queue.client
    name = "capstone reconciliation"
    with (
        redis_explained(cell),
        routing.connect(cell, "auditor", autocommit=True, application_name=name, settings=settings) as connection,
        routing.connect(cell, "auditor", application_name=name, settings=settings) as snapshot,
    ):
        snapshot.isolation_level = IsolationLevel.REPEATABLE_READ
        snapshot.read_only = True
        try:
            active = _active_tenants(connection, client)
            with processors_held_off(connection):
                until = datetime.fromtimestamp(client.time()[0], tz=UTC).replace(second=0, microsecond=0)
                since = until - timedelta(minutes=counter_keys.WINDOW_MINUTES)
                left_out = open_entries(snapshot, client, pending_positions(client))
                snapshot.execute("select 1")
                labels = counter_keys.minutes_until(until - timedelta(minutes=1), counter_keys.WINDOW_MINUTES)
                counted = {tenant: _counted(client, tenant, labels) for tenant in active}
            compared = {"since": since, "until": until, **left_out.parameters()}
            comparison = _Comparison()
            for tenant, (named, events, users) in counted.items():
                stored, distinct = _stored(snapshot, tenant, named, compared)
                comparison.add(events, stored, users, distinct)
        finally:
            client.close()
    return Reconciliation(
        cell, since, until, comparison.tenants, comparison.counted, comparison.stored, len(left_out),
        comparison.series, comparison.differing, comparison.drift, comparison.sketches, comparison.beyond,
        comparison.largest,
    )  # fmt: skip


def streamed_lately(cell: Cell, settings: Settings | None = None) -> bool:
    """Return whether there is anything to compare: an event of the last hour, in the counters or in the hypertable.

    Raises:
        CellUnavailableError: the database does not answer.
        QueueUnavailableError: Redis does not answer.
    """
    settings = settings or get_settings()
    client = RedisQueue.of_cell(cell, settings).client
    with (
        redis_explained(cell),
        routing.connect(
            cell, "auditor", autocommit=True, application_name="capstone reconciliation", settings=settings
        ) as connection,
    ):
        try:
            return bool(_active_tenants(connection, client))
        finally:
            client.close()


def _active_tenants(connection: "Connection", client: Any) -> list[UUID]:
    """Return the tenants with an event of the last hour, in either place."""
    since = datetime.now(UTC) - timedelta(minutes=counter_keys.KEPT_MINUTES)
    active = {row[0] for row in connection.execute(statement("streaming_tenants"), {"since": since})}
    known = [row[0] for row in connection.execute("select id from saas.tenants")]
    for start in range(0, len(known), _AT_ONCE):
        page = known[start : start + _AT_ONCE]
        pipeline = client.pipeline(transaction=False)
        for tenant in page:
            pipeline.exists(counter_keys.newest(tenant))
        active.update(tenant for tenant, there in zip(page, pipeline.execute(), strict=True) if there)
    return sorted(active)


def _counted(client: Any, tenant: UUID, labels: Iterable[str]) -> tuple[frozenset[str], Numbers, Numbers]:
    """Return the types told apart, and events and users by minute and type, users also by minute alone."""
    named = [*labels]
    pipeline = client.pipeline(transaction=False)
    pipeline.hkeys(counter_keys.totals(tenant))
    for label in named:
        pipeline.hgetall(counter_keys.minute(tenant, label))
    fields, *minutes = pipeline.execute()
    types = {field.decode() for field in fields}
    events: Numbers = {}
    for label, counts in zip(named, minutes, strict=True):
        for event_type, count in counts.items():
            events[label, event_type.decode()] = int(count)
    # Every type in every minute: a sketch without a count beside it would be wrong as well.
    asked: list[Key] = [(label, each) for label in named for each in (None, *sorted(types))]
    for label, each in asked:
        pipeline.pfcount(counter_keys.users(tenant, label, each))
    users = {key: int(n) for key, n in zip(asked, pipeline.execute(), strict=True) if n}
    return counter_keys.named_types(dict.fromkeys(types, 0)), events, users


def _stored(
    snapshot: "Connection", tenant: UUID, named: frozenset[str], compared: Mapping[str, object]
) -> tuple[Numbers, Numbers]:
    parameters = {"tenant": tenant, "named": list(named), "other": counter_keys.OTHER, **compared}
    events: Numbers = {}
    users: Numbers = defaultdict(int)
    for minute, counted_as, count, distinct in snapshot.execute(statement("streamed_users"), parameters):
        label = counter_keys.minute_of(datetime.fromtimestamp(minute * 60, tz=UTC))
        if counted_as is not None:
            events[label, counted_as] = count
        if distinct:
            users[label, counted_as] = distinct
    return events, users


class _Comparison:
    def __init__(self) -> None:
        self.tenants = self.counted = self.stored = 0
        self.series = self.differing = self.drift = 0
        self.sketches = self.beyond = 0
        self.largest = 0.0

    def add(self, counted: Numbers, stored: Numbers, seen: Numbers, users: Numbers) -> None:
        """Compare one tenant's events, ``counted`` and ``stored``, and users, ``seen`` and in fact."""
        self.tenants += bool(counted or stored)
        self.counted += sum(counted.values())
        self.stored += sum(stored.values())
        for key in {*counted, *stored}:
            difference = abs(counted.get(key, 0) - stored.get(key, 0))
            self.series += 1
            self.differing += difference > 0
            self.drift += difference
        for key in {*seen, *users}:
            exact = users.get(key, 0)
            error = abs(seen.get(key, 0) - exact)
            self.sketches += 1
            self.beyond += error > allowed_user_error(exact)
            if exact >= 100:
                self.largest = max(self.largest, error / exact)
