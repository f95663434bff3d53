"""The database refuses a person where people of their region may not live: direct SQL, COPY, replica mode, replication.

Two cells, each a database of its own; nothing but the migrations is in them.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql
from pydantic import SecretStr

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import CELLS, Cell
from orchestration.engines.local import LocalEngines
from orchestration.settings import Settings, get_settings
from orchestration.tenancy.placement import database_name
from orchestration.tenancy.provisioning import deprovision, provision
from orchestration.tenancy.registry import Tenant

MISPLACED, NOT_NOW = "RES01", "RES02"
PEOPLE, SENSITIVE = "people_live_where_they_may", "eu_data_stays_in_the_eu"
# A value that no message may repeat.
MARKER = "m4rk3r"
DEADLINE_SECONDS = 30.0

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Homes:
    """A database per cell, migrated, and how to reach it."""

    settings: Settings

    def connect(self, cell: Cell, role: Role = "loader") -> Connection:
        return routing.connect(cell, role, settings=self.settings)

    def execute(self, cell: Cell, query: str, role: Role = "loader") -> None:
        with self.connect(cell, role) as connection:
            connection.execute(query.encode())

    def value(self, cell: Cell, query: str) -> Any:
        with self.connect(cell, "auditor") as connection:
            row = connection.execute(query.encode()).fetchone()
        return None if row is None else row[0]

    def person(self, cell: Cell, region: str) -> UUID:
        person = uuid4()
        with self.connect(cell) as connection:
            insert(connection, region, person)
        return person


@pytest.fixture(scope="module")
def homes(engines: LocalEngines) -> Iterator[Homes]:
    del engines  # only has to run
    name = f"homes_{uuid4().hex[:12]}"
    dsns = {}
    for cell in CELLS:
        with routing.connect(cell, "superuser", autocommit=True) as connection:
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        dsns[cell] = SecretStr(endpoints.dsn(cell, "superuser", database=name))
    settings = Settings(home=get_settings().home, dsn_na=dsns["na"], dsn_eu=dsns["eu"], dsn_apac=dsns["apac"])
    try:
        for cell in CELLS:
            migrations.apply_all(cell, settings=settings)
        yield Homes(settings)
    finally:
        for cell in CELLS:
            with routing.connect(cell, "superuser", autocommit=True) as connection:
                connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def insert(connection: Connection, region: str, person: UUID | None = None) -> None:
    connection.execute(
        "insert into geo.users (id, email, region) values (%s, %s, %s)",
        (person or uuid4(), f"{MARKER}@example.com", region),
    )


@contextmanager
def refused(state: str, rule: str, *said: str) -> Iterator[None]:
    """Expect a refusal that names the rule and what is ``said``, has a way out and repeats nobody's value."""
    with pytest.raises(psycopg.Error) as caught:
        yield
    error = caught.value
    told = " ".join(
        part or "" for part in (error.diag.message_primary, error.diag.message_detail, error.diag.message_hint)
    )
    assert error.sqlstate == state, told
    assert error.diag.constraint_name == rule or state == NOT_NOW
    assert MARKER not in told
    assert error.diag.message_hint
    for each in said:
        assert each in told


# --- who may live where


@pytest.mark.parametrize(
    ("cell", "region"), [(cell, region) for cell in CELLS for region in CELLS if region != "eu" or cell == "eu"]
)
def test_a_person_may_live_where_the_region_says(homes: Homes, cell: Cell, region: str) -> None:
    person = homes.person(cell, region)
    assert homes.value(cell, f"select region from geo.users where id = '{person}'") == region


@pytest.mark.parametrize("cell", ["na", "apac"])
@pytest.mark.parametrize("role", ["loader", "superuser"])
def test_a_person_of_the_eu_is_refused_elsewhere_with_the_way_out(homes: Homes, cell: Cell, role: Role) -> None:
    said = (PEOPLE, "region 'eu'", f"cell '{cell}'", "may live in: eu", "capstone person move")
    with refused(MISPLACED, PEOPLE, *said), homes.connect(cell, role) as connection:
        insert(connection, "eu")


def test_one_misplaced_person_refuses_the_whole_statement(homes: Homes) -> None:
    before = homes.value("na", "select count(*) from geo.users")
    with refused(MISPLACED, PEOPLE), homes.connect("na") as connection:
        connection.execute(
            "insert into geo.users (email, region)"
            " select 'x@example.com', case i when 900 then 'eu' else 'na' end from generate_series(1, 1000) as i"
        )
    assert homes.value("na", "select count(*) from geo.users") == before


