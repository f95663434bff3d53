"""Events that could not be stored: kept with the reason, looked at, put back into the queue, or given up."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orchestration.realtime.redis_queue import PAYLOAD, RedisQueue, accepted_at, redis_explained, script
from orchestration.realtime.stream_keys import DEAD_LETTERS, GROUP, STREAM

# More are not kept: what comes then stays in the queue, which fills and refuses, instead of growing or losing events.
MAX_DEAD_LETTERS = 50_000

_PAGE = 1_000


class NoDeadLetterError(ValueError):
    """There is no dead letter of that name."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One of them, without what it says.

    Attributes:
        letter: its name among the dead letters.
        position: where it was in the queue.
        reason: a code, never a value.
        tenant: whom it names, if anybody.
        buried_at: when, UTC.
        size: of its payload in bytes.
    """

    letter: str
    position: str
    reason: str
    tenant: str | None
    buried_at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class Burial:
    """An entry of the queue that can never be stored as it is."""

    position: str
    reason: str
    tenant: UUID | None


class DeadLetters:
    """The dead letters of one cell, beside its queue."""

    def __init__(self, queue: RedisQueue, *, limit: int = MAX_DEAD_LETTERS) -> None:
        self._queue = queue
        self._limit = limit
        self._bury = queue.client.register_script(script("bury"))
        self._replay = queue.client.register_script(script("replay"))

    def bury(self, burials: Sequence[Burial]) -> int:
        """Move entries of the queue to the dead letters, each in one step; return how many found no room.

        Those that found none stay in the queue. Repeating it is safe.

        Raises:
            QueueUnavailableError: no answer.
        """
        left = 0
        for first in range(0, len(burials), _PAGE):
            arguments: list[str | int] = [GROUP, self._limit]
            for burial in burials[first : first + _PAGE]:
                arguments += [burial.position, burial.reason, "" if burial.tenant is None else str(burial.tenant)]
            with redis_explained(self._queue.name):
                left += int(self._bury(keys=[STREAM, DEAD_LETTERS], args=arguments)[1])
        return left

    def letters(self, *, reason: str | None = None, tenant: str | None = None) -> Iterator[DeadLetter]:
        """Yield the dead letters, the oldest first, of one reason or tenant if given.

        ``reason`` also means those that say more behind a colon: ``missing`` means ``missing:time``.

        Raises:
            QueueUnavailableError: no answer.
        """
        first = "-"
        while True:
            with redis_explained(self._queue.name):
                page = self._queue.client.xrange(DEAD_LETTERS, min=first, count=_PAGE)
            for name, fields in page:
                letter = DeadLetter(
                    letter=name.decode(),
                    position=_text(fields, b"position"),
                    reason=_text(fields, b"reason"),
                    tenant=_text(fields, b"tenant") or None,
                    buried_at=accepted_at(name.decode()),
                    size=len(fields.get(PAYLOAD, b"")),
                )
                of_reason = reason is None or letter.reason == reason or letter.reason.startswith(f"{reason}:")
                if of_reason and (tenant is None or letter.tenant == tenant):
                    yield letter
            if len(page) < _PAGE:
                return
            first = f"({page[-1][0].decode()}"

    def reasons(self) -> Counter[str]:
        """Return how many there are of each reason.

        Raises:
            QueueUnavailableError: no answer.
        """
        return Counter(letter.reason for letter in self.letters())

    def payload(self, letter: str) -> bytes:
        """Return what a dead letter says: somebody's data, so mind where it goes.

        Raises:
            NoDeadLetterError: there is none of that name.
            QueueUnavailableError: no answer.
        """
        with redis_explained(self._queue.name):
            found = self._queue.client.xrange(DEAD_LETTERS, min=letter, max=letter)
        if not found:
            raise NoDeadLetterError(f"there is no dead letter {letter!r}: `capstone stream dead` lists them")
        return bytes(found[0][1].get(PAYLOAD, b""))

    def replay(self, letters: Sequence[str]) -> int:
        """Put dead letters back into the queue, each in one step; return how many, fewer when the queue is full.

        An event that is stored already is not stored or counted again.

        Raises:
            QueueUnavailableError: no answer.
        """
        replayed = 0
        for first in range(0, len(letters), _PAGE):
            page = letters[first : first + _PAGE]
            with redis_explained(self._queue.name):
                done = int(self._replay(keys=[DEAD_LETTERS, STREAM], args=[self._queue.limit, *page]))
            replayed += done
            if done < len(page):
                break
        return replayed

    def discard(self, letters: Sequence[str]) -> int:
        """Give dead letters up for good; return how many there were.

        Raises:
            QueueUnavailableError: no answer.
        """
        discarded = 0
        for first in range(0, len(letters), _PAGE):
            with redis_explained(self._queue.name):
                discarded += int(self._queue.client.xdel(DEAD_LETTERS, *letters[first : first + _PAGE]))
        return discarded


def _text(fields: dict[bytes, bytes], name: bytes) -> str:
    return fields.get(name, b"").decode(errors="replace")
