"""How fast events are taken in: from a frame, and once each, against psql with text and with binary made beforehand.

All take turns in every round, in an order that rotates, on the same server and hypertable; what is reported is the
median of the rounds. A turn ends with its commit. psql's files are written before, in the order of the rows; the frame
is Arrow in memory, and its time is encoding, COPY, the record of the load and the commit.

Memory is that of a process of its own that loads a generator's blocks, once few and once many times as many: the peak
of its resident memory must not grow with the rows.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from orchestration.bench.load import BENCH_CELL, BenchError, _Contest, _psql, _timed, versions
from orchestration.bench.report import BenchReport, BenchResult, compared, this_machine
from orchestration.bench.scratch_database import scratch_database
from orchestration.loading.copy_loader import MAX_BLOCK_ROWS
from orchestration.loading.event_claims import insert_events_once
from orchestration.settings import Settings, get_settings

ROWS = 1_000_000
ROUNDS = 3
# Rows that the second process loads; the first loads a block.
MEMORY_ROWS = 20_000_000

FRAME_GOAL = 1.0
BINARY_GOAL = 0.9
ONCE_GOAL = 0.5
GENERATOR_GOAL = 3.0
BURST_GOAL = 100_000.0
# The later blocks may find the allocator's memory fragmented.
MEMORY_GOAL = 1.15

# Events claimed and copied in one transaction: as many as an import does at once.
_ONCE_ROWS = 100_000

_LOADING_PROCESS = """
import resource, sys
from pathlib import Path
from pydantic import SecretStr
from orchestration.bench.load import _Contest
from orchestration.loading.copy_loader import replace
from orchestration.settings import get_settings

rows, block = int(sys.argv[1]), int(sys.argv[2])
settings = get_settings().model_copy(update={"dsn_na": SecretStr(sys.stdin.read())})
with _Contest(settings, settings.seed, block, Path(sys.argv[3])) as contest:
    for loaded in range(0, rows, block):
        contest.emptied()
        replace(contest.loader, contest.load, contest.scope, contest.generated())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class _Intake(_Contest):
    """The contestants beside those of ``capstone bench load``."""

    def prepare(self) -> None:
        super().prepare()
        self.binary = self.text.with_suffix(".copy")
        _psql(self.dsn, rf"\copy (table analytics.events) to '{self.binary}' with (format binary)")

    def emptied(self) -> None:
        self.administrator.execute("truncate analytics.event_ids")
        super().emptied()

    def copy_binary_by_psql(self) -> float:
        """Return psql's rows per second from binary."""
        self.emptied()
        command = rf"\copy analytics.events from '{self.binary}' with (format binary)"
        return _timed(self.rows, lambda: _psql(self.dsn, command))

    def insert_once(self) -> float:
        """Return rows per second of events that are claimed in the ledger, none of them a repeat."""
        self.emptied()
        return _timed(self.rows, lambda: self._insert_once(new=True))

    def insert_again(self) -> float:
        """Return rows per second of events that are all repeats."""
        self.emptied()
        self._insert_once(new=True)
        return _timed(self.rows, lambda: self._insert_once(new=False))

    def _insert_once(self, *, new: bool) -> None:
        for block in self.blocks:
            for start in range(0, block.num_rows, _ONCE_ROWS):
                part = block.slice(start, _ONCE_ROWS)
                with self.loader.transaction():
                    once = insert_events_once(self.loader, part, origin="import", load_id=UUID(int=1))
                if once.inserted != (part.num_rows if new else 0):
                    raise BenchError(f"{once.inserted} of {part.num_rows} events were inserted")


def _peak_megabytes(scratch: Settings, rows: int, block: int, directory: Path) -> float:
    """Return the peak of the resident memory of a process that loads ``rows``, ``block`` at a time."""
    dsn = scratch.dsn_na
    ended = subprocess.run(
        [sys.executable, "-c", _LOADING_PROCESS, str(rows), str(block), str(directory)],
        input=dsn.get_secret_value() if dsn is not None else "",
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise BenchError(f"the loading process failed: {ended.stderr.strip().splitlines()[-1:]}")
    return int(ended.stdout) / 1024


def _memory(scratch: Settings, rows: int, memory_rows: int, directory: Path) -> BenchResult:
    few = _peak_megabytes(scratch, rows, rows, directory)
    many = _peak_megabytes(scratch, memory_rows, rows, directory)
    return BenchResult(
        f"peak memory, {memory_rows:,} rows over {rows:,}",
        round(many, 1),
        "MB",
        round(few, 1),
        round(many / few, 3),
        MEMORY_GOAL,
        many / few <= MEMORY_GOAL,
    )


def run(
    settings: Settings | None = None, *, rows: int = ROWS, rounds: int = ROUNDS, memory_rows: int = MEMORY_ROWS
) -> BenchReport:
    """Measure the ways in on the running platform's cell ``na``, in a scratch database that is dropped again.

    Args:
        settings: which platform, and the generator's ``seed``.
        rows: events per turn, at most ``MAX_BLOCK_ROWS``, all of them in memory.
        rounds: turns of each; the median counts.
        memory_rows: events that the second process of the memory's measurement loads; 0 leaves it out.

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
        tempfile.TemporaryDirectory(prefix="capstone-bench-") as name,
        _Intake(scratch, settings.seed, rows, Path(name)) as intake,
    ):
        intake.prepare()
        turns = (
            intake.generate,
            intake.copy_by_loader,
            intake.copy_by_psql,
            intake.copy_binary_by_psql,
            intake.insert_once,
            intake.insert_again,
        )
        speeds: dict[str, list[float]] = {turn.__name__: [] for turn in turns}
        for number in range(rounds):
            for place in range(len(turns)):
                turn = turns[(place + number) % len(turns)]
                speeds[turn.__name__].append(turn())
        machine = this_machine(*versions(intake.administrator))
        memory = [_memory(scratch, rows, memory_rows, Path(name))] if memory_rows else []
    median = {name: statistics.median(values) for name, values in speeds.items()}
    return BenchReport(bench="ingest", machine=machine, results=(*_results(median), *memory))


def _results(median: dict[str, float]) -> Sequence[BenchResult]:
    text, frame = median["copy_by_psql"], median["copy_by_loader"]
    return (
        compared("frame over psql with text", frame, "rows/s", baseline=text, goal=FRAME_GOAL),
        compared(
            "frame over psql with binary", frame, "rows/s", baseline=median["copy_binary_by_psql"], goal=BINARY_GOAL
        ),
        compared("each once over psql with text", median["insert_once"], "rows/s", baseline=text, goal=ONCE_GOAL),
        compared("all repeats over psql with text", median["insert_again"], "rows/s", baseline=text, goal=ONCE_GOAL),
        compared("generator over frame", median["generate"], "rows/s", baseline=frame, goal=GENERATOR_GOAL),
        BenchResult("burst", round(frame, 1), "rows/s", None, None, BURST_GOAL, frame >= BURST_GOAL),
    )
