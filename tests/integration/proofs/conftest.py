"""Three cells of their own: a database each in the session's servers, seeded with small merchants."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg import sql

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import CELLS, Cell
from orchestration.engines.local import LocalEngines
from orchestration.migrations import apply_all
from orchestration.proofs.proof import SUITES, Proof, prove
from orchestration.settings import Settings, get_settings

TENANTS = 4
SEED = Path(__file__).with_name("seed.sql")

# The triggers that refuse misplaced people, by table.
ENFORCING = (
    (sql.Identifier("geo", "users"), sql.Identifier("People_live_where_they_may")),
    (sql.Identifier("geo", "users"), sql.Identifier("eu_data_stays_in_the_eu")),
    (sql.Identifier("geo", "eu_user_data"), sql.Identifier("eu_data_stays_in_the_eu")),
)


@dataclass(frozen=True)
class ProofCells:
    """The cells, and what tests do to them as their administrator."""

    settings: Settings

    def prove(self, cell: Cell = "na", suites: Sequence[str] = SUITES) -> list[Proof]:
        return prove(cell, suites, settings=self.settings)

    def execute(self, cell: Cell, *statements: str) -> None:
        with routing.connect(cell, "superuser", autocommit=True, settings=self.settings) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def misplace(self, cell: Cell, statement: str) -> None:
        """Write past the triggers that refuse misplaced people, and leave them as they were, as a superuser can."""
        with routing.connect(cell, "superuser", settings=self.settings) as connection:
            for table, trigger in ENFORCING:
                connection.execute(sql.SQL("alter table {} disable trigger {}").format(table, trigger))
            connection.execute(statement.encode())
            for table, trigger in ENFORCING:
                connection.execute(sql.SQL("alter table {} enable always trigger {}").format(table, trigger))

    def rows(self, cell: Cell, query: str) -> list[tuple[object, ...]]:
        with routing.connect(cell, "auditor", settings=self.settings) as connection:
            return list(connection.execute(query.encode()))

    @contextmanager
    def planted(self, cell: Cell, plant: str, mend: str) -> Iterator[None]:
        """Plant a violation (statements separated by ;;) and mend it, which has to leave the catalog as it was."""
        before = self.rows(cell, "select fact from platform.catalog_facts()")
        self.execute(cell, *plant.split(";;"))
        try:
            yield
        finally:
            self.execute(cell, *mend.split(";;"))
        after = self.rows(cell, "select fact from platform.catalog_facts()")
        assert set(after) ^ set(before) == set(), "mending left something behind"

    def refused(self, cell: Cell) -> str | None:
        """Return why dbt's role is refused at the gate, None if it is open."""
        with routing.connect(cell, "transformer", settings=self.settings) as connection:
            try:
                connection.execute("select platform.assert_gate_open()")
            except psycopg.Error as error:
                return str(error)
        return None

    def newest(self, suite: str) -> tuple[object, ...]:
        """Return verdict and offenders of the newest proof in na."""
        return self.rows(
            "na",
            f"select verdict, offenders from platform.proofs where suite = '{suite}' order by finished_at desc limit 1",
        )[0]


@pytest.fixture(scope="module")
def world(engines: LocalEngines, platform_home: Path) -> Iterator[ProofCells]:
    """Three migrated and seeded cells, which the environment names too while a module's tests run."""
    assert engines
    local = get_settings()
    assert local.home == platform_home
    databases = {cell: f"proofs_{cell}" for cell in CELLS}
    with pytest.MonkeyPatch.context() as environment:
        for cell, database in databases.items():
            with routing.connect(cell, "superuser", autocommit=True, settings=local) as connection:
                connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database)))
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
            dsn = endpoints.dsn(cell, "superuser", database=database, settings=local)
            environment.setenv(f"CAPSTONE_DSN_{cell.upper()}", dsn)
        get_settings.cache_clear()
        settings = get_settings()
        for cell in CELLS:
            # What other tests left in the Redis of this session belongs to no store of a cell.
            with redis.Redis.from_url(endpoints.redis_url(cell, settings)) as client:
                client.flushall()
            apply_all(cell, settings=settings)
            _seed(cell, settings)
        yield ProofCells(settings)
        for cell, database in databases.items():
            with routing.connect(cell, "superuser", autocommit=True, settings=local) as connection:
                connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(database)))
    get_settings.cache_clear()


def _seed(cell: Cell, settings: Settings) -> None:
    with routing.connect(cell, "loader", settings=settings) as connection:
        connection.execute("insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0)")
        connection.execute("select set_config('seed.region', %s, true)", (cell,))
        connection.execute("select set_config('seed.tenants', %s, true)", (str(TENANTS),))
        connection.execute(SEED.read_bytes())
    with routing.connect(cell, "migrator", autocommit=True, settings=settings) as connection:
        connection.execute("call analytics.refresh_events_hourly(now() - interval '10 days', now())")


@pytest.fixture
def green(world: ProofCells) -> ProofCells:
    """The cells, of which ``na`` was just proven."""
    assert {proof.suite: proof.verdict for proof in world.prove()} == dict.fromkeys(SUITES, "green")
    return world
