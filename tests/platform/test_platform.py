"""The whole platform as its user has it: `capstone up` in a new home, looked at, hurt, mended, and taken down again.

The tests are one story in the order of the file: each begins where the one before it has left the platform.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestration.cells import routing
from orchestration.cells.regions import CELLS, Cell
from orchestration.engines import locking, processes
from orchestration.engines.processes import TOKEN_VARIABLE
from orchestration.lifecycle import runs, services
from orchestration.lifecycle.graphql import DagsterGraphQL
from orchestration.loading.window import window_file
from orchestration.settings import PROJECT_ROOT, Settings

pytestmark = pytest.mark.platform

# Days of synthetic events: a tenth of the small scale's month, so that the story is told in minutes.
DAYS = 3
# For a loaded machine; idle, `up` takes about two minutes here.
UP_SECONDS = 900
WAIT_SECONDS = 120

COHORTS = """
    select r.cohort::text, r.period_offset, r.users
    from marts.fct_cohort_retention as r
    inner join marts.dim_tenants as t on r.tenant_id = t.tenant_id
    where t.subdomain = 'cdnow' and r.cohort_name = 'first_purchase' and r.period = 'month'
        and r.cohort < '1997-04-01' and r.period_offset <= 4
    order by r.cohort, r.period_offset