def test_copy_is_refused(homes: Homes) -> None:
    with (
        refused(MISPLACED, PEOPLE),
        homes.connect("na") as connection,
        connection.cursor() as cursor,
        cursor.copy("copy geo.users (email, region) from stdin") as copy,
    ):
        copy.write_row((f"{MARKER}@example.com", "apac"))
        copy.write_row((f"{MARKER}@example.com", "eu"))


@pytest.mark.parametrize(
    "statement",
    [
        "update geo.users set region = 'eu' where id = %s",
        "insert into geo.users (id, email, region) values (%s, '', 'na') on conflict (id) do update set region = 'eu'",
        (
            "merge into geo.users as u using (values (%s::uuid)) as v (id) on u.id = v.id"
            " when matched then update set region = 'eu'"
        ),
    ],
)
def test_a_person_cannot_become_one_of_the_eu_elsewhere(homes: Homes, statement: LiteralString) -> None:
    person = homes.person("na", "na")
    with refused(MISPLACED, PEOPLE), homes.connect("na") as connection:
        connection.execute(statement, (person,))
    assert homes.value("na", f"select region from geo.users where id = '{person}'") == "na"


@pytest.mark.parametrize("region", ["EU", "Eu", "", "xx", "eu "])
@pytest.mark.parametrize("cell", CELLS)
def test_an_unknown_region_is_answered_with_those_that_exist(homes: Homes, cell: Cell, region: str) -> None:
    with refused("23503", "users_region_fkey", "apac, eu, na, in lower case"), homes.connect(cell) as connection:
        insert(connection, region)


def test_what_stands_in_the_place_of_a_region_is_not_repeated(homes: Homes) -> None:
    with refused("23503", "users_region_fkey", "this one does not"), homes.connect("na") as connection:
        insert(connection, f"{MARKER}@example.com")


def test_a_region_that_is_missing_is_no_default(homes: Homes) -> None:
    with pytest.raises(errors.NotNullViolation), homes.connect("na") as connection:
        connection.execute("insert into geo.users (email) values ('a@example.com')")


def test_replica_mode_passes_nobody_by(homes: Homes) -> None:
    with refused(MISPLACED, PEOPLE), homes.connect("na", "superuser") as connection:
        connection.execute("set session_replication_role = replica")
        insert(connection, "eu")
    with refused("23503", "users_region_fkey"), homes.connect("na", "superuser") as connection:
        connection.execute("set session_replication_role = replica")
        insert(connection, "EU")


def test_an_empty_search_path_or_a_hostile_one_changes_nothing(homes: Homes) -> None:
    with refused(MISPLACED, PEOPLE), homes.connect("na", "superuser") as connection:
        connection.execute("set search_path = ''")
        insert(connection, "eu")
    with refused(MISPLACED, PEOPLE), homes.connect("na", "superuser") as connection:
        connection.execute("create temporary table regions (region text, residency text[])")
        connection.execute("insert into regions values ('eu', '{na}')")
        connection.execute("create function pg_temp.array_to_string(text[], text) returns text return 'x'")
        connection.execute("set search_path = pg_temp, pg_catalog")
        insert(connection, "eu")


# --- sensitive data


def test_sensitive_data_is_taken_in_the_eu_for_people_of_the_eu(homes: Homes) -> None:
    person = homes.person("eu", "eu")
    homes.execute("eu", f"insert into geo.eu_user_data values ('{person}', '{{}}')")
    assert homes.value("eu", f"select count(*) from geo.eu_user_data where user_id = '{person}'") == 1


@pytest.mark.parametrize(("cell", "region"), [("na", "na"), ("apac", "na"), ("eu", "na")])
def test_sensitive_data_elsewhere_or_of_others_is_refused(homes: Homes, cell: Cell, region: str) -> None:
    person = homes.person(cell, region)
    for mode in ("origin", "replica"):
        with (
            refused(MISPLACED, SENSITIVE, f"region '{region}'", f"cell '{cell}'"),
            homes.connect(cell, "superuser") as connection,
        ):
            connection.execute(sql.SQL("set session_replication_role = {}").format(sql.Identifier(mode)))
            connection.execute("insert into geo.eu_user_data values (%s, %s)", (person, f'{{"card": "{MARKER}"}}'))


