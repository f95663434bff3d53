"""What isolation costs at ten thousand tenants, and what one tenant's flood costs the others.

In a scratch database of the running cell ``na``: tenants are created as ``capstone tenant create`` does, get the same
number of rows each, and are then asked for, proven and looked at. Query times are medians of turns that alternate
between role ``app`` under row security and a role that bypasses it with the same condition written out, each inside a
transaction that was entered before the clock starts.

For the flood, some tenants ask at a steady pace through one pool, alone and while another tenant asks as fast as a
second process's threads can, through a pool of its own; both take turns, and the median of the turns' 99th percentiles
counts.
"""

import multiprocessing
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from orchestration.bench.load import BenchError, versions
from orchestration.bench.report import BenchReport, BenchResult, compared_seconds, this_machine
from orchestration.bench.scratch_database import scratch_database
from orchestration.cells import endpoints, routing
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.tenant_context import TenantBusyError, tenant_context
from orchestration.cells.tenant_pool import TenantPool
from orchestration.loading.plans import load_plans
from orchestration.proofs.proof import prove
from orchestration.proofs.watch import look
from orchestration.settings import Settings, get_settings
from orchestration.tenancy.creating import TenantSpec, create_tenants

BENCH_CELL: Cell = "na"

TENANTS = 10_000
ROWS_PER_TENANT = 100

# Turns of the two roles; each asks another tenant.
QUERIES = 2_000
WARM_UP = 50

ROW_SECURITY_GOAL = 1.25
CREATION_GOAL_SECONDS = 60.0
SUITE_GOAL_SECONDS = 30.0
TICK_GOAL_SECONDS = 1.0
FLOOD_GOAL = 2.0

# What the tenants beside the flood do: so many, each with a pause between two requests.
NEIGHBOURS = 4
PAUSE_SECONDS = 0.01
FLOOD_SECONDS = 6.0
FLOOD_ROUNDS = 3
FLOOD_THREADS = 16
FLOOD_POOL = 8

_PRODUCTS = (Path(__file__).parent / "sql" / "tenant_products.sql").read_bytes()
_ASK = "select count(*), sum(p.base_price) from ecommerce.products as p where p.status = 'active'"
_ASK_EXPLICITLY = f"{_ASK} and p.tenant_id = %s"


def _limited(name: str, value: float, goal: float) -> BenchResult:
    return BenchResult(name, round(value, 3), "s", None, None, goal, value <= goal)


def _fill(scratch: Settings, tenants: int, rows: int) -> tuple[list[UUID], float]:
    """Create the tenants and their rows; return their ids and how long creating them took."""
    with routing.connect(BENCH_CELL, "loader", settings=scratch) as connection:
        load_plans(connection)
    specs = [TenantSpec(f"Shop {number}", f"bench-{number}", model="shared") for number in range(tenants)]
    started = time.perf_counter()
    created = create_tenants(BENCH_CELL, specs, scratch)
    seconds = time.perf_counter() - started
    with routing.connect(BENCH_CELL, "loader", settings=scratch) as connection:
        connection.execute(_PRODUCTS, {"products": rows})
    with routing.connect(BENCH_CELL, "superuser", autocommit=True, settings=scratch) as connection:
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
    return [each.tenant.id for each in created], seconds


def _ask(cursor: psycopg.Cursor[TupleRow], query: str, parameters: Sequence[object], expected: int) -> float:
    started = time.perf_counter()
    row = cursor.execute(query, parameters).fetchone()
    seconds = time.perf_counter() - started
    if row is None or row[0] != expected:
        raise BenchError(f"a tenant sees {row[0] if row else 'none'} of its {expected} rows: nothing was measured")
    return seconds


def _row_security(scratch: Settings, tenants: Sequence[UUID], rows: int, queries: int) -> BenchResult:
    secured: list[float] = []
    explicit: list[float] = []
    chosen = random.Random(0).choices(tenants, k=queries + WARM_UP)  # noqa: S311 (not a secret)
    with (
        routing.connect(BENCH_CELL, "app", settings=scratch) as app,
        routing.connect(BENCH_CELL, "loader", settings=scratch) as loader,
        app.cursor() as as_app,
        loader.cursor() as as_loader,
    ):
        for number, tenant in enumerate(chosen):
            for turn in (0, 1) if number % 2 else (1, 0):
                if turn:
                    with tenant_context(app, tenant):
                        secured.append(_ask(as_app, _ASK, (), rows))
                else:
                    with loader.transaction():
                        explicit.append(_ask(as_loader, _ASK_EXPLICITLY, (tenant,), rows))
    return compared_seconds(
        "a tenant's query under row security, to an explicit condition",
        statistics.median(secured[WARM_UP:]),
        baseline=statistics.median(explicit[WARM_UP:]),
        goal=ROW_SECURITY_GOAL,
    )


@contextmanager
def _proving(scratch: Settings) -> Iterator[Settings]:
    """Yield settings with a state directory of their own: the data docs of the cell stay as they are."""
    with tempfile.TemporaryDirectory(prefix="capstone-bench-") as directory:
        home = Path(directory)
        for path in (endpoints.engines_file(scratch), endpoints.secrets_file(scratch)):
            (home / path.name).symlink_to(path)
        yield scratch.model_copy(update={"home": home})


