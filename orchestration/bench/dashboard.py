"""How long a tenant waits for each query of the dashboard while others ask too and events come in.

A scratch database of the running cell ``na`` holds ten million events of 500 tenants over 30 days, the largest with a
ninth of them; the rollups are refreshed, and the marts have as many rows as dbt gives them. Today is its last day and
nearly over, the worst hour for what is counted at the moment it is asked.

Then, at the same time: twenty readers, each a thread of one other process, ask one query after the other with a pause
between, each time for another tenant, drawn by its traffic: who has most events is asked for most often. A loader
writes events of the last two hours in transactions of a thousand, at a steady rate. And the rollups are refreshed
again and again, as the schedule does. A query's time is all that a request waits: for a connection, for the tenant's
context, for the answer, for the commit.

A refresh is measured apart: of what two hours of events have changed, against counting everything again. What the
loader wrote is taken out before: it leaves eight times the events that two hours have.
"""

import multiprocessing
import random
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg.rows import TupleRow

from orchestration.bench.load import BENCH_CELL, BenchError, versions
from orchestration.bench.report import BenchReport, BenchResult, compared_seconds, this_machine
from orchestration.bench.scratch_database import scratch_database
from orchestration.cells import endpoints, routing
from orchestration.cells.regions import REGIONS
from orchestration.cells.tenant_pool import TenantPool
from orchestration.dashboard.answers import ask
from orchestration.dashboard.queries import NAMES, Name, Question
from orchestration.loading.copy_loader import Load, Scope, copy_rows, delete_own, marked, replace
from orchestration.loading.plans import load_plans
from orchestration.loading.window import ScaleSize, day_bounds
from orchestration.settings import Settings, get_settings
from orchestration.synthetic.events import generate_day
from orchestration.synthetic.merchants import Merchants, merchants

ROWS = 10_000_000
DAYS = 30
# Of all cells together; the measured one has half.
TENANTS = 1_000

READERS = 20
SECONDS = 60.0
WARM_UP_SECONDS = 5.0
# Between a reader's answer and its next question, on average: a dozen figures that are renewed every six seconds.
PAUSE_SECONDS = 0.5
# Events a second that come in meanwhile, and rows of a transaction.
LOADED_PER_SECOND = 5_000
BLOCK_ROWS = 1_000
REFRESH_SECONDS = 15.0
REFRESH_ROUNDS = 3

P99_GOAL_SECONDS = 0.1
P99_AIM_SECONDS = 0.02
REFRESH_GOAL = 0.01

_MARTS = (Path(__file__).parent / "sql" / "dashboard_marts.sql").read_bytes()
_TWO_HOURS = timedelta(hours=2)
_LATE = Load("bench/dashboard", "synthetic", "late", "generator: events")


