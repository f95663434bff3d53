"""The queue as a Redis stream with a consumer group, one per cell.

What was accepted is on disk before it is acknowledged to whoever appended it: the servers run with ``appendfsync
always``. Entries leave the stream when they are settled, so its length is what has not been settled.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestration.cells import endpoints
from orchestration.cells.regions import Cell
from orchestration.realtime.queue import (
    MAX_QUEUED,
    Delivery,
    Entry,
    QueueFullError,
    QueueLostError,
    QueueState,
    QueueUnavailableError,
)
from orchestration.realtime.stream_keys import DAMAGED, DEAD_LETTERS, GROUP, INCARNATION, STREAM
from orchestration.settings import Settings, get_settings

PAYLOAD = b"e"

# Appended at once: one script keeps everybody else waiting, some milliseconds for this many.
MAX_APPENDED = 5_000
# Longer than any wait for messages, so that only a server that hangs runs into it.
SOCKET_SECONDS = 15.0

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class StreamSeen:
    """What the stream said of itself.

    Attributes:
        last: position of the newest message that was ever appended.
        appended: how many ever were.
        waiting: how many are there, those that were taken and not settled included.
        oldest_ms: when the oldest of them was accepted, in milliseconds since 1970.
        dead_letters: how many there are beside it.
        incarnation: which queue it says that it is, None when it says nothing; empty before it was asked.
        damaged: whether whoever started Redis found its file torn.
    """

    last: str = "0-0"
    appended: int = 0
    waiting: int = 0
    oldest_ms: int | None = None
    dead_letters: int = 0
    incarnation: str | None = ""
    damaged: bool = False


def script(name: str) -> str:
    """Return the text of a Lua script of this folder."""
    return (_FOLDER / f"{name}.lua").read_text()


def order_of(position: str) -> tuple[int, int]:
    """Return what positions are ordered by."""
    milliseconds, _, sequence = position.partition("-")
    return int(milliseconds), int(sequence or 0)


def accepted_at(position: str) -> datetime:
    """Return when the message of this position was accepted, by the server's clock."""
    return datetime.fromtimestamp(order_of(position)[0] / 1000, tz=UTC)


def seen_of(facts: Mapping[str, Any], dead_letters: int, marks: Sequence[bytes | None]) -> StreamSeen:
    """Return what the stream said of itself: the answers to XINFO STREAM, and which it is and whether it is damaged."""
    incarnation, damaged = marks
    oldest = facts["first-entry"]
    return StreamSeen(
        last=facts["last-generated-id"].decode(),
        appended=int(facts["entries-added"]),
        waiting=int(facts["length"]),
        oldest_ms=order_of(oldest[0].decode())[0] if oldest else None,
        dead_letters=dead_letters,
        incarnation=None if incarnation is None else incarnation.decode(),
        damaged=damaged is not None,
    )


