"""A person who is shopper and staff of several tenants, with a mark in every personal column and store."""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import redis

from orchestration.cells import endpoints
from orchestration.cells.regions import Cell
from orchestration.realtime import counter_keys
from orchestration.realtime.redis_queue import PAYLOAD
from orchestration.realtime.stream_keys import DEAD_LETTERS, GROUP, STREAM
from orchestration.tenancy import compaction
from orchestration.tenancy.placement import placement_of
from orchestration.tenancy.registry import Model, Tenant
from orchestration.tenancy.row_replacement import writing
from orchestration.tenancy.tenant_schema import in_schemas
from tests.integration.tenancy.life.conftest import LifeCells
from tests.integration.tenancy.life.merchants import open_merchant

# The person's number as shopper of every tenant, and the other shopper's.
SHOPPER, OTHER = 1, 2
ORDER = 1_000_000_001

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Someone:
    """The person and where they are something."""

    id: UUID
    mark: str
    cell: Cell
    tenants: tuple[Tenant, ...]

    @property
    def email(self) -> str:
        return f"{self.mark}@example.com"


def someone(
    life: LifeCells,
    cell: Cell,
    *,
    mark: str,
    models: tuple[Model, ...] = ("shared", "schema", "database"),
    region: str | None = None,
) -> Someone:
    """Make a person who is shopper and staff of a tenant of each model; ``mark`` is in every personal column."""
    tenants = tuple(open_merchant(life, cell, model=model) for model in models)
    person = uuid4()
    for tenant in tenants:
        place = placement_of(tenant)
        named = {"tenant": tenant.id, "person": person, "mark": mark, "region": region or cell}
        for database, text in (
            (place.database, in_schemas((_HERE / "person.sql").read_text(), place.schemas)),
            (None, (_HERE / "events.sql").read_text()),
        ):
            with writing(cell, "migrator", database, tenant.id, life.settings, verb="test") as connection:
                for name, value in named.items():
                    connection.execute("select set_config(%s, %s, true)", (f"life.{name}", str(value)))
                connection.execute(text.encode())
        _live(life, cell, tenant, mark)
    return Someone(person, mark, cell, tenants)


def event(tenant: Tenant, mark: str, user: int = SHOPPER) -> bytes:
    """Return a live event of a shopper, as the queue has it."""
    said = {
        "tenant_id": str(tenant.id),
        "event_id": str(uuid4()),
        "time": datetime.now(UTC).isoformat(),
        "event_type": "page_view",
        "user_id": user,
        "page_url": f"https://shop.example/{mark}",
    }
    return json.dumps(said).encode()


def _live(life: LifeCells, cell: Cell, tenant: Tenant, mark: str) -> None:
    client = redis.Redis.from_url(endpoints.redis_url(cell, life.settings))
    with suppress(redis.ResponseError):  # it is there
        client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    client.xadd(STREAM, {PAYLOAD: event(tenant, mark)})
    client.xadd(STREAM, {PAYLOAD: event(tenant, "somebody-else", OTHER)})
    client.xadd(DEAD_LETTERS, {PAYLOAD: event(tenant, mark), "reason": "over_quota", "tenant": str(tenant.id)})
    for user in (SHOPPER, OTHER):
        counted = counter_keys.newest_event(int(datetime.now(UTC).timestamp() * 1000), str(user), "page_view")
        client.rpush(counter_keys.newest(tenant.id), counted)
    client.pfadd(counter_keys.users(tenant.id, counter_keys.minute_of(datetime.now(UTC))), SHOPPER, OTHER)
    client.close()


def settle_queue(life: LifeCells, cell: Cell) -> None:
    """Let what waits beside removed entries of the queue be done, and Redis' file be written anew."""
    client = redis.Redis.from_url(endpoints.redis_url(cell, life.settings))
    client.xtrim(STREAM, maxlen=0)
    compaction.rewrite_redis_files(client)
    client.close()
