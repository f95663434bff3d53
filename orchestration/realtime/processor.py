"""The stream processor of one cell: takes events from the queue into the hypertable and the counters, each once.

A batch goes through these steps, and the process may end between any two of them:

1. *taken*: the entries are pending; whatever happens, they are delivered again until they are settled.
2. *stored*: one transaction claims the ids of the events and inserts those that are new; the ledger remembers which
   entry brought each of them.
3. *settled*: one script in Redis acknowledges the entries and counts the events. An entry that comes again because step
   3 was not reached is not inserted again, the ledger says that it was this very entry that brought the event, and it
   is counted then. An entry that was settled is never delivered again.
4. *buried*: what can never be stored moves to the dead letters, each entry in one step with its settlement.

Several processors of one cell get in nobody's way: an entry counts for whoever settles it, once.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event
from uuid import UUID

import psycopg
import redis

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.loading.copy_loader import Connection, LoadError
from orchestration.realtime import recovery
from orchestration.realtime.counters import Counters
from orchestration.realtime.dead_letters import Burial, DeadLetters
from orchestration.realtime.event import InvalidEventError, StreamEvent, decode, tenant_named
from orchestration.realtime.event_store import EventStore, Taken
from orchestration.realtime.processing_lock import processing
from orchestration.realtime.queue import Delivery, QueueError, QueueLostError
from orchestration.realtime.recovery import StreamDamagedError
from orchestration.realtime.redis_queue import RedisQueue, StreamSeen, redis_explained
from orchestration.settings import Settings, get_settings

CONSUMER = "processor"

# Entries at once: enough that a transaction's and a script's own cost does not count, few enough that the script keeps
# others from Redis for some 20 ms only.
BATCH = 4_000
# How long Redis holds a request for messages open; also how long a stop may go unnoticed.
WAIT_SECONDS = 1.0
# After a batch that was far from full: the next one gathers meanwhile. A twentieth of the second within which an event
# is to be visible, and a tenth of the transactions under light traffic.
LINGER_SECONDS = 0.025
# Entries that were taken and not settled are taken again after this long: those of a processor that died, those whose
# tenant is closed to writes, and those that found no room among the dead letters.
STALE_SECONDS = 10.0
# Between attempts while PostgreSQL or Redis cannot do it: at first, and at most.
RETRY_SECONDS, MAX_RETRY_SECONDS = 0.2, 10.0
# An unchanged trouble is logged again after this long.
REMIND_SECONDS = 60.0

UNDECODABLE = "undecodable"

_log = logging.getLogger(__name__)


class Processor:
    """One stream processor; :meth:`run` works until it is told to stop.

    Args:
        cell: whose stream.
        settings: of the platform.
        queue: of the cell; its own unless given.
        batch: entries at once.
        stale_seconds: see ``STALE_SECONDS``.
        at_step: called with the name of each step that was done; tests end the process there.
    """

    def __init__(
        self,
        cell: Cell,
        settings: Settings | None = None,
        *,
        queue: RedisQueue | None = None,
        batch: int = BATCH,
        stale_seconds: float = STALE_SECONDS,
        at_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.cell = cell
        self._settings = settings or get_settings()
        self._queue = queue or RedisQueue.of_cell(cell, self._settings)
        self._counters = Counters(self._queue.client)
        self._dead_letters = DeadLetters(self._queue)
        self._store = EventStore(cell)
        self._batch = batch
        self._stale_seconds = stale_seconds
        self._at_step = at_step
        self._connection: Connection | None = None
        self._incarnation: UUID | None = None
        self._verified_connections = -1
        self._stale_from: str | None = None
        self._stale_due = 0.0
        self._stale_idle = 0.0
        self._new_next = False
        self._trouble = ""
        self._trouble_told = 0.0
        self._counts = {"counted": 0, "repeated": 0, "dead": 0}

    def run(self, stop: Event, serving: Callable[[], None] = lambda: None) -> None:
        """Work until ``stop`` is set; the batch in hand is finished.

        PostgreSQL or Redis may go and come back meanwhile, or be full: what is in hand then is done when it can be.

        Args:
            stop: ends it.
            serving: called once when the stream was looked at and is not refused, or nothing can be looked at yet.

        Raises:
            StreamDamagedError: the queue is not what it was; see :mod:`orchestration.realtime.recovery`.
            EndpointError: the cell has no servers yet.
        """
        _log.info("stream of cell %s: processor started", self.cell)
        pause, told = RETRY_SECONDS, False
        try:
            while not stop.is_set():
                try:
                    self._verify()
                    if not told:
                        serving()
                        told = True
                    worked = self.step()
                except StreamDamagedError:
                    raise
                except (psycopg.Error, LoadError, CellUnavailableError, QueueError) as error:
                    self._tell(error)
                    if not told:
                        serving()
                        told = True
                    self._forget_connections()
                    stop.wait(pause)
                    pause = min(pause * 2, MAX_RETRY_SECONDS)
                    continue
                pause = RETRY_SECONDS
                if self._trouble:
                    _log.info("stream of cell %s: goes on", self.cell)
                    self._trouble = ""
                if 0 < worked < self._batch // 4:
                    stop.wait(LINGER_SECONDS)
        finally:
            self._forget_connections()
            _log.info(
                "stream of cell %s: processor ended; stored and counted %d, seen before %d, dead letters %d",
                self.cell, self._counts["counted"], self._counts["repeated"], self._counts["dead"],
            )  # fmt: skip

    def step(self, wait_seconds: float = WAIT_SECONDS) -> int:
        """Take one batch and do what there is to do with it; return how many entries it had.

        Raises:
            StreamDamagedError: the queue is not what it was; nothing was done.
            psycopg.Error, LoadError, CellUnavailableError, QueueError: it could not be done; it is safe to go on.
        """
        self._verify()
        try:
            delivery = self._take(wait_seconds)
        except QueueLostError:
            # Emptied behind an open connection: the next step looks, and refuses.
            self._incarnation = None
            raise
        # The server may have been restarted, or emptied, while it was waited for: that is looked at first.
        if self._changed():
            self._incarnation = None
            return 0
        if not delivery:
            return 0
        self._at_step("taken")
        self._work(delivery)
        return len(delivery.entries)

    def _changed(self) -> bool:
        seen = self._queue.seen
        return self._queue.connections != self._verified_connections or (
            seen.incarnation != "" and (seen.damaged or seen.incarnation != str(self._incarnation))
        )

    def _verify(self) -> None:
        if self._incarnation is not None and not self._changed():
            return
        connection = self._database()
        self._incarnation = recovery.verify(self.cell, connection, self._queue)
        self._verified_connections = self._queue.connections
        self._queue.seen = StreamSeen()
        self._stale_again()

    def _stale_again(self) -> None:
        """Take next what was taken and not settled, whoever took it and however short ago."""
        self._stale_from, self._stale_due, self._stale_idle = None, 0.0, 0.0

    def _take(self, wait_seconds: float) -> Delivery:
        """Take what is stale when that is due, in turn with what is new: however much waits, it holds up nobody."""
        due = time.monotonic() >= self._stale_due
        if due and self._new_next:
            self._new_next = False
            delivery = self._queue.take(CONSUMER, self._batch, 0.0)
            if delivery:
                return delivery
        if due:
            delivery, self._stale_from = self._queue.take_stale(
                CONSUMER, self._batch, self._stale_idle, self._stale_from
            )
            if self._stale_from is None:
                self._stale_due = time.monotonic() + self._stale_seconds
                self._stale_idle = self._stale_seconds
            if delivery:
                self._new_next = True
                return delivery
        return self._queue.take(CONSUMER, self._batch, min(wait_seconds, self._stale_seconds))

    def _work(self, delivery: Delivery) -> None:
        connection = self._database()
        taken: list[Taken] = []
        tenants: dict[str, UUID | None] = {}
        burials: list[Burial] = []
        for entry in delivery.entries:
            try:
                event = decode(entry.payload, at=entry.accepted_at)
            except InvalidEventError as error:
                burials.append(Burial(entry.position, error.code, tenant_named(entry.payload)))
            except Exception as error:  # noqa: BLE001 - whatever a message contains, it must not stop the others
                _log.warning("stream of cell %s: a message broke the decoder: %s", self.cell, type(error).__name__)
                burials.append(Burial(entry.position, UNDECODABLE, tenant_named(entry.payload)))
            else:
                taken.append(Taken(entry.position, event))
                tenants[entry.position] = event.tenant_id
        settled: list[tuple[str, StreamEvent | None]] = []
        with processing(connection):
            if taken:
                with connection.transaction():
                    stored = self._store.store(connection, taken)
                    self._at_step("stored")
                    recovery.note_progress(
                        connection,
                        self._incarnation_known(),
                        self._queue,
                        len(delivery.entries) - len(stored.waiting),
                    )
                self._at_step("committed")
                for each in taken:
                    if each.position in stored.counted:
                        settled.append((each.position, each.event))
                    elif each.position in stored.repeated:
                        settled.append((each.position, None))
                burials += [Burial(position, reason, tenants[position]) for position, reason in stored.dead.items()]
                self._counts["counted"] += len(stored.counted)
                self._counts["repeated"] += len(stored.repeated)
                if stored.waiting:
                    _log.info(
                        "stream of cell %s: %d events wait for their tenants, which are closed to writes",
                        self.cell, len(stored.waiting),
                    )  # fmt: skip
            with redis_explained(self.cell):
                self._counters.settle(settled)
                self._queue.acknowledge(delivery.erased)
        self._at_step("settled")
        self._bury(burials)
        self._at_step("buried")

    def _bury(self, burials: list[Burial]) -> None:
        if not burials:
            return
        left = self._dead_letters.bury(burials)
        self._counts["dead"] += len(burials) - left
        if left:
            _log.warning(
                "stream of cell %s: %d events can never be stored and there is no room for more dead letters; they "
                "stay in the queue: `capstone stream dead --cell %s`",
                self.cell, left, self.cell,
            )  # fmt: skip

    def _incarnation_known(self) -> UUID:
        if self._incarnation is None:
            raise StreamDamagedError(f"the stream of cell {self.cell!r} was not looked at before it was worked on")
        return self._incarnation

    def _database(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = routing.connect(
                self.cell,
                "loader",
                autocommit=True,
                application_name=f"capstone stream {self.cell}",
                settings=self._settings,
            )
            # What is settled in Redis has to be in the hypertable for good, whatever the server's own default is.
            self._connection.execute("set synchronous_commit = on")
        return self._connection

    def _forget_connections(self) -> None:
        """Begin anew: with new connections, the queue verified, and what is pending taken first."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None
        self._incarnation = None
        with suppress(redis.RedisError, OSError):
            self._queue.client.close()

    def _tell(self, error: Exception) -> None:
        """Log what stands in the way: once, and again when it has not changed for a minute; never a row's values."""
        trouble = _trouble(error)
        now = time.monotonic()
        if trouble == self._trouble and now - self._trouble_told < REMIND_SECONDS:
            return
        self._trouble, self._trouble_told = trouble, now
        _log.warning("stream of cell %s: waits, nothing is lost: %s", self.cell, trouble)


def _trouble(error: Exception) -> str:
    """Return what is the matter in words that hold no row's value: a server's message may."""
    if isinstance(error, psycopg.errors.DiskFull):
        return "the disk of PostgreSQL is full: make room on it"
    if isinstance(error, psycopg.errors.InvalidSchemaName | psycopg.errors.UndefinedObject | psycopg.ProgrammingError):
        return f"the cell's schemas are not as they should be ({type(error).__name__}): `capstone up` applies them"
    if isinstance(error, psycopg.Error):
        return f"PostgreSQL: {type(error).__name__} {error.sqlstate or ''}".rstrip()
    return str(error)
