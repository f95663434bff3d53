"""A cell of its own with two tenants and five weeks of events, some of them later than the last refresh of rollups."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow
from pydantic import SecretStr

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.cells.tenant_pool import TenantPool
from orchestration.engines.local import LocalEngines
from orchestration.settings import Settings, get_settings

# A Wednesday, in the afternoon; all that is stored lies before it, most of it close to it.
AT = datetime(2026, 3, 11, 15, 30, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 11, tzinfo=UTC)
DAYS = 36
TYPES = ("page_view", "product_view", "add_to_cart", "checkout_start", "purchase", "search")


@dataclass(frozen=True)
class Event:
    """What a plain computation needs of a stored row."""

    tenant: UUID
    time: datetime
    type: str
    user: int | None
    page: str | None
    device: str | None
    country: str | None


@dataclass(frozen=True)
class Shop:
    """The database, its tenants, and every event that was stored."""

    settings: Settings
    tenants: tuple[UUID, UUID]
    empty: UUID
    events: tuple[Event, ...]

    def of(self, tenant: UUID, start: datetime, stop: datetime) -> list[Event]:
        return [event for event in self.events if event.tenant == tenant and start <= event.time < stop]


def _moment(chance: random.Random) -> datetime:
    if chance.random() < 0.15:
        return AT - timedelta(seconds=chance.randrange(7200))
    if chance.random() < 0.2:
        return MIDNIGHT + timedelta(seconds=chance.randrange(int((AT - MIDNIGHT).total_seconds())))
    # Ends of days too, where a bucket of another zone would take an event.
    day = MIDNIGHT - timedelta(days=chance.randrange(1, DAYS))
    return day + chance.choice((timedelta(0), timedelta(seconds=chance.randrange(86400)), timedelta(hours=23.99)))


def _event(chance: random.Random, tenants: Sequence[UUID]) -> Event:
    tenant = chance.choice(tenants)
    return Event(
        tenant=tenant,
        time=_moment(chance),
        type=chance.choice(TYPES),
        user=chance.choice((None, *range(1, 100 if tenant == tenants[0] else 150))),
        page=chance.choice((None, *(f"https://shop.example/{n}?a=%s" for n in range(15)))),
        device=chance.choice(("mobile", "desktop", "tablet", None)),
        country=chance.choice(("US", "CA", None)),
    )


def _store(connection: psycopg.Connection[TupleRow], events: Sequence[Event]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into analytics.events (time, tenant_id, event_id, user_id, event_type, page_url, device_type,"
            " country, origin, load_id) values (%s, %s, gen_random_uuid(), %s, %s, %s, %s, %s, 'synthetic', %s)",
            [(e.time, e.tenant, e.user, e.type, e.page, e.device, e.country, UUID(int=1)) for e in events],
        )


@pytest.fixture(scope="module")
def shop(engines: LocalEngines) -> Iterator[Shop]:
    del engines  # only has to run
    name = f"dashboard_{uuid4().hex[:12]}"
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    settings = get_settings().model_copy(update={"dsn_na": SecretStr(endpoints.dsn("na", "superuser", database=name))})
    migrations.apply_all("na", settings=settings)
    first, second, empty = uuid4(), uuid4(), uuid4()
    chance = random.Random(5)  # noqa: S311 -- test data
    kept = [_event(chance, (first, second)) for _ in range(3000)]
    late = [_event(chance, (first, second)) for _ in range(400)]
    with routing.connect("na", "loader", autocommit=True, settings=settings) as loader:
        loader.execute("insert into saas.plans (plan, name, monthly_price) values ('roomy', 'Roomy', 0)")
        for tenant in (first, second, empty):
            loader.execute(
                "insert into saas.tenants (id, name, subdomain, plan) values (%s, 'Shop', %s, 'roomy')",
                (tenant, f"s{tenant.hex[:12]}"),
            )
        _store(loader, kept)
        with routing.connect("na", "migrator", autocommit=True, settings=settings) as migrator:
            migrator.execute("call analytics.refresh_rollups()")
        # Not refreshed any more: rollups have to count these with the others.
        _store(loader, late)
    with routing.connect("na", "superuser", autocommit=True, settings=settings) as connection:
        statement = (Path(__file__).parent / "marts.sql").read_bytes()
        psycopg.ClientCursor(connection).execute(statement, {"first": first, "second": second})
    yield Shop(settings, (first, second), empty, (*kept, *late))
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def pool(shop: Shop) -> Iterator[TenantPool]:
    with TenantPool(endpoints.dsn("na", "app", settings=shop.settings)) as pool:
        yield pool