def test_sensitive_data_of_nobody_is_refused_even_where_the_foreign_key_does_not_fire(homes: Homes) -> None:
    with refused(MISPLACED, SENSITIVE, "region unknown"), homes.connect("eu", "superuser") as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("insert into geo.eu_user_data values (gen_random_uuid(), '{}')")


def test_sensitive_data_cannot_be_given_to_another_person(homes: Homes) -> None:
    person, other = homes.person("eu", "eu"), homes.person("eu", "na")
    homes.execute("eu", f"insert into geo.eu_user_data values ('{person}', '{{}}')")
    with refused(MISPLACED, SENSITIVE):
        homes.execute("eu", f"update geo.eu_user_data set user_id = '{other}' where user_id = '{person}'")


def test_a_person_with_sensitive_data_does_not_leave_the_region(homes: Homes) -> None:
    person = homes.person("eu", "eu")
    homes.execute("eu", f"insert into geo.eu_user_data values ('{person}', '{{}}')")
    for mode in ("origin", "replica"):
        with refused(MISPLACED, SENSITIVE, "region 'na'", "cell 'eu'", "capstone person move"):
            homes.execute(
                "eu",
                f"set session_replication_role = {mode}; update geo.users set region = 'na' where id = '{person}'",
                "superuser",
            )


LEAVING = "update geo.users set region = 'na' where id = '{person}'"
DELETING = "delete from geo.eu_user_data where user_id = '{person}'"


@pytest.mark.parametrize(
    "steps",
    [
        (DELETING, LEAVING),
        (f"with gone as ({DELETING} returning 1) {LEAVING}",),
        ("set constraints geo.eu_data_stays_in_the_eu deferred", LEAVING, DELETING),
    ],
    ids=["data first", "one statement", "deferred"],
)
def test_a_person_and_their_sensitive_data_change_in_one_transaction(homes: Homes, steps: tuple[str, ...]) -> None:
    person = homes.person("eu", "eu")
    homes.execute("eu", f"insert into geo.eu_user_data values ('{person}', '{{}}')")
    with homes.connect("eu") as connection:
        for step in steps:
            connection.execute(step.format(person=person).encode())
    assert homes.value("eu", f"select region from geo.users where id = '{person}'") == "na"


def test_a_deferred_constraint_is_kept_at_the_end(homes: Homes) -> None:
    person = homes.person("eu", "eu")
    homes.execute("eu", f"insert into geo.eu_user_data values ('{person}', '{{}}')")
    with refused(MISPLACED, SENSITIVE), homes.connect("eu") as connection:
        connection.execute("set constraints all deferred")
        connection.execute(LEAVING.format(person=person).encode())
    with refused(MISPLACED, SENSITIVE), homes.connect("eu") as connection:
        connection.execute("set constraints all deferred")
        other = uuid4()
        insert(connection, "na", other)
        connection.execute("insert into geo.eu_user_data values (%s, '{}')", (other,))


def test_sensitive_data_written_and_taken_back_before_a_deferred_check_is_nothing(homes: Homes) -> None:
    person = homes.person("eu", "na")
    with homes.connect("eu") as connection:
        connection.execute("set constraints all deferred")
        connection.execute("insert into geo.eu_user_data values (%s, '{}')", (person,))
        connection.execute("delete from geo.eu_user_data where user_id = %s", (person,))
    assert homes.value("eu", f"select count(*) from geo.eu_user_data where user_id = '{person}'") == 0


# --- what the rules rest on


def test_a_region_whose_people_live_here_cannot_be_kept_out(homes: Homes) -> None:
    homes.person("na", "apac")
    for statement in (
        "update geo.regions set residency = '{apac}' where region = 'apac'",
        "set session_replication_role = replica; update geo.regions set residency = '{apac}' where region = 'apac'",
        "set session_replication_role = replica; delete from geo.regions where region = 'apac'",
        "set session_replication_role = replica; update geo.regions set region = 'oceania' where region = 'apac'",
    ):
        with refused(MISPLACED, PEOPLE, "people of region 'apac' live in cell 'na'"):
            homes.execute("na", statement, "superuser")


def test_a_region_may_be_opened_renamed_and_closed_where_nobody_is_concerned(homes: Homes) -> None:
    with homes.connect("na") as connection:
        connection.execute("update geo.regions set residency = '{na,eu}' where region = 'eu'")
        insert(connection, "eu")
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            connection.execute("update geo.regions set residency = '{eu}' where region = 'eu'")
        assert caught.value.sqlstate == MISPLACED
        connection.execute("update geo.regions set name = 'Europe' where region = 'eu'")
        connection.rollback()


