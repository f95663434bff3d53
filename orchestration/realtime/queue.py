"""What a queue of live events does for those who append to it and for the processor that takes from it.

The local engine is Redis Streams (``redis_queue.py``). Nothing here is Redis': positions are opaque and ordered within
a partition, and what an engine cannot do atomically it does such that events come twice rather than never.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

# Events in the queue, those taken and not yet settled included. At 500 bytes an event and its place in the stream take
# about 700 bytes: 140 MB, a quarter of what a cell's Redis may use.
MAX_QUEUED = 200_000


class QueueError(RuntimeError):
    """The queue cannot be used; the message says how to mend it."""


class QueueFullError(QueueError):
    """Nothing of what was given was accepted: the queue is at its limit. Wait and send it again."""


class QueueUnavailableError(QueueError):
    """The queue does not answer. Whether what was given has been accepted is not known: send it again.

    The same event sent twice is stored and counted once.
    """


class QueueLostError(QueueError):
    """The queue that was there is not there any more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message.

    Attributes:
        position: its place in the queue, unique for ever.
        payload: what was appended.
        accepted_at: when the queue accepted it, UTC.
    """

    position: str
    payload: bytes
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was taken at once; each of it is delivered again until it is settled.

    Attributes:
        entries: messages, in order of position.
        erased: positions whose payload is gone because a tenant was erased: to be acknowledged, there is nothing to do.
    """

    entries: list[Entry] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.entries or self.erased)


@dataclass(frozen=True, slots=True)
class QueueState:
    """How the queue stands.

    Attributes:
        depth: messages that are not settled.
        pending: those of them that a processor has taken.
        limit: the depth at which nothing more is accepted.
        oldest_seconds: how long the oldest of them has waited, 0 when there is none.
        dead: dead letters.
    """

    depth: int
    pending: int
    limit: int
    oldest_seconds: float
    dead: int


class EventQueue(Protocol):
    """A queue of one cell."""

    def append(self, payloads: Sequence[bytes]) -> list[str]:
        """Accept all of ``payloads`` or none, and return their positions in the same order.

        Raises:
            QueueFullError: at its limit; nothing was accepted.
            QueueUnavailableError: no answer.
        """

    def take(self, consumer: str, count: int, wait_seconds: float) -> Delivery:
        """Take up to ``count`` messages that nobody has taken; wait for the first, at most ``wait_seconds``.

        Raises:
            QueueUnavailableError: no answer.
        """

    def take_stale(
        self, consumer: str, count: int, idle_seconds: float, after: str | None
    ) -> tuple[Delivery, str | None]:
        """Take up to ``count`` messages that somebody took ``idle_seconds`` ago and has not settled.

        Args:
            consumer: who takes them.
            count: at most.
            idle_seconds: so long ago, at least.
            after: what the last call returned, None to begin with the oldest.

        Returns:
            What was taken, and where to go on; None when that was the last.

        Raises:
            QueueUnavailableError: no answer.
        """

    def acknowledge(self, positions: Sequence[str]) -> int:
        """Settle messages of which nothing is to be stored or counted; return how many were still open.

        Raises:
            QueueUnavailableError: no answer.
        """

    def state(self) -> QueueState:
        """Return how the queue stands.

        Raises:
            QueueUnavailableError: no answer.
        """