"""


class Capstone:
    """The command, in a home of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.environment = {
            **os.environ,
            "CAPSTONE_HOME": str(settings.home),
            "CAPSTONE_PORT_BASE": str(settings.port_base),
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", *arguments],
            cwd=PROJECT_ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run the command, expect its exit code, and return what it printed."""
        command = self.start(*arguments)
        out, err = command.communicate(timeout=UP_SECONDS)
        assert command.returncode == code, (
            f"capstone {' '.join(arguments)} ended with {command.returncode}\n{out}\n{err}"
        )
        return out + err

    def status(self, code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json", code=code))
        return found

    @property
    def dagster(self) -> DagsterGraphQL:
        return DagsterGraphQL.of(self.settings)

    def run_ids(self, job: str) -> set[str]:
        found = self.dagster.query(
            "query($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { results { runId } } } }",
            filter={"pipelineName": job},
        )
        return {run["runId"] for run in found["runsOrError"]["results"]}

    def refreshes(self) -> set[str]:
        return {run_id for cell in CELLS for run_id in self.run_ids(f"refresh_{cell}")}

    def processes(self) -> list[psutil.Process]:
        """Return every process of this home: servers by their command line, the others by their environment."""
        home = str(self.settings.home)
        found = []
        for process in psutil.process_iter():
            try:
                of_home = any(home in argument for argument in process.cmdline())
                started = process.environ().get("CAPSTONE_HOME") == home and TOKEN_VARIABLE in process.environ()
            except psutil.Error:
                continue
            if of_home or started:
                found.append(process)
        return found


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_SECONDS} s"
        time.sleep(0.2)


def rows(settings: Settings, cell: Cell, query: str) -> list[tuple[Any, ...]]:
    with routing.connect(cell, "transformer", settings=settings) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.fixture(scope="module")
def capstone(new_settings: Callable[[], Settings]) -> Iterator[Capstone]:
    settings = new_settings()
    first_day = datetime.now(UTC).date() - timedelta(days=DAYS)
    window_file(settings).write_text(json.dumps({"scale": "small", "first_day": first_day.isoformat()}))
    command = Capstone(settings)
    command.run("up")
    yield command
    command.run("down", "--destroy", "--yes")


def test_up_leaves_everything_running_built_and_proven(capstone: Capstone) -> None:
    status = capstone.status()
    assert status["healthy"]
    assert status["window"]["scale"] == "small"
    for cell in CELLS:
        assert status["cells"][cell]["postgres"]["edition"] == "apache"
        assert {gate["verdict"] for gate in status["cells"][cell]["gates"]} == {"green"}
        assert all(gate["open"] for gate in status["cells"][cell]["gates"])
    for name, group in status["groups"].items():
        assert group["materialized"] == group["assets"], name
        assert group["last_materialization"]


def test_the_real_cohorts_are_the_known_ones(capstone: Capstone) -> None:
    found = {(cohort, offset): users for cohort, offset, users in rows(capstone.settings, "na", COHORTS)}
    assert [found[cohort, 0] for cohort in ("1997-01-01", "1997-02-01", "1997-03-01")] == [7846, 8476, 7248]
    assert [found["1997-01-01", offset] for offset in range(5)] == [7846, 1157, 964, 810, 679]


@pytest.mark.parametrize("cell", CELLS)
def test_every_day_of_every_cell_is_in_its_marts(capstone: Capstone, cell: Cell) -> None:
    query = "select count(distinct day), sum(users) from marts.fct_funnel where users > 0 and day > current_date - 90"
    ((days, users),) = rows(capstone.settings, cell, query)
    assert days >= DAYS
    assert users > 0


def test_the_docs_of_every_cell_are_served(capstone: Capstone) -> None:
    front = (capstone.settings.docs / "index.html").read_text()
    assert "not written yet" not in front
    assert capstone.status()["services"]["docs"]["url"]


def test_a_second_up_changes_nothing(capstone: Capstone) -> None:
    before, pids = capstone.refreshes(), {name: one["pid"] for name, one in capstone.status()["services"].items()}
    capstone.run("up")
    assert capstone.refreshes() == before
    assert {name: one["pid"] for name, one in capstone.status()["services"].items()} == pids


def test_of_two_ups_at_once_the_second_says_who_is_at_work(capstone: Capstone) -> None:
    with locking.hold(capstone.settings.home, "capstone up"):
        assert "`capstone up`" in capstone.run("up", code=1)


def test_one_day_of_two_regions_is_built_in_two_runs(capstone: Capstone) -> None:
    day = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    before = capstone.run_ids(runs.ASSET_JOB)
    count = "select count(*), count(distinct event_id) from analytics.events"
    events = rows(capstone.settings, "eu", count)
    capstone.run("materialize", 'key:"eu/ingest/orders" or key:"apac/ingest/orders"', "--partition", day)
    assert len(capstone.run_ids(runs.ASSET_JOB) - before) == 2
    assert rows(capstone.settings, "eu", count) == events


@pytest.mark.parametrize("service", [services.DAEMON, services.WEBSERVER])
def test_a_killed_process_shows_as_dead_and_up_revives_it(capstone: Capstone, service: str) -> None:
    pid = capstone.status()["services"][service]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, "its death")
    assert capstone.status(code=1)["services"][service]["state"] == "dead"
    capstone.run("up")
    revived = capstone.status()["services"][service]
    assert revived["state"] == "running"
    assert revived["pid"] != pid


def test_a_run_whose_process_was_killed_with_the_machine_blocks_nothing(capstone: Capstone) -> None:
    orders = "select count(*), sum(total_amount) from ecommerce.orders where origin = 'import'"
    before = rows(capstone.settings, "na", orders)
    run_id = runs.launch(
        capstone.dagster, runs.ASSET_JOB, tags={runs.CELL_TAG: "na"}, asset_keys=[("na", "ingest", "cdnow")]
    )
    wait_for(lambda: runs.states(capstone.dagster, [run_id], {})[run_id].running != (), "the run to be at work")
    token = next(one for one in processes.status(capstone.settings) if one.name == services.CODE_SERVER)
    assert token.pid is not None
    family = [psutil.Process(token.pid), *psutil.Process(token.pid).children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=10)
    capstone.run("up")
    assert runs.states(capstone.dagster, [run_id], {})[run_id].status == "CANCELED"
    assert rows(capstone.settings, "na", orders) == before


def test_down_leaves_no_process_and_all_data(capstone: Capstone) -> None:
    assert capstone.processes()
    capstone.run("down")
    wait_for(lambda: not capstone.processes(), "the end of every process")
    assert capstone.status(code=1)["services"]["daemon"]["state"] == "stopped"
    assert (Path(capstone.settings.home) / "platform.json").exists()
    capstone.run("down")
