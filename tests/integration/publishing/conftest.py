"""Cells with aggregates as dbt would have built them, a gate that can be opened and shut, and database global."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

from orchestration import migrations
from orchestration.cells import routing
from orchestration.cells.endpoints import GLOBAL_DATABASE
from orchestration.cells.regions import Cell
from orchestration.engines.local import LocalEngines
from orchestration.publishing import standing
from orchestration.publishing.datasets import DATASETS, dataset

HERE = Path(__file__).parent
USED: tuple[Cell, ...] = ("na", "eu")
MODELS = (*(each.model for each in DATASETS.values()), "agg_closed_periods")


@dataclass(frozen=True)
class Publishing:
    """What tests do to the cells and see in database global."""

    engines: LocalEngines

    @contextmanager
    def cell(self, cell: Cell = "na") -> Iterator[psycopg.Connection[TupleRow]]:
        with routing.connect(cell, "transformer", autocommit=True) as connection:
            yield connection

    def prove(self, cell: Cell = "na", verdict: str = "green", minutes_ago: int = 0) -> None:
        """Write a verdict for both suites; the proofs themselves are proven elsewhere."""
        with routing.connect(cell, "superuser", autocommit=True) as connection:
            connection.execute("delete from platform.proofs")
            connection.execute(
                "insert into platform.proofs"
                " (proof_id, suite, verdict, catalog_digest, offenders, rules_run, started_at, finished_at)"
                " select gen_random_uuid(), suite, %s, platform.catalog_digest(), '[]', 1,"
                " now() - %s * interval '1 minute', clock_timestamp() - %s * interval '1 minute'"
                " from unnest(array['tenant_isolation', 'geo_residency']) as suite",
                (verdict, minutes_ago, minutes_ago),
            )

    def forget_proofs(self, cell: Cell = "na") -> None:
        with routing.connect(cell, "superuser", autocommit=True) as connection:
            connection.execute("delete from platform.proofs")

    def fill(self, name: str, rows: Sequence[Sequence[Any]], cell: Cell = "na") -> None:
        """Put rows (closes_on and the dataset's columns) in the place of those of a dataset's model."""
        what = dataset(name)
        columns = ("region", "closes_on", *what.columns)
        with self.cell(cell) as connection, connection.transaction(), connection.cursor() as cursor:
            cursor.execute(sql.SQL("delete from {}").format(what.relation))
            cursor.executemany(
                sql.SQL("insert into {} ({}) values ({})").format(
                    what.relation,
                    sql.SQL(", ").join(map(sql.Identifier, columns)),
                    sql.SQL(", ").join(sql.Placeholder() * len(columns)),
                ),
                [(cell, *row) for row in rows],
            )

    def close(
        self,
        name: str,
        closes_on: date,
        groups: int = 0,
        suppressed: int = 0,
        *,
        cell: Cell = "na",
        hours_ago: int = 0,
    ) -> None:
        """Say that periods have settled by ``closes_on``, in aggregates built so many hours ago."""
        with self.cell(cell) as connection:
            connection.execute("delete from marts.agg_closed_periods where dataset = %s", (name,))
            connection.execute(
                "insert into marts.agg_closed_periods (region, dataset, closes_on, groups, merged, suppressed, as_of)"
                " values (%s, %s, %s, %s, 0, %s, now() - %s * interval '1 hour')",
                (cell, name, closes_on, groups, suppressed, hours_ago),
            )

    def published(self, name: str, cell: Cell = "na") -> list[tuple[Any, ...]]:
        """Return the columns of a dataset's rows of a cell, as the database holds them."""
        what = dataset(name)
        query = sql.SQL("select {} from {} where region = %s order by closes_on, {}").format(
            sql.SQL(", ").join(map(sql.Identifier, what.columns)),
            what.table,
            sql.SQL(", ").join(map(sql.Identifier, what.columns)),
        )
        with self.as_administrator() as connection:
            return list(connection.execute(query, (cell,)))

    def standing(self, name: str, cell: Cell = "na") -> standing.Standing:
        with standing.connect() as connection:
            return next(each for each in standing.standings(connection, name) if each.region == cell)

    @contextmanager
    def as_administrator(self) -> Iterator[psycopg.Connection[TupleRow]]:
        with routing.connect("control", "superuser", database=GLOBAL_DATABASE, autocommit=True) as connection:
            yield connection

    def empty_global(self) -> None:
        with self.as_administrator() as connection:
            connection.execute(
                "truncate publishing.publications, publishing.funnel, publishing.cohorts, publishing.revenue"
            )


@pytest.fixture(scope="module")
def platform(cells: LocalEngines) -> Iterator[Publishing]:
    """Two cells with the aggregates' relations, and database global."""
    migrations.apply_control()
    world = Publishing(cells)
    for cell in USED:
        with world.cell(cell) as connection:
            for model in MODELS:
                connection.execute(sql.SQL("drop table if exists {} cascade").format(sql.Identifier("marts", model)))
            connection.execute((HERE / "aggregates.sql").read_bytes())
    yield world
    cells.start(print)
    for cell in USED:
        with world.cell(cell) as connection:
            for model in MODELS:
                connection.execute(sql.SQL("drop table {}").format(sql.Identifier("marts", model)))
        world.forget_proofs(cell)


@pytest.fixture
def world(platform: Publishing) -> Publishing:
    """The same with the gates open and nothing published."""
    for cell in USED:
        platform.prove(cell)
        for name in DATASETS:
            platform.fill(name, [], cell)
        with platform.cell(cell) as connection:
            connection.execute("delete from marts.agg_closed_periods")
    platform.empty_global()
    return platform
