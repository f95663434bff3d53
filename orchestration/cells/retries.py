"""How often, and after which pauses, what is safe to repeat is repeated."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Retries:
    """Bounded attempts with pauses that double, each drawn anew so that those who met do not meet again.

    Attributes:
        attempts: how often at most, the first time included.
        first_seconds: longest first pause.
        most_seconds: longest pause at all.
    """

    # Five transactions that met each time are a design to be changed, not a chance to be waited for.
    attempts: int = 5
    # About what a short transaction takes.
    first_seconds: float = 0.02
    most_seconds: float = 0.5

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 <= self.first_seconds <= self.most_seconds:
            raise ValueError(f"{self}: at least one attempt, and 0 <= first_seconds <= most_seconds are needed")

    def pauses(self) -> Iterator[float]:
        """Yield the seconds to wait before each attempt but the first."""
        longest = self.first_seconds
        for _ in range(self.attempts - 1):
            yield random.uniform(0, longest)  # noqa: S311 -- not a secret
            longest = min(self.most_seconds, 2 * longest)
