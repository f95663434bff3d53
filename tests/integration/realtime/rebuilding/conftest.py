"""A cell of its own: a database with all migrations in the session's servers, and the session's Redis, emptied."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import Cell
from orchestration.engines.local import LocalEngines
from orchestration.realtime import counter_keys
from orchestration.realtime.event import StreamEvent, encode
from orchestration.realtime.processor import Processor
from orchestration.realtime.redis_queue import RedisQueue
from orchestration.settings import Settings, get_settings

CELL: Cell = "na"
DATABASE = "counters"
TENANTS = 3


@dataclass
class Shop:
    """The cell, its tenants, and a processor that works when it is told to."""

    settings: Settings
    tenants: list[UUID]
    queue: RedisQueue = field(init=False)

    def __post_init__(self) -> None:
        self.queue = RedisQueue.of_cell(CELL, self.settings)

    @property
    def client(self) -> Any:
        return self.queue.client

    def connect(self, role: Role) -> psycopg.Connection[Any]:
        return routing.connect(CELL, role, autocommit=True, settings=self.settings)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.connect("auditor") as connection:
            return list(connection.execute(query.encode()))

    def empty(self) -> None:
        self.client.flushall()
        with self.connect("superuser") as connection:
            connection.execute("truncate analytics.events, analytics.event_ids, platform.stream_incarnations")

    def event(
        self, tenant: int = 0, event_type: str = "page_view", user: int | None = None, minutes_ago: float = 0
    ) -> StreamEvent:
        time = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        return StreamEvent(self.tenants[tenant], uuid4(), time, event_type, user_id=user)

    def send(self, *events: StreamEvent) -> None:
        self.queue.append([encode(event) for event in events])

    def processor(self, **options: Any) -> Processor:
        return Processor(CELL, self.settings, **options)

    def process(self) -> None:
        """Process until the queue is empty."""
        processor = self.processor(stale_seconds=0.0)
        while self.queue.state().depth:
            processor.step(0.01)
        processor._forget_connections()

    def counters(self) -> dict[str, Any]:
        """Return all counters, sketches by what they estimate, without the newest events."""
        found: dict[str, Any] = {}
        for key in self.client.scan_iter(match=f"{counter_keys.PREFIX}*:*", count=1000):
            name = key.decode()
            match name.split(":")[2]:
                case "totals" | "minute":
                    found[name] = {t.decode(): int(n) for t, n in self.client.hgetall(key).items()}
                case "users":
                    found[name] = self.client.pfcount(key)
                case "newest":
                    continue
                case other:
                    raise AssertionError(f"a key that should not be there: {other}")
        return found


@pytest.fixture(scope="module")
def shop(engines: LocalEngines) -> Iterator[Shop]:
    assert engines
    settings = get_settings()
    with routing.connect(CELL, "superuser", autocommit=True, settings=settings) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(DATABASE)))
    dsn = SecretStr(endpoints.dsn(CELL, "superuser", database=DATABASE, settings=settings))
    own = settings.model_copy(update={f"dsn_{CELL}": dsn})
    migrations.apply_all(CELL, settings=own)
    shop = Shop(own, [uuid4() for _ in range(TENANTS)])
    with shop.connect("superuser") as connection:
        connection.execute("insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0)")
        for number, tenant in enumerate(shop.tenants):
            connection.execute(
                "insert into saas.tenants (id, name, subdomain) values (%s, %s, %s)",
                (tenant, f"Shop {number}", f"shop-{number}"),
            )
    yield shop
    shop.client.flushall()
    shop.client.close()
    with routing.connect(CELL, "superuser", autocommit=True, settings=settings) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(DATABASE)))


@pytest.fixture(autouse=True)
def _emptied(shop: Shop) -> None:
    shop.empty()
