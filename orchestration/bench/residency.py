"""What residency costs a request, and how long its proofs take.

**Routing**, in a scratch database of the running cell ``na``: the same query of one row, by its key, through a pool of
the cell and through `PostgresCells`, which has to find the cell first. The two take turns, so that whatever else the
machine does is in both; a round's result is the median of what routing took longer in the same turn. Each round has new
connections, and the quietest counts: on an idle machine whole rounds have one of the two wait for a sleeping processor,
three times 50 microseconds, which is the scheduler's choice and no cost of either. Both ask as role
auditor, in a transaction of their own, in sessions with the same settings (a statement timeout alone costs some 30
microseconds, and no pool should be without). A read of a person also looks at the person's record, which is a query
more; that is measured apart. The other cells are asked for a person once, and then the home is known.

**Readers**: fifty threads of one process, each with a connection of its own, each read one person out of many, at home,
and pause as long as a person who looks at a page would not: 50 ms. A read's time is all that a request waits. The
baseline is the same readers with a plain pool, just before.

**Proofs**: the residency suite in each cell, one after the other, as `capstone verify residency` proves it, and what a
sensor's tick does in three cells. These look at the platform as it is, at the scale that it was filled with. The
lineage check of a cell is measured on the project as dbt has compiled it: it is compiled again only when it changes,
and that is dbt's time.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from orchestration.bench.load import BENCH_CELL, BenchError, versions
from orchestration.bench.report import BenchReport, BenchResult, this_machine
from orchestration.bench.scratch_database import scratch_database
from orchestration.cells import endpoints, routing
from orchestration.cells.cell_pools import PoolLimits
from orchestration.cells.outcome import Connection
from orchestration.cells.postgres_cells import PostgresCells
from orchestration.cells.region_choice import REGION_HEADER, Subject
from orchestration.cells.regions import CELLS
from orchestration.cells.routing import session_options
from orchestration.lineage.compiling import compiled
from orchestration.lineage.proof import prove_lineage
from orchestration.proofs.verify import UNPROVEN, verify
from orchestration.proofs.watch import look
from orchestration.settings import Settings, get_settings

PERSONS = 10_000
ROUNDS = 12
TURNS = 400
WARM_UP_TURNS = 100

READERS = 50
SECONDS = 20.0
WARM_UP_SECONDS = 2.0
# About a thousand reads a second of all readers together.
PAUSE_SECONDS = 0.05

ROUTING_GOAL_MICROSECONDS = 50.0
# One query more in the same transaction must not cost more than a transaction of its own would.
PERSON_GOAL_MICROSECONDS = 200.0
P99_GOAL_SECONDS = 0.05
SUITE_GOAL_SECONDS = 30.0
TICK_GOAL_SECONDS = 1.0
LINEAGE_GOAL_SECONDS = 10.0

_PERSONS = """
    insert into geo.users (id, email, region)
    select p.id, p.id || '@people.example', 'na' from unnest(%s::uuid[]) as p (id)
"""
_READ = "select u.profile from geo.users as u where u.id = %s"


def _limited(name: str, value: float, unit: str, goal: float, baseline: float | None = None) -> BenchResult:
    """Return a result that must not be more than its goal; a baseline is shown and not part of the goal."""
    ratio = None if baseline is None else round(value / baseline, 3)
    shown = None if baseline is None else round(baseline, 4)
    return BenchResult(name, round(value, 4), unit, shown, ratio, goal, value <= goal)


def _read(person: UUID) -> Callable[[Connection], object]:
    def work(connection: Connection) -> object:
        row = connection.execute(_READ, [person]).fetchone()
        if row is None:
            raise BenchError("a person of the benchmark is gone: does another benchmark run?")
        return row

    return work


def _turns(ways: dict[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    """Return the microseconds of each way in each turn; within one, the ways follow in an order that changes."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways.items())
    for turn in range(WARM_UP_TURNS + turns):
        order.append(order.pop(0))
        for name, way in order:
            started = time.perf_counter_ns()
            way()
            if turn >= WARM_UP_TURNS:
                taken[name].append((time.perf_counter_ns() - started) / 1000)
    return taken


def _added(taken: dict[str, list[float]], way: str) -> float:
    """Return the median of what a way took more than the direct one in the same turn."""
    return statistics.median(one - direct for one, direct in zip(taken[way], taken["direct"], strict=True))


def _pool(scratch: Settings, size: int) -> ConnectionPool[psycopg.Connection[TupleRow]]:
    """Return a pool of the cell as one would have without routing, its sessions with the same settings."""
    return ConnectionPool(
        endpoints.dsn(BENCH_CELL, "auditor", settings=scratch),
        kwargs={"options": session_options(PoolLimits().statement, read_only=True)},
        min_size=1,
        max_size=size,
        open=True,
    )


def _routing(scratch: Settings, person: UUID, turns: int) -> list[BenchResult]:
    """Return what routing adds, and a look at the person too; each of the round in which it was least."""
    rounds = []
    for _ in range(ROUNDS):
        with PostgresCells(scratch, limits=PoolLimits(size=READERS), metered=False) as cells:
            rounds.append(_round(scratch, cells, person, turns))
    routed, routed_baseline = min((routed, direct) for direct, routed, _ in rounds)
    person_too, person_baseline = min((person_too, direct) for direct, _, person_too in rounds)
    return [
        _limited("what routing adds to a pooled query", routed, "us", ROUTING_GOAL_MICROSECONDS, routed_baseline),
        _limited(
            "what routing and a look at the person's record add",
            person_too,
            "us",
            PERSON_GOAL_MICROSECONDS,
            person_baseline,
        ),
    ]