@contextmanager
def redis_explained(name: str) -> Iterator[None]:
    """Turn what Redis answers, or that it does not, into the queue's errors; none carries a value."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError:
        raise QueueFullError(
            f"the queue of {name} does not accept more: its Redis is at its memory's limit; "
            "`capstone stream status` says what waits there"
        ) from None
    except redis.ResponseError as error:
        text = str(error)
        if "QUEUEFULL" in text:
            raise QueueFullError(
                f"the queue of {name} is at its limit: wait and send again; `capstone stream status` says what waits"
            ) from None
        if "NOGROUP" in text:
            raise QueueLostError(f"the queue of {name} is not there any more") from None
        # MISCONF: it cannot write its file; LOADING and the like pass.
        raise QueueUnavailableError(f"the queue of {name} does not do what is asked: {text.split(' ', 1)[0]}") from None
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise QueueUnavailableError(
            f"the queue of {name} does not answer ({type(error).__name__}): start it with `capstone up`"
        ) from None


class RedisQueue:
    """The queue of one cell; see :class:`orchestration.realtime.queue.EventQueue`.

    Not for several threads at once when it is used to take.

    Args:
        client: of the cell's Redis; replies as bytes.
        name: what messages call it: the cell.
        limit: depth at which nothing more is accepted.
    """

    def __init__(self, client: Any, name: str, *, limit: int = MAX_QUEUED) -> None:
        self.client = client
        self.name = name
        self.limit = limit
        # How many connections were made: a new one may be to a server that was restarted meanwhile.
        self.connections = 0
        self.seen = StreamSeen()
        self._append = client.register_script(script("append"))

    @classmethod
    def of_cell(cls, cell: Cell, settings: Settings | None = None, *, limit: int = MAX_QUEUED) -> "RedisQueue":
        """Return the queue of ``cell``, not connected yet.

        Raises:
            EndpointError: where it is, is not known.
        """
        settings = settings or get_settings()
        client = redis.Redis.from_url(
            endpoints.redis_url(cell, settings),
            protocol=2,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=settings.connect_timeout_seconds,
            retry=Retry(NoBackoff(), 0),  # whoever uses it decides what a lost connection means
        )
        queue = cls(client, cell, limit=limit)

        def connected(connection: Any) -> None:
            connection.on_connect()
            queue.connections += 1

        client.connection_pool.connection_kwargs["redis_connect_func"] = connected
        return queue

    def set_up(self) -> None:
        """Make stream and group, unless they are there."""
        with redis_explained(self.name):
            # Asked first: at the memory's limit Redis makes none, not even one that is there.
            try:
                if any(group["name"] == GROUP.encode() for group in self.client.xinfo_groups(STREAM)):
                    return
            except redis.ResponseError as error:
                if "no such key" not in str(error):
                    raise
            try:
                self.client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
            except redis.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def append(self, payloads: Sequence[bytes]) -> list[str]:
        """Accept all of ``payloads`` or none, and return their positions in the same order.

        Raises:
            ValueError: more than ``MAX_APPENDED`` at once.
            QueueFullError: at its limit; nothing was accepted.
            QueueUnavailableError: no answer.
        """
        if len(payloads) > MAX_APPENDED:
            raise ValueError(f"{len(payloads)} messages at once are too many: append at most {MAX_APPENDED}")
        if not payloads:
            return []
        with redis_explained(self.name):
            return [position.decode() for position in self._append(keys=[STREAM], args=[self.limit, *payloads])]

    def take(self, consumer: str, count: int, wait_seconds: float) -> Delivery:
        """Take up to ``count`` messages that nobody has taken; wait for the first, at most ``wait_seconds``.

        Raises:
            QueueLostError: the queue is gone: Redis was emptied.
            QueueUnavailableError: no answer.
        """
        with redis_explained(self.name):
            pipeline = self.client.pipeline(transaction=False)
            pipeline.execute_command(
                "XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count,
                "BLOCK", max(1, round(wait_seconds * 1000)), "STREAMS", STREAM, ">",
            )  # fmt: skip
            (taken,) = self._executed(pipeline)
        return Delivery(_entries(taken[0][1]) if taken else [])

    def take_stale(
        self, consumer: str, count: int, idle_seconds: float, after: str | None
    ) -> tuple[Delivery, str | None]:
        """Take up to ``count`` messages that somebody took ``idle_seconds`` ago and has not settled.

        Redis itself acknowledges those whose payload is gone.

        Raises:
            QueueLostError: the queue is gone: Redis was emptied.
            QueueUnavailableError: no answer.
        """
        with redis_explained(self.name):
            pipeline = self.client.pipeline(transaction=False)
            pipeline.execute_command(
                "XAUTOCLAIM", STREAM, GROUP, consumer, round(idle_seconds * 1000), after or "0-0", "COUNT", count,
                NEVER_DECODE=True,
            )  # fmt: skip
            ((following, entries, erased),) = self._executed(pipeline)
        delivery = Delivery(_entries(entries), [position.decode() for position in erased])
        return delivery, None if following == b"0-0" else following.decode()

    def _executed(self, pipeline: Any) -> list[Any]:
        """Send what is in the pipeline, look at the queue in the same round trip, and return the answers."""
        pipeline.xinfo_stream(STREAM)
        pipeline.xlen(DEAD_LETTERS)
        pipeline.mget(INCARNATION, DAMAGED)
        answers: list[Any]
        *answers, facts, dead_letters, marks = pipeline.execute()
        self.seen = seen_of(facts, int(dead_letters), marks)
        return answers

    def acknowledge(self, positions: Sequence[str]) -> int:
        """Settle messages of which nothing is to be stored or counted; return how many were still open.

        Raises:
            QueueUnavailableError: no answer.
        """
        if not positions:
            return 0
        with redis_explained(self.name):
            # No transaction: at the memory's limit Redis refuses even to begin one. In this order, because what is
            # pending without a payload is acknowledged in time, and what is in the stream without being pending never.
            pipeline = self.client.pipeline(transaction=False)
            pipeline.xdel(STREAM, *positions)
            pipeline.xack(STREAM, GROUP, *positions)
            return int(pipeline.execute()[1])

    def state(self) -> QueueState:
        """Return how the queue stands.

        Raises:
            QueueUnavailableError: no answer.
        """
        with redis_explained(self.name):
            pipeline = self.client.pipeline(transaction=False)
            pipeline.xlen(STREAM)
            pipeline.execute_command("XRANGE", STREAM, "-", "+", "COUNT", 1)
            pipeline.xlen(DEAD_LETTERS)
            pipeline.time()
            depth, oldest, dead, (seconds, microseconds) = pipeline.execute()
            try:
                pending = int(self.client.xpending(STREAM, GROUP)["pending"])
            except redis.ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                pending = 0
        waited = seconds + microseconds / 1e6 - order_of(oldest[0][0].decode())[0] / 1000 if oldest else 0.0
        return QueueState(
            depth=int(depth), pending=pending, limit=self.limit, oldest_seconds=max(0.0, waited), dead=int(dead)
        )


def _entries(replies: Sequence[Any]) -> list[Entry]:
    entries = []
    for position, fields in replies:
        name = position.decode()
        entries.append(Entry(name, _payload(fields), accepted_at(name)))
    return entries


def _payload(fields: Any) -> bytes:
    """Return what stands in the field for payloads; nothing when somebody else's program wrote other fields."""
    if isinstance(fields, dict):
        return bytes(fields.get(PAYLOAD, b""))
    pairs = iter(fields or ())
    return bytes(dict(zip(pairs, pairs, strict=False)).get(PAYLOAD, b""))