def _proofs(scratch: Settings) -> list[BenchResult]:
    with _proving(scratch) as settings:
        started = time.perf_counter()
        proofs = prove(BENCH_CELL, ["tenant_isolation"], settings=settings)
        proving = time.perf_counter() - started
        if any(proof.verdict == "error" for proof in proofs):
            raise BenchError("the scratch database could not be proven: `capstone verify isolation` says why")
        started = time.perf_counter()
        for _ in CELLS:
            look(BENCH_CELL, "tenant_isolation", settings=settings)
        ticking = time.perf_counter() - started
    return [
        _limited("the isolation suite of a cell", proving, SUITE_GOAL_SECONDS),
        _limited("a sensor's tick over three cells", ticking, TICK_GOAL_SECONDS),
    ]


def _request(pool: TenantPool, tenant: UUID) -> None:
    with pool.tenant(tenant) as connection:
        connection.execute(_ASK).fetchone()


def _flood(dsn: str, tenant: UUID, ready: Event, ended: Event) -> None:
    """Ask as fast as threads can, until told to end."""

    def ask(pool: TenantPool) -> None:
        while not ended.is_set():
            try:
                _request(pool, tenant)
            except TenantBusyError:
                ended.wait(PAUSE_SECONDS)

    with TenantPool(dsn, max_size=FLOOD_POOL) as pool:
        threads = [threading.Thread(target=ask, args=(pool,)) for _ in range(FLOOD_THREADS)]
        for thread in threads:
            thread.start()
        ready.set()
        for thread in threads:
            thread.join()


@contextmanager
def _flooded(dsn: str, tenant: UUID) -> Iterator[None]:
    # A process of its own: threads of this one would wait for each other, not for the server.
    context = multiprocessing.get_context("spawn")
    ready, ended = context.Event(), context.Event()
    process = context.Process(target=_flood, args=(dsn, tenant, ready, ended), daemon=True)
    process.start()
    try:
        if not ready.wait(60):
            raise BenchError("the flood did not begin within a minute")
        yield
    finally:
        ended.set()
        process.join(30)
        if process.is_alive():
            process.kill()
            process.join()


def _neighbours(pool: TenantPool, tenants: Sequence[UUID], seconds: float) -> float:
    """Return the worst of the tenants' 99th percentiles."""
    latencies: dict[UUID, list[float]] = {tenant: [] for tenant in tenants}
    until = time.perf_counter() + seconds

    def ask(tenant: UUID) -> None:
        while time.perf_counter() < until:
            started = time.perf_counter()
            _request(pool, tenant)
            latencies[tenant].append(time.perf_counter() - started)
            time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=ask, args=(tenant,)) for tenant in tenants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(statistics.quantiles(each, n=100)[98] for each in latencies.values())


def _noisy_neighbour(scratch: Settings, tenants: Sequence[UUID], seconds: float, rounds: int) -> BenchResult:
    dsn = endpoints.dsn(BENCH_CELL, "app", settings=scratch)
    alone: list[float] = []
    flooded: list[float] = []
    with TenantPool(dsn, min_size=NEIGHBOURS, max_size=2 * NEIGHBOURS) as pool:
        modest = tenants[:NEIGHBOURS]
        _neighbours(pool, modest, min(seconds, 1.0))
        for _ in range(rounds):
            alone.append(_neighbours(pool, modest, seconds))
            with _flooded(dsn, tenants[-1]):
                flooded.append(_neighbours(pool, modest, seconds))
    return compared_seconds(
        "99th percentile of a tenant's requests while another floods, to without",
        statistics.median(flooded),
        baseline=statistics.median(alone),
        goal=FLOOD_GOAL,
    )


def run(
    settings: Settings | None = None,
    *,
    tenants: int = TENANTS,
    rows: int = ROWS_PER_TENANT,
    queries: int = QUERIES,
    flood_seconds: float = FLOOD_SECONDS,
    flood_rounds: int = FLOOD_ROUNDS,
) -> BenchReport:
    """Measure tenancy on the running platform's cell ``na``, in a scratch database that is dropped again.

    Args:
        settings: which platform.
        tenants: tenants that are created.
        rows: rows of each.
        queries: turns of the query under row security and of the same without.
        flood_seconds: how long the neighbours ask in each turn.
        flood_rounds: turns without and with the flood.

    Raises:
        BenchError: sizes cannot be, a tenant does not see its own rows, or the database could not be proven.
        ScratchDatabaseError: the scratch database cannot be made.
        CellUnavailableError: a cell cannot be reached.
    """
    settings = settings or get_settings()
    if tenants <= NEIGHBOURS or min(rows, queries, flood_rounds) < 1:
        raise BenchError(
            f"{tenants} tenants, {rows} rows, {queries} queries, {flood_rounds} rounds: more than {NEIGHBOURS} tenants "
            "and at least one of the others are needed"
        )
    results: list[BenchResult] = []
    with scratch_database(BENCH_CELL, settings) as scratch:
        made, seconds = _fill(scratch, tenants, rows)
        results.append(_row_security(scratch, made, rows, queries))
        results.append(_limited(f"creating {tenants} tenants", seconds, CREATION_GOAL_SECONDS))
        results.extend(_proofs(scratch))
        results.append(_noisy_neighbour(scratch, made, flood_seconds, flood_rounds))
        with routing.connect(BENCH_CELL, "superuser", settings=scratch) as connection:
            machine = this_machine(*versions(connection))
    return BenchReport(bench="tenancy", machine=machine, results=tuple(results))
