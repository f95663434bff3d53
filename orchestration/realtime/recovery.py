"""Whether the queue is still the one that it was, and how the stream goes on when it is not.

Redis does not know that it was emptied, or that its file had lost its end: it comes up and serves what it has. The
cell's database remembers with every batch how far the queue was (``platform.stream_incarnations``), and the engines
leave a mark when they find a torn file. As long as the two do not agree the processor refuses to work, and
:func:`recover` is the way back: it says which events cannot be accounted for, rebuilds the counters from the hypertable
and only then opens the stream again.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import redis

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.realtime.queue import QueueError
from orchestration.realtime.redis_queue import (
    RedisQueue,
    StreamSeen,
    order_of,
    redis_explained,
    seen_of,
)
from orchestration.realtime.statements import Connection, statement
from orchestration.realtime.stream_keys import DAMAGED, INCARNATION, STREAM
from orchestration.settings import Settings, get_settings

Say = Callable[[str], None]


class StreamDamagedError(QueueError):
    """The queue is not what it was: nothing is processed until it is recovered. Names the cause and the command."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the stream was when a batch was last stored, as the database remembers it."""

    incarnation: UUID
    newest: tuple[int, int]
    appended: int
    oldest_ms: int | None
    waiting: int
    dead_letters: int
    at: datetime


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What Redis says now. ``damaged_at`` is when a torn file was found, None when none was."""

    incarnation: str | None
    damaged_at: datetime | None
    seen: StreamSeen


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What cannot be accounted for.

    Attributes:
        cell: whose stream.
        cause: what happened to it.
        lost_from: events accepted since then may be lost (UTC); those that are stored are not.
        lost_to: and until then.
        known_lost: entries of which it is known that they are lost.
        known_until: of entries accepted after that, nobody knows how many there were.
        dead_letters_lost: dead letters that are gone.
        counters: what was rebuilt, in words.
        incarnation: what the stream is now.
    """

    cell: Cell
    cause: str
    lost_from: datetime
    lost_to: datetime
    known_lost: int
    known_until: datetime
    dead_letters_lost: int
    counters: str
    incarnation: UUID

    def lines(self) -> list[str]:
        """Return what `capstone stream recover` prints."""
        first, last, known = (
            moment.isoformat(sep=" ", timespec="milliseconds")[:23]
            for moment in (self.lost_from, self.lost_to, self.known_until)
        )
        return [
            f"{self.cell}: {self.cause}",
            f"cannot be accounted for: events accepted between {first} and {last} UTC that had not been stored",
            f"known to be lost: {self.known_lost} entries, and {self.dead_letters_lost} dead letters",
            f"not known: how many were accepted after {known} UTC, when the last batch was stored",
            "way out: have the senders send that range again; what is stored already is not stored or counted twice",
            f"counters: {self.counters}",
            f"the stream is open again as {self.incarnation}: `capstone up` starts its processor",
        ]

    def as_json(self) -> dict[str, Any]:
        """Return what `capstone stream recover --json` prints."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, UUID) else value
            for name, value in asdict(self).items()
        }


def progress_of(connection: Connection) -> Progress | None:
    """Return what the database remembers, None before the first start."""
    row = connection.execute(statement("open_incarnation")).fetchone()
    if row is None:
        return None
    incarnation, newest_ms, newest_seq, appended, oldest_ms, waiting, dead_letters, at = row
    return Progress(incarnation, (newest_ms, newest_seq), appended, oldest_ms, waiting, dead_letters, at)


def facts_of(queue: RedisQueue) -> QueueFacts:
    """Return what Redis says.

    Raises:
        QueueUnavailableError: it says nothing.
    """
    with redis_explained(queue.name):
        incarnation, damaged = queue.client.mget(INCARNATION, DAMAGED)
        try:
            seen = seen_of(queue.client.xinfo_stream(STREAM), 0, (incarnation, damaged))
        except redis.ResponseError as error:
            if "no such key" not in str(error):
                raise
            seen = StreamSeen(incarnation=None)
    damaged_at = None if damaged is None else datetime.fromtimestamp(float(damaged), tz=UTC)
    return QueueFacts(None if incarnation is None else incarnation.decode(), damaged_at, seen)


def damage(progress: Progress | None, facts: QueueFacts) -> str | None:
    """Return what happened to the queue, None when it is what it was."""
    if facts.damaged_at is not None:
        return "the append-only file of its Redis was torn"
    if progress is None:
        return None
    if facts.incarnation is None:
        return "its Redis was emptied"
    if facts.incarnation != str(progress.incarnation):
        return "its Redis holds another queue than the one that was processed"
    if order_of(facts.seen.last) < progress.newest or facts.seen.appended < progress.appended:
        return "its Redis has lost the newest entries"
    return None


def refusal(cell: str, cause: str) -> StreamDamagedError:
    """Return the error that says why a stream is not processed, and the command to run."""
    return StreamDamagedError(
        f"the stream of cell {cell!r} is not processed: {cause}. "
        f"`capstone stream recover --cell {cell}` reports what cannot be accounted for and opens it again"
    )


def verify(cell: Cell, connection: Connection, queue: RedisQueue) -> UUID:
    """Return the incarnation of the stream, of a new one if there was none yet.

    Args:
        cell: whose.
        connection: of role loader, in autocommit.
        queue: of the same cell.

    Raises:
        StreamDamagedError: Redis was emptied, replaced, or has lost entries: nothing may be processed.
        QueueUnavailableError: Redis does not answer.
    """
    progress, facts = progress_of(connection), facts_of(queue)
    cause = damage(progress, facts)
    if cause is not None:
        raise refusal(cell, cause)
    if progress is not None:
        queue.set_up()
        return progress.incarnation
    return _open_first(cell, connection, queue)


def _open_first(cell: Cell, connection: Connection, queue: RedisQueue) -> UUID:
    """Begin a stream that nobody processed before. Redis first: one that has the key and no row is begun again."""
    queue.set_up()
    with redis_explained(queue.name):
        queue.client.set(INCARNATION, str(uuid4()), nx=True)
        incarnation = UUID(queue.client.get(INCARNATION).decode())
    with connection.transaction():
        connection.execute(
            "insert into platform.stream_incarnations (incarnation) values (%s) on conflict do nothing", (incarnation,)
        )
    progress = progress_of(connection)
    if progress is None or progress.incarnation != incarnation:
        raise refusal(cell, "its Redis holds another queue than the one that was processed")
    return incarnation


def note_progress(connection: Connection, incarnation: UUID, queue: RedisQueue, done: int) -> None:
    """Remember how far the queue was when it was last looked at, within the transaction that stores a batch.

    Args:
        connection: in that transaction.
        incarnation: of the stream.
        queue: that the batch was taken from.
        done: how many entries of the batch will be settled.
    """
    seen = queue.seen
    newest_ms, newest_seq = order_of(seen.last)
    connection.execute(
        statement("note_progress"),
        {
            "incarnation": incarnation,
            "newest_ms": newest_ms,
            "newest_seq": newest_seq,
            "appended": seen.appended,
            "oldest_ms": seen.oldest_ms,
            "waiting": max(0, seen.waiting - done),
            "dead_letters": seen.dead_letters,
        },
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def _lost(connection: Connection, progress: Progress | None, facts: QueueFacts) -> tuple[datetime, int, int]:
    """Return since when entries may be lost, how many are known to be, and how many dead letters."""
    if progress is None:
        return _moment(order_of(facts.seen.last)[0]), 0, 0
    if facts.incarnation == str(progress.incarnation):
        # The queue as it was at an earlier moment: all that came after is lost, but for what is stored.
        after_ms, after_seq = order_of(facts.seen.last)
        row = connection.execute(statement("claims_after"), {"after_ms": after_ms, "after_seq": after_seq}).fetchone()
        stored = int(row[0]) if row else 0
        return _moment(after_ms), max(0, progress.appended - facts.seen.appended - stored), 0
    since = progress.newest[0] if progress.oldest_ms is None else progress.oldest_ms
    return _moment(since), progress.waiting, progress.dead_letters


def recover(cell: Cell, settings: Settings | None = None, *, say: Say = lambda _: None) -> RecoveryReport | None:
    """Report what cannot be accounted for, rebuild the counters, and let the stream be processed again.

    Killed anywhere it is to be repeated: the stream stays closed until all of it is done.

    Args:
        cell: whose.
        settings: which platform.
        say: is told what is being done.

    Returns:
        What was found; None when there is nothing to recover.

    Raises:
        QueueUnavailableError: Redis does not answer.
        CellUnavailableError: the database does not.
        RebuildError: the counters could not be rebuilt; the stream stays closed.
    """
    from orchestration.realtime.rebuild import rebuild_counters  # noqa: PLC0415 - the processor has no use for it

    settings = settings or get_settings()
    queue = RedisQueue.of_cell(cell, settings)
    with routing.connect(cell, "loader", autocommit=True, settings=settings) as connection:
        progress, facts = progress_of(connection), facts_of(queue)
        cause = damage(progress, facts)
        if cause is None:
            return None
        say(f"{cell}: {cause}")
        lost_from, known_lost, dead_letters = _lost(connection, progress, facts)
        lost_to = facts.damaged_at or datetime.now(UTC)
        queue.set_up()
        say(f"{cell}: rebuilding the counters")
        counters = str(rebuild_counters(cell, settings, say=say))
        incarnation = uuid4()
        with connection.transaction():
            connection.execute(
                statement("close_incarnation"),
                {"because": cause, "lost_from": lost_from, "lost_to": lost_to, "lost_at_least": known_lost},
            )
            connection.execute(
                statement("begin_incarnation"), {"incarnation": incarnation, **_position(progress, facts)}
            )
        _open(queue, incarnation, progress)
    return RecoveryReport(
        cell=cell,
        cause=cause,
        lost_from=min(lost_from, lost_to),
        lost_to=lost_to,
        known_lost=known_lost,
        known_until=progress.at if progress is not None else lost_from,
        dead_letters_lost=dead_letters,
        counters=counters,
        incarnation=incarnation,
    )


def _position(progress: Progress | None, facts: QueueFacts) -> dict[str, int]:
    newest = max(order_of(facts.seen.last), progress.newest if progress is not None else (0, 0))
    return {"newest_ms": newest[0], "newest_seq": newest[1], "appended": facts.seen.appended}


def _open(queue: RedisQueue, incarnation: UUID, progress: Progress | None) -> None:
    """Have Redis go on behind every position that was ever given out, and clear the mark, in one step."""
    with redis_explained(queue.name):
        last = facts_of(queue).seen.last
        pipeline = queue.client.pipeline(transaction=True)
        if progress is not None and order_of(last) < progress.newest:
            pipeline.execute_command("XSETID", STREAM, f"{progress.newest[0]}-{progress.newest[1]}")
        pipeline.set(INCARNATION, str(incarnation))
        pipeline.delete(DAMAGED)
        pipeline.execute()
