"""How fast funnels and cohorts are, against DuckDB and the plain join on the same rows; and what a day's run costs.

A scratch database is filled with synthetic events by the project's own loaders, proven, and built by dbt. Then the
contestants take turns in every round, in an order that rotates; what is reported is the median of the rounds. Each
must give the same numbers, or there is no report. DuckDB has its rows in memory and all cores.

A day's run is dbt's own with the configured funnels and cohorts, for a day whose events have just come, in a database
with a year of data and in one with the last month of the same year, in turns, so that the day itself is the same; each
round takes the next day. Its time is what dbt spent in its models, without its start of five seconds, which is the same
in both; and what PostgreSQL's processes spent on the processor, which is less at the mercy of a machine's other work.
The year has about 2.5 million events in the cell, 10,000 on its last day: a larger one takes hours to load and build.
"""

# ruff: noqa: S608 -- queries are made of generators' text and constants; nothing of it was typed by anybody

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from psycopg.rows import TupleRow

from orchestration.analysis.event_source import prepare_session
from orchestration.analysis.render import COHORT, FUNNEL, render
from orchestration.bench.load import BENCH_CELL, BenchError, versions
from orchestration.bench.marts_baselines import duckdb_funnel, duckdb_retention, naive_retention, self_join_funnel
from orchestration.bench.report import BenchReport, BenchResult, compared_seconds, this_machine
from orchestration.bench.scratch_database import SCRATCH_DATABASE, scratch_database
from orchestration.cells import routing
from orchestration.dbt.command import dbt_executable
from orchestration.defs.transform.arguments import day_vars
from orchestration.defs.transform.invocation import subprocess_environment
from orchestration.loading.seeds import load_seeds
from orchestration.loading.synthetic_events import load_events_days
from orchestration.loading.synthetic_orders import load_orders_days
from orchestration.loading.window import SCALES, ScaleSize, Window, day_range
from orchestration.settings import Settings, get_settings

Connection = psycopg.Connection[TupleRow]
Turn = Callable[[], Any]

ROWS = 2_000_000
ROUNDS = 3
MONTH, YEAR = 30, 365
# Of the year whose days are run: in all cells together, of which the measured one has half.
YEAR_EVENTS = 5_000_000

STEPS = ("product_view", "add_to_cart", "checkout_start", "purchase")
WINDOW_SECONDS = 86400

# The retention that is measured: everybody who ever came, and when they came again.
VISITORS: Mapping[str, Any] = {
    "name": "visitors",
    "description": "Anybody's first event, and any later one.",
    "kind": "first_time",
    "target_event": {"type": None},
    "return_event": {"type": None},
    "periods": ["week"],
}

# Ratios of seconds: at most this much of the baseline's.
FUNNEL_TO_DUCKDB, BIG_FUNNEL_TO_DUCKDB, BIG_ROWS = 4.0, 6.0, 10_000_000
FUNNEL_TO_SELF_JOIN = 1 / 3.5
KEPT_FUNNEL_TO_DUCKDB = 1.0
RETENTION_TO_DUCKDB, RETENTION_TO_NAIVE, KEPT_RETENTION_TO_DUCKDB = 2.0, 1 / 3, 0.5
YEAR_TO_MONTH = 1.3

EVENTS, SEQUENCES = "staging.stg_events", "intermediate.int_event_sequences"

_AGREE_SECONDS = 1e-6


# A query of one row: the seconds.
_PROCESSOR_SECONDS = Path(__file__).with_name("sql") / "processor_seconds.sql"


def _yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


def _timed(turn: Turn) -> tuple[float, Any]:
    started = time.perf_counter()
    result = turn()
    return time.perf_counter() - started, result


def contest(turns: Mapping[str, Turn], rounds: int) -> dict[str, float]:
    """Return the median seconds of each contestant.

    Raises:
        BenchError: two of them do not give the same numbers.
    """
    names = list(turns)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    answers: dict[str, Any] = {}
    for number in range(rounds):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]
            taken, answers[name] = _timed(turns[name])
            seconds[name].append(taken)
    for one, other in pairwise(names):
        if not _same(answers[one], answers[other]):
            raise BenchError(f"{one} gives {answers[one]}, {other} gives {answers[other]}: no report of wrong numbers")
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, float) or isinstance(other, float):
        return one is not None and other is not None and abs(float(one) - float(other)) < _AGREE_SECONDS
    return bool(one == other)