def test_a_role_that_would_see_nobody_cannot_change_where_people_may_live(homes: Homes) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="role owner is subject to row security"):
        homes.execute(
            "na", "set role owner; update geo.regions set residency = '{apac}' where region = 'na'", "superuser"
        )


@pytest.mark.parametrize(
    "statement",
    [
        "update platform.cell set cell = 'eu'",
        "delete from platform.cell",
        "truncate platform.cell",
        "set session_replication_role = replica; update platform.cell set cell = 'eu'",
        "set session_replication_role = replica; delete from platform.cell",
        "set session_replication_role = replica; truncate platform.cell",
    ],
)
def test_a_database_is_one_cell_for_ever(homes: Homes, statement: str) -> None:
    with refused(MISPLACED, PEOPLE, "one cell for ever"):
        homes.execute("na", statement, "superuser")


def test_a_database_without_a_cell_takes_nobody_and_becomes_no_cell_that_its_people_may_not_live_in(
    homes: Homes,
) -> None:
    homes.person("eu", "eu")
    with homes.connect("eu", "superuser") as connection:
        connection.execute("alter table platform.cell disable trigger keep_cell")
        connection.execute("delete from platform.cell")
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            insert(connection, "eu")
        assert (caught.value.sqlstate, "without a name" in str(caught.value)) == (MISPLACED, True)
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            connection.execute("insert into platform.cell (cell) values ('na')")
        assert caught.value.sqlstate == MISPLACED
        connection.execute("insert into platform.cell (cell) values ('eu')")
        connection.rollback()


# --- two at once


@contextmanager
def waiting(homes: Homes, cell: Cell, work: str, isolation: str) -> Iterator[list[psycopg.Error | None]]:
    """Begin ``work`` in another session, which the block's transaction keeps waiting until it has ended."""
    outcome: list[psycopg.Error | None] = []
    with homes.connect(cell) as other:
        other.execute(f"set session characteristics as transaction isolation level {isolation}".encode())
        other.commit()
        # Its snapshot is older than what the block commits.
        other.execute("select count(*) from geo.users")

        def attempt() -> None:
            try:
                other.execute(work.encode())
                other.commit()
                outcome.append(None)
            except psycopg.Error as error:
                other.rollback()
                outcome.append(error)

        thread = threading.Thread(target=attempt)
        thread.start()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while thread.is_alive() and not homes.value(
            cell,
            f"select exists (select from pg_catalog.pg_locks where not granted and pid = {other.info.backend_pid})",
        ):
            assert time.monotonic() < deadline, "it neither waits nor ends"
            time.sleep(0.01)
        yield outcome
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()


def _states(homes: Homes, person: UUID) -> tuple[str, int]:
    region = homes.value("eu", f"select region from geo.users where id = '{person}'")
    return str(region), int(homes.value("eu", f"select count(*) from geo.eu_user_data where user_id = '{person}'"))


@pytest.mark.parametrize(
    ("isolation", "state"), [("read committed", MISPLACED), ("repeatable read", "40001"), ("serializable", "40001")]
)
def test_data_that_waits_for_a_change_of_region_is_refused(homes: Homes, isolation: str, state: str) -> None:
    person = homes.person("eu", "eu")
    with homes.connect("eu") as mover:
        mover.execute("update geo.users set region = 'na' where id = %s", (person,))
        work = f"insert into geo.eu_user_data values ('{person}', '{{}}')"
        with waiting(homes, "eu", work, isolation) as outcome:
            mover.commit()
    assert [error and error.sqlstate for error in outcome] == [state]
    assert _states(homes, person) == ("na", 0)


@pytest.mark.parametrize(
    ("isolation", "state"), [("read committed", MISPLACED), ("repeatable read", NOT_NOW), ("serializable", NOT_NOW)]
)
def test_a_change_of_region_that_waits_for_data_is_refused(homes: Homes, isolation: str, state: str) -> None:
    person = homes.person("eu", "eu")
    with homes.connect("eu") as writer:
        writer.execute("insert into geo.eu_user_data values (%s, '{}')", (person,))
        work = f"update geo.users set region = 'na' where id = '{person}'"
        with waiting(homes, "eu", work, isolation) as outcome:
            writer.commit()
    assert [error and error.sqlstate for error in outcome] == [state]
    assert _states(homes, person) == ("eu", 1)


