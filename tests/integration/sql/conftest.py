"""A migrated database of a real server, with two shops in it, for the tests of the schemas."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow
from pydantic import SecretStr

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.cells.endpoints import Role
from orchestration.engines.local import LocalEngines
from orchestration.migrations.statements import split
from orchestration.settings import Settings, get_settings

Connection = psycopg.Connection[TupleRow]
Connect = Callable[[Role], AbstractContextManager[Connection]]


@dataclass(frozen=True)
class Shop:
    """A tenant with one shopper, their address, and two variants of ten pieces each at 10.00 and 12.50."""

    tenant_id: UUID
    user_id: int
    address_id: int
    variant_ids: tuple[int, int]


@pytest.fixture(scope="session")
def database(engines: LocalEngines) -> Iterator[Settings]:
    """Settings whose cell na is a database of its own, with every migration applied."""
    del engines  # only has to run
    name = f"schemas_{uuid4().hex[:12]}"
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    settings = Settings(home=get_settings().home, dsn_na=SecretStr(endpoints.dsn("na", "superuser", database=name)))
    migrations.apply_all("na", settings=settings)
    yield settings
    with routing.connect("na", "superuser", autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def connect(database: Settings) -> Connect:
    """Open a connection to the database as a role."""

    def open_connection(role: Role) -> Connection:
        return routing.connect("na", role, settings=database)

    return open_connection


def _open_shop(loader: Connection) -> Shop:
    tenant = uuid4()
    person = uuid4()
    loader.execute(
        "insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0) on conflict do nothing"
    )
    loader.execute("insert into geo.users (id, email, region) values (%s, 'p@example.com', 'na')", (person,))
    loader.execute(
        "insert into saas.tenants (id, name, subdomain) values (%s, 'Shop', %s)", (tenant, f"s{tenant.hex[:20]}")
    )
    loader.execute(
        "insert into ecommerce.store_settings (tenant_id, tax_rate, shipping_amount) values (%s, 0.0825, 4.99)",
        (tenant,),
    )

    def insert(table: str, columns: str, *values: object) -> int:
        schema, name = table.split(".")
        query = sql.SQL("insert into {} (tenant_id, {}) values ({}) returning id").format(
            sql.Identifier(schema, name),
            sql.SQL(", ").join(sql.Identifier(column) for column in columns.split()),
            sql.SQL(", ").join(sql.Placeholder() for _ in range(len(values) + 1)),
        )
        row = loader.execute(query, (tenant, *values)).fetchone()
        assert row is not None
        return int(row[0])

    user = insert("ecommerce.users", "person_id email password_hash", person, "p@example.com", "!")
    address = insert(
        "ecommerce.addresses", "user_id address_type street_line1 city country", user, "shipping", "1 St", "X", "US"
    )
    product = insert("ecommerce.products", "name base_price sku", "Shirt", "10.00", "shirt")
    variants = tuple(
        insert("ecommerce.product_variants", "product_id sku price_adjustment inventory_count", product, sku, extra, 10)
        for sku, extra in (("shirt-s", "0"), ("shirt-l", "2.50"))
    )
    return Shop(tenant, user, address, (variants[0], variants[1]))


@pytest.fixture
def shops(connect: Connect) -> tuple[Shop, Shop]:
    """Two tenants of the same shape, new for each test."""
    with connect("loader") as loader:
        return _open_shop(loader), _open_shop(loader)


@pytest.fixture(scope="session")
def full_shops(connect: Connect) -> tuple[Shop, Shop]:
    """Two tenants with a row in every table, for tests that change none of them."""
    statements = split((Path(__file__).with_name("full_shop.sql")).read_text())
    with connect("loader") as loader:
        shops = _open_shop(loader), _open_shop(loader)
        for shop in shops:
            for statement in statements:
                values = {"tenant": shop.tenant_id, "shopper": shop.user_id, "variant": shop.variant_ids[0]}
                loader.execute(statement.text.encode(), values)
    return shops
