"""How much of the service each tenant uses: requests, statements and their time, added up and written now and then.

One row per tenant and hour is added to, by one call for all tenants every few seconds, so metering costs a request a
few microseconds and no write. What a process had not written when it was killed is lost: this is for capacity and
fairness; what plans limit is counted by the database itself.
"""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import psycopg

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.settings import Settings

# How much a killed process loses at most.
FLUSH_SECONDS = 10.0

# Upper bounds double from 1 ms: the 18th holds what took up to two minutes, longer than any plan's statement.
LATENCY_BUCKETS = 18

_RECORD = "select platform.record_requests(%s::jsonb)"

_logger = logging.getLogger(__name__)


def latency_bucket(microseconds: int) -> int:
    """Return the index of the bucket for a latency: 0 for at most 1 ms, i for (2^(i-1), 2^i] ms; the last is open."""
    milliseconds = -(-microseconds // 1000)
    return min(max(milliseconds - 1, 0).bit_length(), LATENCY_BUCKETS - 1)


@dataclass
class Usage:
    """What one tenant used in one hour; times in microseconds."""

    requests: int = 0
    failures: int = 0
    refusals: int = 0
    queries: int = 0
    busy_us: int = 0
    max_us: int = 0
    latencies: list[int] = field(default_factory=lambda: [0] * LATENCY_BUCKETS)

    def add(self, other: "Usage") -> None:
        """Add what ``other`` counted."""
        self.requests += other.requests
        self.failures += other.failures
        self.refusals += other.refusals
        self.queries += other.queries
        self.busy_us += other.busy_us
        self.max_us = max(self.max_us, other.max_us)
        self.latencies = [mine + theirs for mine, theirs in zip(self.latencies, other.latencies, strict=True)]


Counted = dict[tuple[UUID, datetime], Usage]


def write_usage(connection: "psycopg.Connection[tuple[object, ...]]", counted: Counted) -> None:
    """Add ``counted`` to the cell's records, in the caller's transaction, as role ``gateway``."""
    rows = [
        {"tenant_id": str(tenant), "hour": hour.isoformat(), **vars(usage)} for (tenant, hour), usage in counted.items()
    ]
    connection.execute(_RECORD, [json.dumps(rows)])


class UsageMeter:
    """Counts for all threads and tasks of a process, and writes from a thread of its own.

    Args:
        connect: opens a connection as role ``gateway``.
        interval: seconds between two writes.
    """

    def __init__(
        self, connect: "Callable[[], psycopg.Connection[tuple[object, ...]]]", *, interval: float = FLUSH_SECONDS
    ) -> None:
        self._connect = connect
        self._interval = interval
        self._lock = threading.Lock()
        self._counted: Counted = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of_cell(cls, cell: Cell, settings: Settings | None = None) -> "UsageMeter":
        """Return the meter of a process that serves ``cell``."""
        return cls(lambda: routing.connect(cell, "gateway", application_name="capstone metering", settings=settings))

    def request(self, tenant: UUID, *, microseconds: int, queries: int, failed: bool) -> None:
        """Count a request that ran."""
        usage = Usage(1, int(failed), 0, queries, microseconds, microseconds)
        usage.latencies[latency_bucket(microseconds)] = 1
        self._add(tenant, usage)

    def refusal(self, tenant: UUID) -> None:
        """Count a request that was turned away."""
        self._add(tenant, Usage(refusals=1))

    def _add(self, tenant: UUID, usage: Usage) -> None:
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        with self._lock:
            self._counted.setdefault((tenant, hour), Usage()).add(usage)
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._write_regularly, name="usage meter", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write what was counted; what cannot be written is kept for the next time.

        Raises:
            CellUnavailableError, psycopg.Error: it could not be written.
        """
        with self._lock:
            counted, self._counted = self._counted, {}
        if not counted:
            return
        try:
            with self._connect() as connection:
                write_usage(connection, counted)
        except Exception:
            with self._lock:
                for key, usage in counted.items():
                    self._counted.setdefault(key, Usage()).add(usage)
            raise

    def _write_regularly(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                self.flush()
            except (routing.CellUnavailableError, psycopg.Error) as error:
                _logger.warning("usage is not written yet, it will be tried again: %s", type(error).__name__)

    def close(self) -> None:
        """Write the rest and end the thread.

        Raises:
            CellUnavailableError, psycopg.Error: the rest could not be written.
        """
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()