def _round(scratch: Settings, cells: PostgresCells, person: UUID, turns: int) -> tuple[float, float, float]:
    """Return medians in microseconds: of the plain query, of what routing adds, of what a look at the person adds."""
    work = _read(person)
    by_header = Subject(headers={"X-Region": BENCH_CELL})
    by_person = Subject(person=person, headers={REGION_HEADER: BENCH_CELL})
    with _pool(scratch, 1) as pool:

        def direct() -> None:
            with pool.connection() as connection:
                work(connection)

        taken = _turns(
            {
                "direct": direct,
                "routed": lambda: cells.read(by_header, work),
                "person": lambda: cells.read(by_person, work),
            },
            turns,
        )
    return statistics.median(taken["direct"]), _added(taken, "routed"), _added(taken, "person")


def _p99(read: Callable[[UUID], object], persons: list[UUID], seconds: float) -> float:
    """Return the 99th percentile of the seconds that a read took."""
    until = time.perf_counter() + WARM_UP_SECONDS + seconds
    counted_from = until - seconds

    def reader(number: int) -> list[float]:
        chance = random.Random(number)  # noqa: S311 -- not a secret
        taken: list[float] = []
        while time.perf_counter() < until:
            person = chance.choice(persons)
            started = time.perf_counter()
            read(person)
            if started >= counted_from:
                taken.append(time.perf_counter() - started)
            time.sleep(chance.uniform(0.5, 1.5) * PAUSE_SECONDS)
        return taken

    with ThreadPoolExecutor(READERS) as threads:
        taken = [one for each in threads.map(reader, range(READERS)) for one in each]
    if len(taken) < 100:
        raise BenchError(f"{len(taken)} reads in {seconds:g} s: measure for longer")
    return statistics.quantiles(taken, n=100)[98]


def _readers(scratch: Settings, cells: PostgresCells, persons: list[UUID], seconds: float) -> BenchResult:
    with _pool(scratch, READERS) as pool:

        def direct(person: UUID) -> None:
            with pool.connection() as connection:
                _read(person)(connection)

        baseline = _p99(direct, persons, seconds)
    p99 = _p99(lambda person: cells.read(Subject(person=person), _read(person)), persons, seconds)
    return _limited(f"99th percentile of a local read with {READERS} readers", p99, "s", P99_GOAL_SECONDS, baseline)


def _requests(scratch: Settings, *, persons: int, turns: int, seconds: float) -> Iterable[BenchResult]:
    ids = [uuid4() for _ in range(persons)]
    with routing.connect(BENCH_CELL, "loader", settings=scratch) as loader:
        loader.execute(_PERSONS, [ids])
    yield from _routing(scratch, ids[0], turns)
    # A reader asks for a person anew now and then, so all find their connection free.
    with PostgresCells(scratch, limits=PoolLimits(size=READERS), metered=False) as cells:
        yield _readers(scratch, cells, ids, seconds)


def _proofs(settings: Settings) -> Iterable[BenchResult]:
    started = time.perf_counter()
    verification = verify("residency", CELLS, settings=settings)
    proving = time.perf_counter() - started
    if verification.exit_code == UNPROVEN:
        raise BenchError("the cells could not be proven: `capstone verify residency` says why")
    started = time.perf_counter()
    for cell in CELLS:
        look(cell, "geo_residency", settings=settings)
    ticking = time.perf_counter() - started
    yield _limited("the residency suite of three cells", proving, "s", SUITE_GOAL_SECONDS)
    yield _limited("a sensor's tick over three cells", ticking, "s", TICK_GOAL_SECONDS)
    compiled(BENCH_CELL, settings)
    started = time.perf_counter()
    if prove_lineage(BENCH_CELL, settings).verdict == "error":
        raise BenchError("the lineage could not be proven: `capstone verify lineage` says why")
    yield _limited("the lineage check of a cell", time.perf_counter() - started, "s", LINEAGE_GOAL_SECONDS)


def run(
    settings: Settings | None = None,
    *,
    persons: int = PERSONS,
    turns: int = TURNS,
    seconds: float = SECONDS,
) -> BenchReport:
    """Measure residency on the running platform; requests in a scratch database of cell ``na`` that is dropped again.

    Args:
        settings: which platform.
        persons: persons that readers read.
        turns: of a query directly and routed.
        seconds: for which the readers read.

    Raises:
        BenchError: sizes cannot be, or the cells could not be proven.
        CompileError: dbt cannot compile the project.
        ScratchDatabaseError: the scratch database cannot be made.
        CellUnavailableError: a cell cannot be reached.
    """
    settings = settings or get_settings()
    if min(persons, turns) < 1 or seconds <= 0:
        raise BenchError(f"{persons} persons, {turns} turns, {seconds:g} s: at least one of each is needed")
    results = list(_proofs(settings))
    with scratch_database(BENCH_CELL, settings) as scratch:
        results.extend(_requests(scratch, persons=persons, turns=turns, seconds=seconds))
        with routing.connect(BENCH_CELL, "superuser", settings=scratch) as connection:
            machine = this_machine(*versions(connection))
    return BenchReport(bench="residency", machine=machine, results=tuple(results))
