"""Three cells of their own for the lives of tenants: a database each in the session's servers, and a home of files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis
from psycopg import sql
from pydantic import SecretStr

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import CELLS, Cell
from orchestration.engines.local import LocalEngines
from orchestration.settings import Settings, get_settings
from orchestration.tenancy.provisioning import deprovision

DATABASE = "life"


@dataclass(frozen=True)
class LifeCells:
    """The cells and how tests look into them."""

    settings: Settings

    def connect(self, cell: Cell, role: Role = "superuser", database: str | None = None) -> psycopg.Connection[Any]:
        return routing.connect(cell, role, database=database, autocommit=True, settings=self.settings)

    def rows(self, cell: Cell, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self.connect(cell) as connection:
            return list(connection.execute(query.encode(), parameters))

    def value(self, cell: Cell, query: str, parameters: Sequence[object] = ()) -> Any:
        return self.rows(cell, query, parameters)[0][0]

    def execute(self, cell: Cell, query: str, parameters: Sequence[object] | None = None) -> None:
        with self.connect(cell) as connection:
            connection.execute(query.encode(), parameters)

    def journal(self, cell: Cell, tenant: UUID) -> list[tuple[Any, ...]]:
        """Return verb, last step and state of the tenant's operations, oldest first."""
        return self.rows(
            cell,
            "select verb, step, state from platform.tenant_operations where tenant_id = %s order by started_at",
            (tenant,),
        )


@pytest.fixture(scope="module")
def life(engines: LocalEngines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LifeCells]:
    assert engines
    local = get_settings()
    own: dict[str, object] = {}
    for cell in CELLS:
        with routing.connect(cell, "superuser", autocommit=True, settings=local) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(DATABASE)))
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(DATABASE)))
        own[f"dsn_{cell}"] = SecretStr(endpoints.dsn(cell, "superuser", database=DATABASE, settings=local))
        own[f"redis_url_{cell}"] = SecretStr(endpoints.redis_url(cell, local))
        # The session's Redis: a queue that other tests have processed would keep what is erased from it for a while.
        with redis.Redis.from_url(endpoints.redis_url(cell, local)) as client:
            client.flushall()
    home = tmp_path_factory.mktemp("home")
    (home / "secrets.json").write_bytes(endpoints.secrets_file(local).read_bytes())
    cells = LifeCells(local.model_copy(update={**own, "home": Path(home)}))
    for cell in CELLS:
        migrations.apply_all(cell, settings=cells.settings)
    yield cells
    for cell in CELLS:
        # Databases and logins of tenants are the server's, which has other tests' cells as well.
        for (tenant,) in cells.rows(cell, "select id from saas.tenants where model = 'database'"):
            deprovision(tenant, "database", cell, cells.settings)
        with routing.connect(cell, "superuser", autocommit=True, settings=local) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(DATABASE)))
