"""How fast events are generated and loaded, against ``psql`` copying ready-made text into the same hypertable.

Generator, loader and psql take turns in every round, in an order that rotates, on the same server and table; what is
reported is the median of the rounds. The loader's time is all of a replacement: encoding, COPY, the record of the
load and the commit. psql's is COPY and commit of text that was written before.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import psycopg
import pyarrow as pa
from psycopg.rows import TupleRow

from orchestration.bench.report import BenchReport, compared, this_machine
from orchestration.bench.scratch_database import scratch_database
from orchestration.cells import endpoints, routing
from orchestration.cells.regions import REGIONS, Cell
from orchestration.loading.copy_loader import MAX_BLOCK_ROWS, Load, Scope, replace
from orchestration.loading.window import ScaleSize, day_bounds
from orchestration.settings import Settings, get_settings
from orchestration.synthetic.events import generate_day

BENCH_CELL: Cell = "na"

# Enough that a second of start-up does not count, few enough that the text fits a small disk: 300 MB.
ROWS = 1_000_000
ROUNDS = 3

# The generator must never be what a load waits for; the loader must not be slower than psql is with ready-made text;
# and both together, one after the other in one process, must stay near it.
GENERATOR_GOAL = 2.0
LOADER_GOAL = 1.0
BOTH_GOAL = 0.8

_TENANTS = 50


class BenchError(RuntimeError):
    """The benchmark cannot run; the message says why and the way out."""


def _timed(rows: int, action: Callable[[], object]) -> float:
    """Return rows per second of ``action``."""
    started = time.perf_counter()
    action()
    return rows / (time.perf_counter() - started)


def _psql(dsn: str, command: str) -> None:
    """Run ``command`` in psql; the password goes by its environment, for arguments are everybody's to read."""
    program = shutil.which("psql")
    if program is None:
        raise BenchError("psql is not on PATH: install the package postgresql-client")
    url = urlsplit(dsn)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment |= {
        "PGHOST": url.hostname or "127.0.0.1",
        "PGPORT": str(url.port or 5432),
        "PGUSER": unquote(url.username or ""),
        "PGPASSWORD": unquote(url.password or ""),
        "PGDATABASE": unquote(url.path.lstrip("/")),
    }
    ended = subprocess.run(
        [program, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--command", command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise BenchError(f"psql failed: {ended.stderr.strip()}")


class _Contest:
    """The contestants, on one table of a scratch database."""

    def __init__(self, scratch: Settings, seed: int, rows: int, directory: Path) -> None:
        self.rows = rows
        self.seed = seed
        self.day: date = datetime.now(UTC).date() - timedelta(days=1)
        self.size = ScaleSize(_TENANTS, 1, round(rows / REGIONS[BENCH_CELL].share))
        self.load = Load("bench/load", "synthetic", self.day.isoformat(), "generator: events")
        start, end = day_bounds(self.day)
        self.scope = Scope("analytics.events", time_column="time", start=start, end=end)
        self.text = directory / "events.txt"
        self.dsn = endpoints.dsn(BENCH_CELL, "loader", settings=scratch)
        self.loader = routing.connect(BENCH_CELL, "loader", autocommit=True, settings=scratch)
        self.administrator = routing.connect(BENCH_CELL, "superuser", autocommit=True, settings=scratch)
        self.blocks: Sequence[pa.Table] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loader.close()
        self.administrator.close()

    def generated(self) -> list[pa.Table]:
        """Return the day's events."""
        return list(generate_day(BENCH_CELL, self.day, size=self.size, seed=self.seed, first_day=self.day))

    def prepare(self) -> None:
        """Make the rows, and the same rows as text, in the same order; everything is warm afterwards."""
        self.blocks = self.generated()
        replace(self.loader, self.load, self.scope, self.blocks)
        _psql(self.dsn, rf"\copy (table analytics.events) to '{self.text}'")

    def emptied(self) -> None:
        """Empty the table, and let the server write what it still has to, outside of anybody's time."""
        self.administrator.execute("truncate analytics.events")
        self.administrator.execute("checkpoint")

    def generate(self) -> float:
        """Return the generator's rows per second."""
        return _timed(self.rows, self.generated)

    def copy_by_loader(self) -> float:
        """Return the loader's rows per second from Arrow blocks."""
        self.emptied()
        return _timed(self.rows, lambda: replace(self.loader, self.load, self.scope, self.blocks))

    def copy_by_psql(self) -> float:
        """Return psql's rows per second from text."""
        self.emptied()
        return _timed(self.rows, lambda: _psql(self.dsn, rf"\copy analytics.events from '{self.text}'"))

    def generate_and_copy(self) -> float:
        """Return rows per second of the generator feeding the loader."""
        self.emptied()
        blocks = generate_day(BENCH_CELL, self.day, size=self.size, seed=self.seed, first_day=self.day)
        return _timed(self.rows, lambda: replace(self.loader, self.load, self.scope, blocks))


def versions(connection: psycopg.Connection[TupleRow]) -> tuple[str, str]:
    """Return the versions of PostgreSQL and of TimescaleDB with its edition."""
    row = connection.execute(
        "select current_setting('server_version'), "
        "(select extversion from pg_extension where extname = 'timescaledb') || ' ' "
        "|| current_setting('timescaledb.license')"
    ).fetchone()
    return (str(row[0]), str(row[1])) if row else ("?", "?")


def run(settings: Settings | None = None, *, rows: int = ROWS, rounds: int = ROUNDS) -> BenchReport:
    """Measure generator and loader against psql on the running platform's cell ``na``.

    Everything happens in a scratch database that is dropped again, also after Ctrl-C.

    Args:
        settings: which platform, and the generator's ``seed``.
        rows: events per turn, at most ``MAX_BLOCK_ROWS``, all of them in memory.
        rounds: turns of each; the median counts.

    Raises:
        BenchError: psql is missing or fails, ``rows`` or ``rounds`` cannot be.
        ScratchDatabaseError: the scratch database cannot be made.
        CellUnavailableError: the cell cannot be reached.
    """
    settings = settings or get_settings()
    if not 1 <= rows <= MAX_BLOCK_ROWS or rounds < 1:
        raise BenchError(f"{rows} rows in {rounds} rounds: give 1 to {MAX_BLOCK_ROWS} rows and at least one round")
    with (
        scratch_database(BENCH_CELL, settings) as scratch,
        tempfile.TemporaryDirectory(prefix="capstone-bench-") as directory,
        _Contest(scratch, settings.seed, rows, Path(directory)) as contest,
    ):
        contest.prepare()
        turns = (contest.generate, contest.copy_by_loader, contest.copy_by_psql, contest.generate_and_copy)
        speeds: dict[str, list[float]] = {turn.__name__: [] for turn in turns}
        for number in range(rounds):
            for place in range(len(turns)):
                turn = turns[(place + number) % len(turns)]
                speeds[turn.__name__].append(turn())
        machine = this_machine(*versions(contest.administrator))
    median = {name: statistics.median(values) for name, values in speeds.items()}
    psql = median["copy_by_psql"]
    return BenchReport(
        bench="load",
        machine=machine,
        results=(
            compared("generator", median["generate"], "rows/s", baseline=psql, goal=GENERATOR_GOAL),
            compared("loader", median["copy_by_loader"], "rows/s", baseline=psql, goal=LOADER_GOAL),
            compared("generator into loader", median["generate_and_copy"], "rows/s", baseline=psql, goal=BOTH_GOAL),
        ),
    )