@pytest.mark.parametrize(("isolation", "state"), [("read committed", MISPLACED), ("repeatable read", "40001")])
def test_a_person_who_waits_for_a_region_to_be_closed_is_refused(homes: Homes, isolation: str, state: str) -> None:
    homes.execute("apac", "delete from geo.users")
    try:
        with homes.connect("apac") as closer:
            closer.execute("update geo.regions set residency = '{na}' where region = 'na'")
            work = "insert into geo.users (email, region) values ('w@example.com', 'na')"
            with waiting(homes, "apac", work, isolation) as outcome:
                closer.commit()
        assert [error and error.sqlstate for error in outcome] == [state]
        assert homes.value("apac", "select count(*) from geo.users") == 0
    finally:
        homes.execute("apac", "update geo.regions set residency = '{na,eu,apac}' where region = 'na'")


@pytest.mark.parametrize(("isolation", "state"), [("read committed", MISPLACED), ("repeatable read", NOT_NOW)])
def test_a_region_that_waits_for_a_person_is_not_closed(homes: Homes, isolation: str, state: str) -> None:
    with homes.connect("apac") as writer:
        insert(writer, "na")
        work = "update geo.regions set residency = '{na}' where region = 'na'"
        with waiting(homes, "apac", work, isolation) as outcome:
            writer.commit()
    assert [error and error.sqlstate for error in outcome] == [state]


# --- what arrives by replication


@contextmanager
def subscribed(homes: Homes, table: str) -> Iterator[None]:
    """Let the cell ``na`` subscribe to a table of the cell ``eu``, which nobody ever should."""
    source = endpoints.dsn("eu", "superuser", settings=homes.settings)
    with homes.connect("eu", "superuser") as publisher, homes.connect("na", "superuser") as subscriber:
        publisher.autocommit = subscriber.autocommit = True
        publisher.execute(sql.SQL("create publication leak for table {}").format(sql.Identifier(*table.split("."))))
        subscriber.execute(
            sql.SQL("create subscription leak connection {} publication leak with (copy_data = false)").format(
                sql.Literal(source)
            )
        )
        try:
            yield
        finally:
            subscriber.execute("drop subscription leak")
            publisher.execute("drop publication leak")


def _wait_for(homes: Homes, query: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not homes.value("na", query):
        assert time.monotonic() < deadline, f"never true: {query}"
        time.sleep(0.05)


def test_an_apply_worker_takes_who_may_live_here_and_refuses_who_may_not(homes: Homes) -> None:
    with subscribed(homes, "geo.users"):
        allowed = homes.person("eu", "na")
        _wait_for(homes, f"select count(*) = 1 from geo.users where id = '{allowed}'")
        misplaced = homes.person("eu", "eu")
        _wait_for(
            homes, "select sum(apply_error_count) > 0 from pg_catalog.pg_stat_subscription_stats where subname = 'leak'"
        )
        assert homes.value("na", f"select count(*) from geo.users where id = '{misplaced}'") == 0


def test_an_apply_worker_refuses_sensitive_data(homes: Homes) -> None:
    person = homes.person("eu", "eu")
    with subscribed(homes, "geo.eu_user_data"):
        homes.execute("eu", f"insert into geo.eu_user_data values ('{person}', '{{}}')")
        _wait_for(
            homes, "select sum(apply_error_count) > 0 from pg_catalog.pg_stat_subscription_stats where subname = 'leak'"
        )
        assert homes.value("na", "select count(*) from geo.eu_user_data") == 0


# --- a tenant's own database


def test_a_tenants_own_database_knows_its_cell_and_refuses_too(homes: Homes) -> None:
    tenant = Tenant(uuid4(), "na", "Own", "own", "free", "active", "database")
    with homes.connect("na") as loader:
        loader.execute("insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0)")
        loader.execute(
            "insert into saas.tenants (id, name, subdomain, plan, model) values (%s, 'Own', 'own', 'free', 'database')",
            (tenant.id,),
        )
    provision(tenant, "database", "na", homes.settings)
    try:
        own = database_name(tenant.id)
        with routing.connect("na", "loader", database=own, settings=homes.settings) as loader:
            insert(loader, "na")
            with refused(MISPLACED, PEOPLE, "cell 'na'"):
                insert(loader, "eu")
    finally:
        deprovision(tenant.id, "database", "na", homes.settings)