class _Filled:
    """A scratch database with the days up to today, and what is still to come today."""

    def __init__(self, scratch: Settings, rows: int, tenants: int) -> None:
        self.scratch = scratch
        self.today: date = datetime.now(UTC).date()
        self.first_day = self.today - timedelta(days=DAYS - 1)
        self.size = ScaleSize(tenants, DAYS, round(rows / REGIONS[BENCH_CELL].share))
        # The last half hour of the day is what a dashboard shows then.
        self.at = datetime.combine(self.today, datetime.min.time(), UTC) + timedelta(hours=23, minutes=30)
        self.merchants: Merchants = merchants(BENCH_CELL, self.size, scratch.seed)

    def fill(self) -> None:
        """Load the tenants, all days and the marts, and bring rollups and statistics up to date."""
        with routing.connect(BENCH_CELL, "loader", autocommit=True, settings=self.scratch) as loader:
            with loader.transaction():
                load_plans(loader)
            with loader.cursor() as cursor:
                cursor.executemany(
                    "insert into saas.tenants (id, name, subdomain, plan) values (%s, %s, %s, 'enterprise')",
                    zip(self.merchants.ids, self.merchants.names, self.merchants.subdomains, strict=True),
                )
            for day in (self.first_day + timedelta(days=n) for n in range(DAYS)):
                start, stop = day_bounds(day)
                scope = Scope("analytics.events", time_column="time", start=start, end=stop)
                load = Load("bench/dashboard", "synthetic", day.isoformat(), "generator: events")
                replace(loader, load, scope, self.blocks(day))
        self.refresh()
        with routing.connect(BENCH_CELL, "superuser", autocommit=True, settings=self.scratch) as connection:
            psycopg.ClientCursor(connection).execute(_MARTS, {"today": self.today, "days": DAYS})
            connection.execute("vacuum analyze")
            connection.execute("checkpoint")

    def blocks(self, day: date) -> Iterator[pa.Table]:
        """Return a day's events."""
        return generate_day(BENCH_CELL, day, size=self.size, seed=self.scratch.seed, first_day=self.first_day)

    def late(self, number: int) -> pa.Table:
        """Return one more round of events of today's last two hours, in any order."""
        size = ScaleSize(self.size.tenants, DAYS, self.size.events)
        blocks = generate_day(BENCH_CELL, self.today, size=size, seed=number, first_day=self.first_day)
        table = pa.concat_tables(blocks)
        stop = pa.scalar(day_bounds(self.today)[1], table["time"].type)
        since = pa.scalar(day_bounds(self.today)[1] - _TWO_HOURS, table["time"].type)
        return table.filter(pc.and_(pc.greater_equal(table["time"], since), pc.less(table["time"], stop)))

    def write(self, loader: psycopg.Connection[TupleRow], block: pa.Table) -> None:
        """Add a block in a transaction of its own."""
        scope = self._today_alone()
        with loader.transaction():
            copy_rows(loader, scope.table, marked([block], _LATE, scope))

    def take_back(self, loader: psycopg.Connection[TupleRow]) -> None:
        """Delete all that was added, and bring the rollups and what the server knows of their pages up to date."""
        with loader.transaction():
            delete_own(loader, _LATE, self._today_alone())
        self.refresh()
        with routing.connect(BENCH_CELL, "superuser", autocommit=True, settings=self.scratch) as connection:
            connection.execute("vacuum analyze")

    def _today_alone(self) -> Scope:
        start, stop = day_bounds(self.today)
        return Scope("analytics.events", time_column="time", start=start, end=stop)

    def refresh(self) -> float:
        """Refresh the rollups as the schedule does; return the seconds."""
        return self._called("call analytics.refresh_rollups()")

    def rebuild(self) -> float:
        """Count everything in the rollups again; return the seconds."""
        start, stop = day_bounds(self.first_day)[0], day_bounds(self.today)[1]
        return self._called(f"call analytics.rebuild_rollups('{start.isoformat()}', '{stop.isoformat()}')")

    def _called(self, procedure: str) -> float:
        with routing.connect(BENCH_CELL, "migrator", autocommit=True, settings=self.scratch) as migrator:
            started = time.perf_counter()
            migrator.execute(procedure.encode())
            return time.perf_counter() - started


@contextmanager
def _loading(filled: _Filled, rows_per_second: int) -> Iterator[list[int]]:
    """Write events and refresh rollups until the block ends; yields the rows written so far."""
    ended = threading.Event()
    written = [0]
    late = filled.late(1)

    def write() -> None:
        pause = BLOCK_ROWS / rows_per_second
        due = time.perf_counter()
        with routing.connect(BENCH_CELL, "loader", autocommit=True, settings=filled.scratch) as loader:
            while not ended.wait(max(0.0, due - time.perf_counter())):
                offset = written[0] % max(1, late.num_rows - BLOCK_ROWS)
                filled.write(loader, late.slice(offset, BLOCK_ROWS))
                written[0] += min(BLOCK_ROWS, late.num_rows)
                due = max(due + pause, time.perf_counter() - 1)

    def refresh() -> None:
        while not ended.wait(REFRESH_SECONDS):
            filled.refresh()

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(write), threads.submit(refresh)]
        try:
            yield written
        finally:
            ended.set()
            for each in running:
                each.result()


def _read(
    dsn: str, tenants: Sequence[tuple[UUID, float]], at: datetime, readers: int, seconds: float
) -> dict[Name, list[float]]:
    """Ask with so many readers for so long; return each query's seconds, without those of the warming up."""
    ids, traffic = zip(*tenants, strict=True)
    until = time.perf_counter() + WARM_UP_SECONDS + seconds
    counted_from = until - seconds
    seconds_of: dict[Name, list[float]] = {name: [] for name in NAMES}

    def reader(number: int, pool: TenantPool) -> None:
        chance = random.Random(number)  # noqa: S311 -- not a secret
        place = number
        while time.perf_counter() < until:
            name = NAMES[place % len(NAMES)]
            place += 1
            started = time.perf_counter()
            ask(pool, chance.choices(ids, traffic)[0], Question(name, at))
            ended = time.perf_counter()
            if started >= counted_from:
                seconds_of[name].append(ended - started)
            time.sleep(chance.uniform(0.5, 1.5) * PAUSE_SECONDS)

    with TenantPool(dsn, min_size=readers, max_size=readers, max_per_tenant=readers) as pool:
        with ThreadPoolExecutor(readers) as threads:
            running = [threads.submit(reader, number, pool) for number in range(readers)]
        for each in running:
            each.result()
    return seconds_of


