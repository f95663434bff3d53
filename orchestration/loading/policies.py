"""What keeps a cell's events and rollups: what each policy last did, and the ones that no server runs by itself.

On the Community edition TimescaleDB runs them as jobs of its own; on the Apache edition a schedule calls them here, and
``analytics.policies`` tells of both alike.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.settings import Settings

REFRESH = "refresh of rollups"
RETENTION = "retention of events"

# What is behind by more than this is not being kept: refreshes start every five minutes, retention every night; the
# Community edition compresses and drops twice and once a day.
MOST_BEHIND = {"refresh": timedelta(hours=1), "retention": timedelta(days=3), "compression": timedelta(days=2)}

_DAY = timedelta(days=1)
_POLICIES: LiteralString = (
    "select name, kind, last_started, last_finished, last_status, next_start, behind, detail "
    "from analytics.policies order by kind, name"
)
_STARTED: LiteralString = (
    "insert into analytics.policy_runs (name, last_started, last_status) values (%s, clock_timestamp(), 'running') "
    "on conflict (name) do update set last_started = excluded.last_started, last_status = 'running'"
)
_ENDED: LiteralString = (
    "update analytics.policy_runs set last_finished = clock_timestamp(), last_status = %s where name = %s"
)


@dataclass(frozen=True)
class Policy:
    """A policy of a cell: when it last ran, when it runs next, and how old the oldest thing is that it has to do."""

    name: str
    kind: str
    last_started: datetime | None
    last_finished: datetime | None
    last_status: str | None
    next_start: datetime | None
    behind: timedelta
    detail: str

    @property
    def trouble(self) -> str | None:
        """What is wrong with it, None if nothing is."""
        if self.last_status == "failed":
            return f"{self.name}: its last run failed"
        if self.behind > MOST_BEHIND[self.kind]:
            return f"{self.name}: behind by {self.behind - timedelta(microseconds=self.behind.microseconds)}"
        return None


def policies(cell: Cell, settings: Settings | None = None) -> tuple[Policy, ...]:
    """Return the policies of ``cell``.

    Raises:
        CellUnavailableError: the cell does not answer.
    """
    with _connect(cell, "auditor", settings) as connection:
        return tuple(Policy(*row) for row in connection.execute(_POLICIES))


def has_changed(cell: Cell, settings: Settings | None = None) -> bool:
    """Return whether there is anything to refresh here; on the Community edition, whose server does it, never."""
    with _connect(cell, "auditor", settings) as connection:
        return _is_scheduled(connection) and bool(_changed_days(connection))


def refresh_rollups(cell: Cell, settings: Settings | None = None) -> int:
    """Count what changed again, each day in a transaction of its own; return how many days were touched.

    The current day's hours are kept, its daily buckets are left to readers. On the Community edition nothing is done.
    A refresh that is killed has kept the days before; what it did not commit is as changed as it was.
    """
    with _connect(cell, "migrator", settings) as connection:
        if not _is_scheduled(connection):
            return 0
        with _recorded(connection, REFRESH):
            today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            days = _changed_days(connection)
            for day in days:
                until = None if day >= today else day + _DAY
                connection.execute("call analytics.refresh_rollups(%s, %s)", (day, until))
            return len(days)


def drop_expired_events(cell: Cell, before: datetime, settings: Settings | None = None) -> None:
    """Drop the days of events that ended by ``before``, at least a year ago, and what the rollups keep of them."""
    with _connect(cell, "migrator", settings) as connection, _recorded(connection, RETENTION):
        connection.execute("call analytics.drop_events_before(%s)", (before,))


def _connect(cell: Cell, role: Any, settings: Settings | None) -> psycopg.Connection[Any]:
    return routing.connect(cell, role, autocommit=True, application_name="capstone policies", settings=settings)


def _is_scheduled(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("select to_regclass('analytics.policy_runs') is not null").fetchone()
    return row is not None and bool(row[0])


def _changed_days(connection: psycopg.Connection[Any]) -> list[datetime]:
    query: LiteralString = (Path(__file__).parent / "sql" / "changed_days.sql").read_text()
    return [day for (day,) in connection.execute(query)]


@contextmanager
def _recorded(connection: psycopg.Connection[Any], name: str) -> Iterator[None]:
    if not _is_scheduled(connection):
        yield
        return
    connection.execute(_STARTED, (name,))
    try:
        yield
    except BaseException:
        if not connection.broken:
            connection.execute(_ENDED, ("failed", name))
        raise
    connection.execute(_ENDED, ("success", name))
