"""Applying migrations to a real server: whole or not at all, once, in order, by one runner at a time."""

import threading
from pathlib import Path

import psycopg
import pytest

from orchestration.cells import credentials, endpoints, routing
from orchestration.engines.local import LocalEngines
from orchestration.migrations import (
    DOMAINS,
    LedgerError,
    MigrationError,
    apply_all,
    apply_domain,
    pending,
    plan,
    runner,
)
from orchestration.settings import Settings


def answer(settings: Settings, query: str, role: endpoints.Role = "superuser") -> object:
    with routing.connect("na", role, settings=settings) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def test_everything_is_applied_once_and_a_second_run_changes_nothing(empty_database: Settings) -> None:
    expected = [m.name for domain in DOMAINS for m in plan(domain, "apache")]
    assert [m.name for m in pending("na", settings=empty_database)] == expected
    assert [applied.name for applied in apply_all("na", settings=empty_database)] == expected
    digest = answer(empty_database, "select platform.catalog_digest()")
    ledger = "select md5(string_agg(m::text, ',' order by domain, version)) from platform.schema_migrations as m"
    before = answer(empty_database, ledger)
    said: list[str] = []
    assert apply_all("na", settings=empty_database, report=said.append) == []
    assert said == []
    assert pending("na", settings=empty_database) == []
    assert answer(empty_database, ledger) == before
    assert answer(empty_database, "select platform.catalog_digest()") == digest


def test_a_domain_waits_for_those_that_it_rests_on(empty_database: Settings, sql_root: Path) -> None:
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    with pytest.raises(MigrationError, match="domain 'saas' rests on 'geo', where 1 migrations"):
        apply_domain("na", "saas", settings=empty_database, root=sql_root)


def test_without_the_platform_nothing_else_is_applied(empty_database: Settings) -> None:
    with pytest.raises((MigrationError, routing.CellUnavailableError)):
        apply_domain("na", "geo", settings=empty_database)


def test_an_edited_applied_file_is_an_error_that_names_it(empty_database: Settings, sql_root: Path) -> None:
    apply_all("na", settings=empty_database, root=sql_root)
    (sql_root / "geo" / "001_first.sql").write_text("create table geo.other (id integer);\n")
    with pytest.raises(LedgerError, match=r"sql/geo/001_first\.sql was edited"):
        apply_domain("na", "geo", settings=empty_database, root=sql_root)
    # What rests on it stops as well.
    with pytest.raises(LedgerError, match=r"sql/geo/001_first\.sql was edited"):
        apply_domain("na", "saas", settings=empty_database, root=sql_root)