def _p99(seconds: Sequence[float], name: str) -> float:
    if len(seconds) < 2:
        raise BenchError(f"{name} was asked {len(seconds)} times: measure for longer")
    return statistics.quantiles(seconds, n=100)[98]


def _limited(name: str, value: float, goal: float) -> BenchResult:
    return BenchResult(name, round(value, 4), "s", None, None, goal, value <= goal)


def _refreshed(filled: _Filled, rounds: int) -> BenchResult:
    """Return the seconds of a refresh of two hours to those of counting everything again; medians of turns."""
    short: list[float] = []
    whole: list[float] = []
    with routing.connect(BENCH_CELL, "loader", autocommit=True, settings=filled.scratch) as loader:
        for number in range(rounds):
            filled.take_back(loader)
            filled.write(loader, filled.late(number + 2))
            short.append(filled.refresh())
            whole.append(filled.rebuild())
    return compared_seconds(
        "refresh of what two hours of events changed, to counting all days again",
        statistics.median(short),
        baseline=statistics.median(whole),
        goal=REFRESH_GOAL,
    )


def run(
    settings: Settings | None = None,
    *,
    rows: int = ROWS,
    tenants: int = TENANTS,
    seconds: float = SECONDS,
    refresh_rounds: int = REFRESH_ROUNDS,
) -> BenchReport:
    """Measure the dashboard on the running platform's cell ``na``, in a scratch database that is dropped again.

    Args:
        settings: which platform, and the generator's ``seed``.
        rows: about how many events there are.
        tenants: tenants in all cells together, of which the measured one has half.
        seconds: for which the readers ask.
        refresh_rounds: turns of a refresh and of counting everything.

    Raises:
        BenchError: sizes cannot be, or a query was hardly asked.
        ScratchDatabaseError: the scratch database cannot be made.
        CellUnavailableError: the cell cannot be reached.
    """
    settings = settings or get_settings()
    if rows < 1 or tenants < 10 or seconds <= 0 or refresh_rounds < 1:
        raise BenchError(f"{rows} events, {tenants} tenants, {seconds} s, {refresh_rounds} rounds: more is needed")
    with scratch_database(BENCH_CELL, settings) as scratch:
        filled = _Filled(scratch, rows, tenants)
        filled.fill()
        traffic = list(zip(filled.merchants.ids, filled.merchants.traffic.tolist(), strict=True))
        asked = (endpoints.dsn(BENCH_CELL, "app", settings=scratch), traffic, filled.at, READERS, seconds)
        # A process of its own: threads of this one would wait for the loader's, not for the server.
        with _loading(filled, LOADED_PER_SECOND) as written, multiprocessing.get_context("spawn").Pool(1) as process:
            before, started = written[0], time.perf_counter()
            seconds_of = process.apply(_read, asked)
            loaded = (written[0] - before) / (time.perf_counter() - started)
        refreshed = _refreshed(filled, refresh_rounds)
        with routing.connect(BENCH_CELL, "superuser", settings=scratch) as connection:
            machine = this_machine(*versions(connection))
    everything = [each for of_query in seconds_of.values() for each in of_query]
    return BenchReport(
        bench="dashboard",
        machine=machine,
        results=(
            *(
                _limited(f"99th percentile: {name}", _p99(each, name), P99_GOAL_SECONDS)
                for name, each in seconds_of.items()
            ),
            _limited("99th percentile: all queries, the aim", _p99(everything, "all"), P99_AIM_SECONDS),
            _limited("median: all queries", statistics.median(everything), P99_AIM_SECONDS),
            BenchResult("queries answered meanwhile", round(len(everything) / seconds, 1), "1/s", None, None, 1, True),
            BenchResult(
                "events loaded meanwhile",
                round(loaded, 1),
                "rows/s",
                None,
                None,
                0.9 * LOADED_PER_SECOND,
                loaded >= 0.9 * LOADED_PER_SECOND,
            ),
            refreshed,
        ),
    )
