"""A platform of its own for the tests that kill, starve and lock out servers: with the settings of a real one."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg.rows import TupleRow

from orchestration.cells import endpoints, routing
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import Cell, Cluster
from orchestration.engines import server_user
from orchestration.engines.local import LocalEngines
from orchestration.engines.postgres import PostgresServer
from orchestration.engines.redis_server import RedisServer
from orchestration.settings import Settings
from tests.conftest import NewSettings


@dataclass(frozen=True)
class Platform:
    """One set of servers and ways to reach into it."""

    settings: Settings
    engines: LocalEngines

    def start(self) -> list[str]:
        """Start what does not run and return what was reported."""
        lines: list[str] = []
        self.engines.start(lines.append)
        return lines

    def stop(self) -> None:
        self.engines.stop(lambda _: None)

    def cluster(self, name: Cluster) -> PostgresServer:
        port = endpoints.port(f"postgres_{name}", self.settings)
        return PostgresServer(name, self.settings, server_user.resolve(self.settings), port)

    def cache(self, name: Cell) -> RedisServer:
        port = endpoints.port(f"redis_{name}", self.settings)
        return RedisServer(name, self.settings, server_user.resolve(self.settings), port)

    def connect(self, cluster: Cluster, role: Role = "superuser") -> psycopg.Connection[TupleRow]:
        return routing.connect(cluster, role, autocommit=True, settings=self.settings)

    def redis(self, cell: Cell) -> redis.Redis:
        return self.cache(cell).client(endpoints.password(f"redis_{cell}", self.settings), timeout_seconds=5)

    def pids(self) -> dict[tuple[str, str], int | None]:
        return {(status.kind, status.name): status.pid for status in self.engines.status()}


def server_processes(home: Path) -> list[int]:
    """Return the ids of all processes with a path below ``home`` in their command line, of whatever user."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal() and int(directory.name) != os.getpid():
            try:
                command = (directory / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(home) + b"/" in command:
                found.append(int(directory.name))
    return found


@pytest.fixture(scope="module")
def _platform(new_settings: NewSettings) -> Iterator[Platform]:
    settings = new_settings()
    platform = Platform(settings, LocalEngines(settings))
    platform.start()
    yield platform
    platform.engines.destroy(lambda _: None)


@pytest.fixture
def platform(_platform: Platform) -> Platform:
    """Servers with a real platform's settings, all running, whatever the test before has done to them."""
    _platform.start()
    return _platform
