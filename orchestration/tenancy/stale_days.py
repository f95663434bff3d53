"""Days whose figures are to be built again because events of them were erased: marked, told, and planned as builds.

Marked in the transaction that deletes (``analytics.stale_days``). Every dbt build that has built all models takes away
what it covered (``dbt_project/macros/governance/stale_days.sql``), whoever started it: the platform's sensor, its daily
schedule, or somebody in a shell.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from psycopg import sql

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.settings import Settings, get_settings
from orchestration.tenancy.holdings import Connection, statement

# Days this near to each other are one build, with those between: to start one costs more than they do, and the window
# of a funnel makes a day's build read the week before it anyway.
JOINED_DAYS = 7

_READ = """
    select
        count(distinct tenant_id),
        count(*) filter (where day = '-infinity'),
        array_agg(distinct day order by day) filter (where day > '-infinity'),
        min(since),
        count(*),
        sum(marks)::bigint
    from analytics.stale_days
"""
_DAYS_OF_MODELS = """
    insert into analytics.stale_days as here (tenant_id, day, is_history)
    select d.tenant_id, d.day, bool_or(d.is_history)
    from intermediate.int_tenant_days as d
    where d.tenant_id = %s
    group by d.tenant_id, d.day
    order by d.day
    on conflict (tenant_id, day) do update
    set is_history = here.is_history or excluded.is_history, marks = here.marks + 1, claimed_by = null
"""


@dataclass(frozen=True)
class StaleDays:
    """What of a cell's figures is to be built again.

    Attributes:
        cell: the cell.
        tenants: of how many tenants.
        days: which days (UTC), of whatever tenant, in order.
        whole: whether figures without days are to be built again too; every build does that.
        since: when the oldest of it was marked; None if nothing is to be built.
        count: days of tenants, each once for each tenant; figures without days count as one.
        marks: how often something was marked; with another number it is another state.
    """

    cell: Cell
    tenants: int
    days: tuple[date, ...]
    whole: bool
    since: datetime | None
    count: int
    marks: int

    def describe(self) -> str:
        """Return one line for people; how it is done by hand, too."""
        if self.since is None:
            return f"{self.cell}: all figures are built"
        tenants = f"{self.tenants} tenants" if self.tenants != 1 else "1 tenant"
        days = f"{len(self.days)} days" if len(self.days) != 1 else "1 day"
        return (
            f"{self.cell}: figures of {tenants} on {days} are to be built again, since "
            f"{self.since:%Y-%m-%d %H:%M}. The platform does it while it runs; by hand: "
            f'eval "$(capstone env {self.cell})"; dbt build --project-dir dbt_project'
        )


@dataclass(frozen=True)
class Build:
    """A build that is needed: of the days from ``first`` to ``last``, or, where ``all_days``, of whatever there is."""

    first: date
    last: date
    all_days: bool = False


def mark(connection: Connection, tenant_id: UUID, live: sql.Composable, history: sql.Composable) -> int:
    """Mark the days of events that are going to be deleted, in the caller's transaction; return how many.

    Figures without days are marked too: what a tenant has of persons is in them, whether they left events or not.

    Args:
        connection: the transaction that deletes, as migrator, loader or transformer.
        tenant_id: whose events.
        live, history: conditions on ``analytics.events`` and ``analytics.events_history`` that select them.
    """
    query = sql.SQL(statement("mark_stale_days")).format(tenant=sql.Literal(tenant_id), live=live, history=history)
    return connection.execute(query).rowcount - 1


def mark_all_of(connection: Connection, tenant_id: UUID) -> int:
    """Mark every day that the tenant's models have, in the caller's transaction; return how many."""
    row = connection.execute("select to_regclass('intermediate.int_tenant_days') is not null").fetchone()
    if row is None or not row[0]:
        return 0
    return connection.execute(_DAYS_OF_MODELS.encode(), (tenant_id,)).rowcount


def stale_days(cell: Cell, settings: Settings | None = None) -> StaleDays:
    """Return what of a cell's figures is to be built again.

    Raises:
        CellUnavailableError: the cell does not answer.
    """
    with routing.connect(cell, "auditor", autocommit=True, settings=settings or get_settings()) as connection:
        row = connection.execute(_READ.encode()).fetchone()
    tenants, whole, days, since, count, marks = row if row is not None else (0, 0, None, None, 0, None)
    return StaleDays(cell, tenants, tuple(days or ()), whole > 0, since, count, marks or 0)


def builds(stale: StaleDays, known: Sequence[date]) -> list[Build]:
    """Return the builds that make the figures of a cell those of a rebuild.

    Args:
        stale: what is to be built again.
        known: the days that are over and that the platform builds one by one, in order. Days before them are of old
            imports: only a build of all days brings those. Days after them have not ended: they are built when they
            have.
    """
    if stale.since is None or not known:
        return []
    if stale.days and stale.days[0] < known[0]:
        return [Build(known[-1], known[-1], all_days=True)]
    spans = _joined(day for day in stale.days if day <= known[-1])
    # Without a day of their own figures are built with any: the newest costs least.
    return spans or ([Build(known[-1], known[-1])] if stale.whole else [])


def _joined(days: Iterable[date]) -> list[Build]:
    found: list[Build] = []
    for day in days:
        if found and day - found[-1].last <= timedelta(days=JOINED_DAYS):
            found[-1] = Build(found[-1].first, day)
        else:
            found.append(Build(day, day))
    return found