@dataclass(frozen=True)
class _Year(Window):
    """A year of few events."""

    @property
    def size(self) -> ScaleSize:
        return ScaleSize(SCALES[self.scale].tenants, YEAR, YEAR_EVENTS)


class _Platform:
    """A scratch cell of a platform that is a year old, with everything dbt builds.

    It holds ``days`` of events and orders up to its last day. How much happens on a day grows with the platform's age,
    so platforms that are compared have the same age.
    """

    def __init__(self, scratch: Settings, days: int, directory: Path, *, window: Window | None = None) -> None:
        self.settings = scratch
        self.directory = directory
        self.days = days
        self.last_day: date = _yesterday()
        self.window = window or Window("small", self.last_day - timedelta(days=YEAR - 1))

    def fill(self, rows: int | None = None) -> None:
        """Load seeds, and events and orders of the last days, or of as many days from the first as make ``rows``."""
        load_seeds(BENCH_CELL, settings=self.settings, window=self.window)
        if rows is None:
            self.load(max(self.window.first_day, self.last_day - timedelta(days=self.days - 1)))
            return
        self.last_day, loaded = self.window.first_day, 0
        while loaded < rows:
            days = day_range(self.last_day, self.last_day + timedelta(days=9))
            reports = load_events_days(BENCH_CELL, days, settings=self.settings, window=self.window)
            loaded += sum(report.rows_loaded for report in reports)
            self.last_day = days[-1] + timedelta(days=1)

    def load(self, first: date) -> None:
        """Replace the days from ``first`` to the newest."""
        days = day_range(first, self.last_day)
        load_events_days(BENCH_CELL, days, settings=self.settings, window=self.window)
        load_orders_days(BENCH_CELL, days, settings=self.settings, window=self.window)

    def dbt(self, *arguments: str, **variables: object) -> float:
        """Run dbt after a proof, and return the seconds it spent in its models.

        Raises:
            BenchError: the cell cannot be proven, or dbt fails.
        """
        from orchestration.proofs.proof import prove  # noqa: PLC0415 -- Great Expectations takes seconds to import

        for proof in prove(BENCH_CELL, settings=self.settings):
            if proof.verdict != "green":
                raise BenchError(f"the scratch database is not proven: {proof}")
        ended = subprocess.run(
            [dbt_executable(), "--quiet", *arguments, "--target", BENCH_CELL, "--vars", json.dumps(variables)],
            env=subprocess_environment(BENCH_CELL, self.directory, self.settings) | {"DBT_LOG_FORMAT": "text"},
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise BenchError(f"dbt failed:\n{ended.stdout[-4000:]}")
        results = json.loads((self.directory / "run_results.json").read_text())["results"]
        return sum(float(result["execution_time"]) for result in results)

    def build(self, **variables: object) -> None:
        """Build every model over all days."""
        self.dbt("run", **variables)

    def next_day(self) -> tuple[float, float]:
        """Load one more day; return the seconds that dbt spent in its run, and PostgreSQL on the processor."""
        self.last_day += timedelta(days=1)
        self.load(self.last_day)
        before = self.processor_seconds()
        seconds = self.dbt("run", **day_vars([self.last_day]))
        return seconds, self.processor_seconds() - before

    def processor_seconds(self) -> float:
        """Return the processor time of all the server's processes so far, ended ones included; it has to be Linux."""
        with routing.connect(BENCH_CELL, "superuser", autocommit=True, settings=self.settings) as connection:
            return float(_rows(connection, _PROCESSOR_SECONDS.read_text())[0][0])


def _duckdb(connection: Connection, relation: str, directory: Path) -> duckdb.DuckDBPyConnection:
    """Return DuckDB with the same rows in memory."""
    copy = directory / "events.csv"
    query = f"copy (select tenant_id, user_id, occurred_at, event_type from {relation} as e) to stdout (format csv)"
    with copy.open("wb") as file, connection.cursor().copy(query.encode()) as blocks:
        for block in blocks:
            file.write(block)
    other = duckdb.connect()
    other.execute("set timezone = 'UTC'")
    other.execute(
        "create table events as select * from read_csv(?, header = false, columns = {'tenant_id': 'uuid',"
        " 'user_id': 'bigint', 't': 'timestamptz', 'event_type': 'varchar'})",
        [str(copy)],
    )
    copy.unlink()
    return other


def _by_tenant(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return rows of tenant, users of step 1, users, average and median seconds of step 2 and so on, in order."""
    return sorted([str(row[0]), *row[1:]] for row in rows)


def _of_steps(rows: Sequence[TupleRow]) -> list[list[Any]]:
    """Return the generator's rows, of which each is a step, as the baselines give them."""
    tenants: dict[str, list[Any]] = {}
    for tenant, _, step, users, average, middle in sorted(rows, key=lambda row: (str(row[0]), row[2])):
        figures = tenants.setdefault(str(tenant), [str(tenant)])
        figures += [users] if step == 1 else [users, average, middle]
    return list(tenants.values())


def _funnels(connection: Connection, other: duckdb.DuckDBPyConnection) -> dict[str, Turn]:
    arguments = {"steps": list(STEPS), "window_seconds": WINDOW_SECONDS, "events": EVENTS, "by_day": False}
    raw = render(FUNNEL, "funnel_steps", **arguments)
    kept = render(FUNNEL, "funnel_steps", **arguments, sequences=SEQUENCES)
    by_duckdb = duckdb_funnel(STEPS, WINDOW_SECONDS)
    by_self_join = self_join_funnel(STEPS, WINDOW_SECONDS, EVENTS)
    return {
        "events": lambda: _of_steps(_rows(connection, f"select * from {raw} as f")),
        "kept sequences": lambda: _of_steps(_rows(connection, f"select * from {kept} as f")),
        "DuckDB": lambda: _by_tenant(other.execute(by_duckdb).fetchall()),
        "self-join": lambda: _by_tenant(_rows(connection, by_self_join)),
    }


def _retention(connection: Connection, other: duckdb.DuckDBPyConnection) -> dict[str, Turn]:
    ranges = (
        "(select tenant_id, date_trunc('week', first_day)::date as first_period,"
        " date_trunc('week', last_day)::date as last_period from intermediate.int_tenant_activity)"
    )
    raw = render(
        COHORT, "cohort_retention", kind="first_time", period="week", targets=EVENTS, returns=EVENTS, ranges=ranges
    )
    # The one step that is configured here.
    bits = "(select tenant_id, user_id, first_day, week_bits from intermediate.int_user_periods)"
    kept = render(
        COHORT, "cohort_retention_of_kept", kind="first_time", period="week", targets=bits, returns=bits, ranges=ranges
    )
    naive = naive_retention(EVENTS)
    return {
        "events": lambda: _of_cohorts(_rows(connection, _summed(raw))),
        "kept bitmaps": lambda: _of_cohorts(_rows(connection, _summed(kept))),
        "DuckDB": lambda: _of_cohorts(other.execute(duckdb_retention()).fetchall()),
        "naive join": lambda: _of_cohorts(_rows(connection, naive)),
    }


def _summed(retention: str) -> str:
    """Return the generator's matrix of all tenants together, without the offsets at which nobody came."""
    return f"select cohort, period_offset, sum(users) from {retention} as r group by 1, 2 having sum(users) > 0"


def _of_cohorts(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return sorted([row[0], int(row[1]), int(row[2])] for row in rows)


def _rows(connection: Connection, query: str) -> list[TupleRow]:
    return connection.execute(query.encode()).fetchall()


def _funnel_results(seconds: Mapping[str, float], rows: int) -> list[BenchResult]:
    goal = BIG_FUNNEL_TO_DUCKDB if rows >= BIG_ROWS else FUNNEL_TO_DUCKDB
    ours, kept, other = seconds["events"], seconds["kept sequences"], seconds["DuckDB"]
    return [
        compared_seconds("funnel from events, to DuckDB", ours, baseline=other, goal=goal),
        compared_seconds(
            "funnel from events, to the self-join", ours, baseline=seconds["self-join"], goal=FUNNEL_TO_SELF_JOIN
        ),
        compared_seconds("funnel from kept sequences, to DuckDB", kept, baseline=other, goal=KEPT_FUNNEL_TO_DUCKDB),
    ]


def _retention_results(seconds: Mapping[str, float]) -> list[BenchResult]:
    ours, kept, other = seconds["events"], seconds["kept bitmaps"], seconds["DuckDB"]
    return [
        compared_seconds("retention from events, to DuckDB", ours, baseline=other, goal=RETENTION_TO_DUCKDB),
        compared_seconds(
            "retention from events, to the naive join", ours, baseline=seconds["naive join"], goal=RETENTION_TO_NAIVE
        ),
        compared_seconds("retention from kept bitmaps, to DuckDB", kept, baseline=other, goal=KEPT_RETENTION_TO_DUCKDB),
    ]


def _compare(settings: Settings, rows: int, rounds: int, directory: Path) -> tuple[list[BenchResult], tuple[str, str]]:
    """Return funnels and retention over ``rows`` events against the baselines."""
    with scratch_database(BENCH_CELL, settings) as scratch:
        platform = _Platform(scratch, MONTH, directory)
        platform.fill(rows)
        platform.build(cohorts=[VISITORS])
        with routing.connect(BENCH_CELL, "transformer", autocommit=True, settings=scratch) as connection:
            connection.execute("vacuum analyze analytics.events")
            prepare_session(connection)
            loaded = int(_rows(connection, f"select count(*) from {EVENTS} as e")[0][0])
            with _duckdb(connection, EVENTS, directory) as other:
                funnels = contest(_funnels(connection, other), rounds)
                retention = contest(_retention(connection, other), rounds)
            return [*_funnel_results(funnels, loaded), *_retention_results(retention)], versions(connection)


def _day_runs(settings: Settings, rounds: int, directory: Path) -> list[BenchResult]:
    """Return a new day's run with a year of data against the same with a month."""
    window = _Year("small", _yesterday() - timedelta(days=YEAR - 1))
    with ExitStack() as stack:
        platforms: dict[int, _Platform] = {}
        for days in (MONTH, YEAR):
            scratch = stack.enter_context(scratch_database(BENCH_CELL, settings, f"{SCRATCH_DATABASE}_{days}"))
            (directory / str(days)).mkdir()
            platforms[days] = _Platform(scratch, days, directory / str(days), window=window)
            platforms[days].last_day -= timedelta(days=rounds)
            platforms[days].fill()
            platforms[days].build()
        taken: dict[int, list[tuple[float, float]]] = {days: [] for days in platforms}
        for _ in range(rounds):
            for days, platform in platforms.items():
                taken[days].append(platform.next_day())
    return [
        compared_seconds(
            name,
            statistics.median(turn[place] for turn in taken[YEAR]),
            baseline=statistics.median(turn[place] for turn in taken[MONTH]),
            goal=YEAR_TO_MONTH,
        )
        for place, name in enumerate(
            ("a day's run on a year, to a month", "a day's run on a year, to a month, processor time")
        )
    ]


def run(settings: Settings | None = None, *, rows: int = ROWS, rounds: int = ROUNDS) -> BenchReport:
    """Measure funnels, retention and a day's run on the running platform's cell ``na``.

    Everything happens in scratch databases that are dropped again, also after Ctrl-C.

    Args:
        settings: which platform, and the generator's ``seed``.
        rows: about how many events the funnels and cohorts are computed over.
        rounds: turns of each; the median counts.

    Raises:
        BenchError: contestants disagree, a scratch database cannot be proven or built, ``rows`` or ``rounds`` cannot
            be.
        ScratchDatabaseError: a scratch database cannot be made.
        CellUnavailableError: the cell cannot be reached.
    """
    settings = settings or get_settings()
    if rows < 1 or rounds < 1:
        raise BenchError(f"{rows} rows in {rounds} rounds: give at least one of each")
    with tempfile.TemporaryDirectory(prefix="capstone-bench-") as directory:
        results, found = _compare(settings, rows, rounds, Path(directory))
        results += _day_runs(settings, rounds, Path(directory))
    return BenchReport(bench="marts", machine=this_machine(*found), results=tuple(results))
