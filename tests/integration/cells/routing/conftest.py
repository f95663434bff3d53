"""Three cells of their own, for tests that kill servers: with people at home in them, a tenant in each, and plans."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psutil
import psycopg
import pytest
from psycopg.rows import TupleRow

from orchestration import migrations
from orchestration.cells import routing
from orchestration.cells.cell_pools import PoolLimits
from orchestration.cells.endpoints import Role
from orchestration.cells.postgres_cells import PostgresCells
from orchestration.cells.regions import CELLS, Cell
from orchestration.engines.local import LocalEngines
from orchestration.loading.plans import load_plans
from orchestration.settings import Settings

LIMITS = PoolLimits(size=4, wait=2.0, statement=10.0)
DEADLINE_SECONDS = 30.0


@dataclass
class Region:
    """Three running cells.

    Attributes:
        settings: of their home.
        engines: starts what a test has killed.
        tenants: one in each cell, with one project that has the cell as its name.
    """

    settings: Settings
    engines: LocalEngines
    tenants: dict[Cell, UUID] = field(default_factory=dict)

    def connect(self, cell: Cell, role: Role = "loader") -> psycopg.Connection[TupleRow]:
        return routing.connect(cell, role, autocommit=True, settings=self.settings)

    def new_person(self, cell: Cell, region: Cell | None = None, person: UUID | None = None) -> UUID:
        person = person or uuid4()
        with self.connect(cell) as loader:
            loader.execute(
                "insert into geo.users (id, email, region) values (%s, %s, %s)",
                (person, f"{person.hex}@people.example", region or cell),
            )
        return person

    def profile(self, cell: Cell, person: UUID) -> Any:
        with self.connect(cell, "auditor") as auditor:
            row = auditor.execute("select profile from geo.users where id = %s", [person]).fetchone()
        return None if row is None else row[0]

    def postmaster(self, cell: Cell) -> psutil.Process:
        pid_file = self.settings.home / "postgres" / cell / "data" / "postmaster.pid"
        return psutil.Process(int(pid_file.read_text().splitlines()[0]))

    def kill(self, cell: Cell) -> None:
        """End every process of the server at once, none of them in order."""
        postmaster = self.postmaster(cell)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=DEADLINE_SECONDS)

    def crash(self, cell: Cell, pid: int) -> None:
        """Kill one backend: the server ends all others and recovers."""
        os.kill(pid, signal.SIGKILL)
        self.wait_until_itanswers(cell)

    def wait_until_itanswers(self, cell: Cell) -> None:
        wait_for(lambda: self.answers(cell))

    def answers(self, cell: Cell) -> bool:
        try:
            with self.connect(cell, "auditor") as connection:
                connection.execute("select 1")
        except (routing.CellUnavailableError, psycopg.OperationalError):
            return False
        return True

    def revive(self) -> None:
        self.engines.start(print)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Running(threading.Thread):
    """A call in a thread of its own, whose result or error is there when it has ended."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: Any = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:  # noqa: BLE001 -- looked at by the test
            self.error = error

    def ended(self) -> "Running":
        self.join(DEADLINE_SECONDS)
        assert not self.is_alive(), "did not end"
        return self


@pytest.fixture(scope="package")
def region(new_settings: Callable[[], Settings]) -> Iterator[Region]:
    settings = new_settings()
    engines = LocalEngines(settings, durable=False)
    engines.start(print)
    region = Region(settings, engines)
    for cell in CELLS:
        migrations.apply_all(cell, settings=settings)
        with region.connect(cell) as loader, loader.transaction():
            load_plans(loader)
            tenant = region.tenants[cell] = uuid4()
            loader.execute(
                "insert into saas.tenants (id, name, subdomain, plan) values (%s, %s, %s, 'enterprise')",
                (tenant, f"Shop in {cell}", f"shop-{cell}"),
            )
            loader.execute("insert into saas.projects (tenant_id, name) values (%s, %s)", (tenant, cell))
    yield region
    engines.stop(print)


@pytest.fixture
def cells(region: Region) -> Iterator[PostgresCells]:
    """A process' view of the cells, all of which run."""
    if not all(region.answers(cell) for cell in CELLS):
        region.revive()
    with PostgresCells(region.settings, limits=LIMITS, metered=False) as cells:
        yield cells
