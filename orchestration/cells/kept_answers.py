"""Answers that are kept for some seconds, and never more than so many of them."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class KeptAnswers(Generic[K, V]):
    """A bounded cache; for threads.

    Args:
        seconds: for which an answer is kept.
        most: how many are kept; when there are more, the oldest go.
        clock: seconds, for tests.
    """

    def __init__(self, seconds: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        # In the order in which they were given, so the first is the oldest.
        self._kept: dict[K, tuple[float, V]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        """Return the answer, None when there is none or it is too old."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and kept[0] > self._clock() else None

    def keep(self, key: K, answer: V) -> None:
        """Keep an answer."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (self._clock() + self._seconds, answer)
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]

    def forget(self, key: K) -> None:
        """Drop an answer that turned out to be wrong."""
        with self._lock:
            self._kept.pop(key, None)
