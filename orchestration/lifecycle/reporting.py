"""How the platform's long steps are told to whoever waits for them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from orchestration.lifecycle.runs import RunState

Say = Callable[[str], None]


class Reporter(Protocol):
    """Shows steps and runs as they go on."""

    def step(self, title: str) -> AbstractContextManager[Say]:
        """Announce a step; the block calls what it gets with a line for each thing done. Its time is shown after."""
        ...

    def runs(self, states: Sequence[RunState]) -> None:
        """Show how far the runs are; called about once a second."""
        ...
