"""A Redis of its own for each module, without a database: what is counted, and what is in its append-only file."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from orchestration.engines import ports
from orchestration.realtime import counter_keys
from orchestration.realtime.counters import DEFAULT_GROUP, DEFAULT_STREAM, Counters
from orchestration.realtime.event import StreamEvent

START_SECONDS = 20.0
NewEvent = Callable[..., StreamEvent]


@dataclass
class OwnRedis:
    """A Redis whose append-only file holds every command from the first on."""

    directory: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def client(self) -> Any:
        return redis.Redis(port=self.port, protocol=2)

    @property
    def append_only_file(self) -> Path:
        [newest] = sorted((self.directory / "appendonlydir").glob("*.incr.aof"))[-1:]
        return newest

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program is not None, "redis-server is not on PATH"
        options = {"bind": "127.0.0.1", "port": self.port, "dir": self.directory, "appendonly": "yes", "save": ""}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([program, *arguments, "--appendfsync", "no"], stdout=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.client.ping()
                return
            except (redis.ConnectionError, redis.BusyLoadingError):
                assert self.process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < deadline, "Redis does not answer"
                time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass(frozen=True)
class Queue:
    """The queue in a Redis, and its counters."""

    client: Any
    counters: Counters

    def taken(self, count: int, consumer: str = "one") -> list[str]:
        """Append as many entries, take them, and return their positions."""
        for _ in range(count):
            self.client.xadd(DEFAULT_STREAM, {"e": b"{}"})
        [[_, entries]] = self.client.xreadgroup(DEFAULT_GROUP, consumer, {DEFAULT_STREAM: ">"}, count=count)
        return [position.decode() for position, _ in entries]

    def count(self, events: Sequence[StreamEvent]) -> int:
        """Have the events counted, as entries that were just taken."""
        return self.counters.settle(list(zip(self.taken(len(events)), events, strict=True)))

    def totals(self, tenant: UUID) -> dict[str, int]:
        return {t.decode(): int(n) for t, n in self.client.hgetall(counter_keys.totals(tenant)).items()}

    def pending(self) -> int:
        return int(self.client.xpending(DEFAULT_STREAM, DEFAULT_GROUP)["pending"])


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    port = ports.next_free_block(range(26_000, 27_400, 10))
    assert port is not None
    server = OwnRedis(tmp_path_factory.mktemp("redis"), port)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def queue(own_redis: OwnRedis) -> Queue:
    own_redis.client.flushall()
    own_redis.client.xgroup_create(DEFAULT_STREAM, DEFAULT_GROUP, id="0", mkstream=True)
    return Queue(own_redis.client, Counters(own_redis.client))


@pytest.fixture
def new_event() -> NewEvent:
    def make(
        tenant: UUID,
        time: datetime,
        event_type: str = "page_view",
        user: int | None = None,
        event_id: UUID | None = None,
    ) -> StreamEvent:
        return StreamEvent(tenant, event_id or uuid4(), time, event_type, user_id=user)

    return make