FAILURES = {
    "syntax": ("selec 2;\n", r"sql/geo/002_bad\.sql:4 \(statement 2, character 1 of the line\): syntax error"),
    "relation": (
        "select 1\nfrom geo.missing;\n",
        r'sql/geo/002_bad\.sql:5 \(statement 2, character 6 of the line\): relation "geo\.missing" does not exist',
    ),
    "runtime": ("\nselect 1 / 0;\n", r"sql/geo/002_bad\.sql:5 \(statement 2\): division by zero"),
    "commit": ("commit;\n", r"sql/geo/002_bad\.sql:4: COMMIT is not for a migration to say"),
    "open string": ("select 'open;\n", r"sql/geo/002_bad\.sql: line 4: ' is not closed"),
    "rows kept quiet": (
        "insert into geo.first values (1), (1);\n",
        r"sql/geo/002_bad\.sql:4 \(statement 2\): duplicate key value violates unique constraint [^()]*; nothing",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_file_leaves_nothing_and_says_where(empty_database: Settings, sql_root: Path, failure: str) -> None:
    text, said = FAILURES[failure]
    (sql_root / "geo" / "002_bad.sql").write_text(f"create table geo.second (\n    id integer\n);\n{text}")
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    with pytest.raises(MigrationError, match=said):
        apply_domain("na", "geo", settings=empty_database, root=sql_root)
    assert answer(empty_database, "select to_regclass('geo.second')") is None
    # The file before it is kept, and once mended the run continues where it stopped.
    assert answer(empty_database, "select count(*) from platform.schema_migrations where domain = 'geo'") == 1
    (sql_root / "geo" / "002_bad.sql").write_text("create table geo.second (id integer);\n")
    assert [a.name for a in apply_domain("na", "geo", settings=empty_database, root=sql_root)] == ["002_bad.sql"]


def test_objects_belong_to_the_owner_whoever_applied_them(empty_database: Settings, sql_root: Path) -> None:
    apply_all("na", settings=empty_database, root=sql_root)
    assert answer(empty_database, "select relowner::regrole::text from pg_class where relname = 'first'") == "owner"


def test_a_statement_that_row_security_would_filter_fails_instead_of_changing_nothing(
    empty_database: Settings, sql_root: Path
) -> None:
    (sql_root / "geo" / "002_secured.sql").write_text(
        "create table geo.secured (id integer);\nalter table geo.secured enable row level security;\n"
        "alter table geo.secured force row level security;\n"
    )
    (sql_root / "geo" / "003_backfill.sql").write_text("update geo.secured set id = id + 1;\n")
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    with pytest.raises(MigrationError, match="row-level security policy"):
        apply_domain("na", "geo", settings=empty_database, root=sql_root)
    (sql_root / "geo" / "003_backfill.sql").write_text("reset role;\nupdate geo.secured set id = id + 1;\n")
    assert apply_domain("na", "geo", settings=empty_database, root=sql_root)


def test_what_one_file_sets_is_not_set_for_the_next(empty_database: Settings, sql_root: Path) -> None:
    (sql_root / "geo" / "002_sets.sql").write_text("set search_path = geo;\nset statement_timeout = '1h';\n")
    (sql_root / "geo" / "003_unqualified.sql").write_text("select * from first;\n")
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    with pytest.raises(MigrationError, match='relation "first" does not exist'):
        apply_domain("na", "geo", settings=empty_database, root=sql_root)


NO_TRANSACTION = """-- no-transaction
create index concurrently if not exists idx_first on geo.first (id);
select 1 / (case when (select count(*) from geo.first) = 0 then 0 else 1 end);
"""


def test_a_file_without_a_transaction_continues_when_run_again(empty_database: Settings, sql_root: Path) -> None:
    (sql_root / "geo" / "002_index.sql").write_text(NO_TRANSACTION)
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    with pytest.raises(
        MigrationError, match=r"sql/geo/002_index\.sql:3 \(statement 2\): division by zero; what it did"
    ):
        apply_domain("na", "geo", settings=empty_database, root=sql_root)
    assert answer(empty_database, "select to_regclass('geo.idx_first')::text") == "geo.idx_first"
    answer(empty_database, "insert into geo.first values (1) returning id")
    assert [a.name for a in apply_domain("na", "geo", settings=empty_database, root=sql_root)] == ["002_index.sql"]
    assert answer(empty_database, "select relowner::regrole::text from pg_class where relname = 'idx_first'") == "owner"


def test_two_runners_at_once_apply_everything_once(empty_database: Settings, sql_root: Path) -> None:
    (sql_root / "geo" / "002_slow.sql").write_text("select pg_sleep(1);\ncreate table geo.slow (id integer);\n")
    # One that waits must not stop the other's concurrent index.
    (sql_root / "geo" / "003_index.sql").write_text(
        "-- no-transaction\ncreate index concurrently if not exists idx_first on geo.first (id);\n"
    )
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    barrier = threading.Barrier(2)
    applied: list[str] = []
    said: list[str] = []
    errors: list[Exception] = []

    def run() -> None:
        barrier.wait()
        try:
            done = apply_domain("na", "geo", settings=empty_database, root=sql_root, report=said.append)
            applied.extend(a.name for a in done)
        except (MigrationError, psycopg.Error) as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(applied) == ["001_first.sql", "002_slow.sql", "003_index.sql"]
    assert "na: another run applies migrations, waiting for it" in said


def test_a_runner_does_not_wait_for_ever(
    empty_database: Settings, sql_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    monkeypatch.setattr(runner, "LOCK_WAIT_SECONDS", 0.3)
    with routing.connect("na", "superuser", settings=empty_database, autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s)", (runner.LOCK_KEY,))
        with pytest.raises(MigrationError, match="another run has been applying"):
            apply_domain("na", "geo", settings=empty_database, root=sql_root)


def test_a_database_of_another_cell_is_refused(empty_database: Settings, sql_root: Path) -> None:
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    swapped = Settings(home=empty_database.home, dsn_eu=empty_database.dsn_na)
    with pytest.raises(MigrationError, match=r"is cell 'na', not 'eu': check CAPSTONE_DSN_EU"):
        apply_domain("eu", "platform", settings=swapped, root=sql_root)


def test_a_changed_password_is_set_without_being_sent(empty_database: Settings, sql_root: Path) -> None:
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    right = endpoints.password("auditor", empty_database)
    with routing.connect("na", "superuser", settings=empty_database, autocommit=True) as connection:
        assert not credentials.set_password(connection, "auditor", right)
        assert credentials.set_password(connection, "auditor", "something else")
    said: list[str] = []
    apply_domain("na", "platform", settings=empty_database, root=sql_root, report=said.append)
    assert said == ["na: password of role auditor set"]
    assert answer(empty_database, "select current_user", "auditor") == "auditor"


def test_an_administrator_who_is_no_superuser_suffices_once_roles_and_timescaledb_are_there(
    cells: LocalEngines, managed_database: Settings
) -> None:
    del cells  # their migrations made the server's roles
    assert apply_all("na", settings=managed_database)
    assert apply_all("na", settings=managed_database) == []
    assert answer(managed_database, "select rolsuper from pg_roles where rolname = current_user") is False
    assert answer(managed_database, "select count(*) from geo.regions", "app") == 3


def test_roles_that_are_as_they_should_be_are_not_touched(empty_database: Settings, sql_root: Path) -> None:
    versions = "select array_agg(xmin::text order by rolname) from pg_authid where rolname <> 'postgres'"
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    before = answer(empty_database, versions)
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    assert answer(empty_database, versions) == before


def test_a_role_that_was_given_more_than_it_should_have_is_put_right(empty_database: Settings, sql_root: Path) -> None:
    with routing.connect("na", "superuser", settings=empty_database, autocommit=True) as connection:
        connection.execute("do $$ begin if to_regrole('app') is null then create role app; end if; end $$")
        connection.execute("alter role app createrole")
    apply_domain("na", "platform", settings=empty_database, root=sql_root)
    assert answer(empty_database, "select rolcreaterole from pg_roles where rolname = 'app'") is False
