"""The load benchmark runs beside a cell without touching it, and leaves nothing, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.bench import load
from orchestration.bench.load import BenchError
from orchestration.bench.scratch_database import SCRATCH_DATABASE, ScratchDatabaseError, scratch_database
from orchestration.cells import routing
from orchestration.engines.local import LocalEngines
from orchestration.settings import get_settings

INTERRUPTED = """
import signal
from orchestration.bench import load

# Whoever runs the tests in the background of a shell has it ignored, and so would this process.
signal.signal(signal.SIGINT, signal.default_int_handler)
prepare = load._Contest.prepare

def told(contest):
    prepare(contest)
    print("prepared", flush=True)

load._Contest.prepare = told
load.run(rows=100_000, rounds=1_000)
"""


def databases() -> set[str]:
    with routing.connect("na", "superuser") as connection:
        return {name for (name,) in connection.execute("select datname from pg_database")}


def test_it_measures_against_psql_and_leaves_no_database(engines: LocalEngines) -> None:
    assert engines
    before = databases()
    report = load.run(rows=20_000, rounds=1)
    assert [result.name for result in report.results] == ["generator", "loader", "generator into loader"]
    assert len({result.baseline for result in report.results}) == 1
    assert all(result.value > 0 and result.ratio for result in report.results)
    assert databases() == before


def test_ctrl_c_leaves_no_database(engines: LocalEngines) -> None:
    assert engines
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        cwd=Path(__file__).parents[3],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "prepared\n"
        assert SCRATCH_DATABASE in databases()
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert child.returncode != 0
    assert SCRATCH_DATABASE not in databases()


def test_a_second_benchmark_waits_its_turn(engines: LocalEngines) -> None:
    assert engines
    with (
        scratch_database("na", get_settings()),
        pytest.raises(ScratchDatabaseError, match="another benchmark runs on cell 'na'"),
        scratch_database("na", get_settings()),
    ):
        pass
    assert SCRATCH_DATABASE not in databases()


def test_impossible_sizes_are_errors() -> None:
    with pytest.raises(BenchError, match="0 rows in 1 rounds"):
        load.run(rows=0, rounds=1)


def test_a_missing_psql_is_an_error_that_says_what_to_install(
    engines: LocalEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engines
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BenchError, match="postgresql-client"):
        load.run(rows=1_000, rounds=1)
    assert SCRATCH_DATABASE not in databases()
