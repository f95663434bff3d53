"""Waiting for a condition with a deadline."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.3


def wait_until(condition: Callable[[], bool], seconds: float, poll_seconds: float = POLL_SECONDS) -> bool:
    """Return True as soon as ``condition`` holds, False when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_seconds)
    return True
