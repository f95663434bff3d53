"""Who may change a platform: one process at a time, and one thread of it."""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from orchestration.engines.errors import LockedError

LOCK_FILE = "up.lock"

# Locks that this process holds, by file: the thread that took it. `capstone up` holds the lock over everything it
# does, and what it calls takes it again.
_held: dict[Path, int] = {}
_guard = threading.Lock()


@contextmanager
def hold(home: Path, purpose: str) -> Iterator[None]:
    """Hold the lock of the state directory ``home`` while the block runs; re-entrant within a thread.

    The lock belongs to the open file, so the kernel lets go of it when the process dies, however it dies.

    Args:
        home: state directory, which exists.
        purpose: what the holder is doing, for the one who has to wait: "capstone up".

    Raises:
        LockedError: somebody else holds it; says who, what for and since when.
    """
    path = home / LOCK_FILE
    thread = threading.get_ident()
    with _guard:
        holder = _held.get(path)
        if holder is not None and holder != thread:
            raise LockedError(f"another thread of this process is at work in {home}: wait for it")
        if holder is None:
            descriptor = _take(path)
            _held[path] = thread
    if holder is not None:
        yield
        return
    try:
        record = {"pid": os.getpid(), "purpose": purpose, "since": datetime.now(tz=UTC).isoformat(timespec="seconds")}
        with suppress(OSError):
            # A full disk: the lock holds without a name in it, and `capstone down` is a way out of just that.
            os.pwrite(descriptor, json.dumps(record).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        with _guard:
            _held.pop(path, None)
            os.close(descriptor)


def _take(path: Path) -> int:
    # Not inherited by servers and processes that are started under the lock (Python opens files that way).
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _describe(os.pread(descriptor, 4096, 0))
        os.close(descriptor)
        raise LockedError(f"{path.parent} is in use by {holder}: wait until it is done, or stop it") from None
    # A holder that was killed has left its name behind.
    os.ftruncate(descriptor, 0)
    return descriptor


def _describe(content: bytes) -> str:
    try:
        record = json.loads(content)
        return f"`{record['purpose']}` (pid {record['pid']}, since {record['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process that has just begun"
