"""A running cell for tests of the stream, and the events that they send to it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import Cell
from orchestration.engines.binaries import PostgresBinaries, find_redis
from orchestration.engines.postgres import PostgresServer
from orchestration.engines.redis_server import RedisServer
from orchestration.realtime import recovery
from orchestration.realtime.event import StreamEvent, encode
from orchestration.realtime.processor import Processor
from orchestration.realtime.redis_queue import RedisQueue
from orchestration.settings import Settings

CELL: Cell = "na"
WAIT_SECONDS = 60.0


@dataclass
class StreamCell:
    """A running cell with two tenants, and what tests do to it."""

    settings: Settings
    postgres: PostgresServer
    redis: RedisServer
    binaries: PostgresBinaries
    said: list[str] = field(default_factory=list)

    def start_postgres(self) -> None:
        self.postgres.start(self.binaries, self.said.append)

    def start_redis(self) -> None:
        self.redis.start(find_redis(), endpoints.password("redis_na", self.settings), self.said.append)

    def kill(self, server: PostgresServer | RedisServer) -> None:
        process = server.process()
        assert process is not None
        family = [process, *process.children(recursive=True)]
        for each in family:
            each.kill()
        for each in family:
            each.wait(10)

    def queue(self, **options: Any) -> RedisQueue:
        return RedisQueue.of_cell(CELL, self.settings, **options)

    def connection(self, role: Any = "loader") -> psycopg.Connection[Any]:
        return routing.connect(CELL, role, autocommit=True, settings=self.settings)

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        with self.connection("superuser") as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def execute(self, commands: str) -> None:
        with self.connection("superuser") as connection:
            connection.execute(commands.encode())

    def new_tenant(self, plan: str = "enterprise") -> UUID:
        tenant = uuid4()
        self.rows(
            "insert into saas.tenants (id, subdomain, name, plan) values (%s, %s, 'Shop', %s) returning id",
            tenant, f"shop-{tenant.hex[:12]}", plan,
        )  # fmt: skip
        return tenant

    def stored(self, tenant: UUID) -> list[UUID]:
        return [row[0] for row in self.rows("select event_id from analytics.events where tenant_id = %s", tenant)]

    def counted(self, tenant: UUID) -> int:
        totals = self.queue().client.hgetall(f"rt:{tenant}:totals")
        return sum(int(value) for value in totals.values())

    def begin_anew(self) -> None:
        """Forget the queue on both sides, so that a test begins with a stream that nobody processed before."""
        queue = self.queue()
        queue.client.flushall()
        self.rows("delete from platform.stream_incarnations returning 1")
        with self.connection() as connection:
            recovery.verify(CELL, connection, queue)


def event(tenant: UUID, **changes: Any) -> StreamEvent:
    values: dict[str, Any] = {
        "tenant_id": tenant,
        "event_id": uuid4(),
        "time": datetime.now(UTC),
        "event_type": "page_view",
        "session_id": uuid4(),
        "user_id": 7,
        "page_url": "/products/1",
        "properties": {"price": 12.5},
        "device_type": "mobile",
        "country": "US",
    }
    return StreamEvent(**values | changes)


def payloads(events: Sequence[StreamEvent]) -> list[bytes]:
    return [encode(each) for each in events]


def drained(cell: StreamCell, **options: Any) -> Processor:
    """Work until nothing is left that can be done now."""
    processor = Processor(CELL, cell.settings, **options)
    while processor.step(0.01):
        pass
    return processor


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_SECONDS} s"
        time.sleep(0.02)
