"""Cells of their own for the loading tests: a database each in the session's servers, with all migrations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import CELLS, Cell
from orchestration.engines.local import LocalEngines
from orchestration.loading.seeds import load_seeds
from orchestration.loading.window import Window
from orchestration.settings import Settings, get_settings

DATABASE = "loading"
WINDOW = Window("small", date(2026, 3, 1))


@dataclass(frozen=True)
class LoadingCells:
    """The cells, the window they are filled for, and how tests look into them."""

    settings: Settings
    window: Window

    def day(self, index: int) -> date:
        return self.window.first_day + timedelta(days=index)

    def connect(self, cell: Cell, role: Role) -> psycopg.Connection[Any]:
        return routing.connect(cell, role, autocommit=True, settings=self.settings)

    def rows(self, cell: Cell, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self.connect(cell, "auditor") as connection:
            return list(connection.execute(query.encode(), parameters))

    def value(self, cell: Cell, query: str, parameters: Sequence[object] = ()) -> Any:
        return self.rows(cell, query, parameters)[0][0]

    def execute(self, cell: Cell, query: str, parameters: Sequence[object] = ()) -> None:
        with self.connect(cell, "superuser") as connection:
            connection.execute(query.encode(), parameters)

    def digest(self, cell: Cell, relation: str, where: str = "true") -> tuple[int, str]:
        """Return the number of rows and a digest of all their columns, in whatever order they lie."""
        query = (
            "select count(*), coalesce(md5(string_agg(h, '' order by h)), '') "
            f"from (select md5(r::text) as h from {relation} as r where {where}) as rows"
        )
        count, text = self.rows(cell, query)[0]
        return int(count), str(text)


@pytest.fixture(scope="module")
def loading_cells(engines: LocalEngines) -> Iterator[LoadingCells]:
    assert engines
    settings = get_settings()
    own: dict[str, SecretStr] = {}
    for cell in CELLS:
        with routing.connect(cell, "superuser", autocommit=True, settings=settings) as connection:
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(DATABASE)))
        own[f"dsn_{cell}"] = SecretStr(endpoints.dsn(cell, "superuser", database=DATABASE, settings=settings))
    cells = LoadingCells(settings.model_copy(update=own), WINDOW)
    for cell in CELLS:
        migrations.apply_all(cell, settings=cells.settings)
    yield cells
    for cell in CELLS:
        with routing.connect(cell, "superuser", autocommit=True, settings=settings) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(DATABASE)))


@pytest.fixture(scope="module")
def seeded(loading_cells: LoadingCells) -> LoadingCells:
    for cell in CELLS:
        load_seeds(cell, settings=loading_cells.settings, window=loading_cells.window)
    return loading_cells
