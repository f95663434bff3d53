"""dbt itself against a real cell: the gate, row security, increments, targets and documentation."""

import json
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.cells.shell_environment import dbt_environment
from orchestration.cells.tenant_context import tenant_context
from orchestration.defs.transform.documentation import docs_folder, generate_documentation
from orchestration.settings import PROJECT_ROOT, get_settings

Dbt = Callable[..., subprocess.CompletedProcess[str]]
Prove = Callable[..., None]
Connection = psycopg.Connection[TupleRow]
Row = tuple[Any, ...]

CELL: Cell = "na"
TENANTS = (UUID("00000000-0000-0000-0000-0000000000d1"), UUID("00000000-0000-0000-0000-0000000000d2"))
LOAD = UUID("00000000-0000-0000-0000-0000000000dd")
FIRST_DAY = date(2026, 3, 2)
# From the files, so that a new mart is under these tests without anybody thinking of it.
MODELS = sorted((PROJECT_ROOT / "dbt_project" / "models").rglob("*.sql"))
# Of tenants; what is in marts/global is of none, and no tenant's role may read it.
MARTS = tuple(path.stem for path in MODELS if "marts" in path.parts and path.parent.name != "global")
AGGREGATES = tuple(path.stem for path in MODELS if path.parent.name == "global")
EVENT_MARTS = tuple(path.stem for path in MODELS if path.parent.name in ("funnel", "sessions", "trends"))


@pytest.fixture(scope="module")
def built(dbt: Dbt, prove: Prove) -> Dbt:
    prove()
    done = dbt("build")
    assert done.returncode == 0, done.stdout
    return dbt


def rows_of(connection: Connection, mart: str) -> list[TupleRow]:
    return connection.execute(
        sql.SQL("select * from {} as m order by m::text").format(sql.Identifier("marts", mart))
    ).fetchall()


def secured(connection: Connection, mart: str) -> TupleRow | None:
    return connection.execute(
        "select c.relrowsecurity, c.relforcerowsecurity, count(p.oid), has_table_privilege('app', c.oid, 'select'),"
        " has_table_privilege('app', c.oid, 'insert, update, delete, truncate')"
        " from pg_class as c left join pg_policy as p on p.polrelid = c.oid"
        " where c.oid = %s::regclass group by c.oid",
        (f"marts.{mart}",),
    ).fetchone()


@pytest.mark.parametrize("verdict", ["red", "error"])
def test_a_closed_gate_stops_a_plain_build_before_anything_is_built(
    dbt: Dbt, database: Connection, prove: Prove, verdict: str
) -> None:
    # The transaction that last defined the view, if an earlier test has built it: a view is replaced in place.
    definition = "select xmin::text from pg_rewrite where ev_class = to_regclass('staging.stg_plans')"
    before = database.execute(definition).fetchall()
    prove(verdict)
    done = dbt("build")
    assert done.returncode == 1
    assert "the gate of cell 'na' is closed" in done.stdout
    assert "AttributeError" not in done.stdout
    assert database.execute(definition).fetchall() == before


def test_a_build_passes_all_its_tests_and_reads_all_rows(built: Dbt, database: Connection) -> None:  # noqa: ARG001
    tenants = {row[0] for row in database.execute("select distinct tenant_id from marts.fct_funnel").fetchall()}
    assert tenants == set(TENANTS)


def test_revenue_is_the_orders_total(built: Dbt, database: Connection) -> None:  # noqa: ARG001
    row = database.execute(
        "select (select sum(gross_revenue) from marts.fct_daily_revenue),"
        " (select sum(total_amount) from ecommerce.orders)"
    ).fetchone()
    assert row is not None
    assert row[0] == row[1]


@pytest.mark.parametrize("mart", MARTS)
def test_app_sees_its_own_rows_and_no_others(built: Dbt, mart: str) -> None:  # noqa: ARG001
    count = sql.SQL("select count(*), count(*) filter (where tenant_id = %s) from {}").format(
        sql.Identifier("marts", mart)
    )
    with routing.connect(CELL, "app") as connection:
        assert connection.execute(count, (TENANTS[0],)).fetchone() == (0, 0)
        connection.commit()
        with tenant_context(connection, TENANTS[0]):
            row = connection.execute(count, (TENANTS[0],)).fetchone()
    assert row is not None
    assert row[0] == row[1] > 0


@pytest.mark.parametrize("mart", AGGREGATES)
def test_app_may_not_read_what_is_of_no_tenant(built: Dbt, mart: str) -> None:  # noqa: ARG001
    query = sql.SQL("select count(*) from {}").format(sql.Identifier("marts", mart))
    with (
        routing.connect(CELL, "app") as connection,
        tenant_context(connection, TENANTS[0]),
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(query)


def test_usage_is_what_was_metered_and_what_is_there(built: Dbt, database: Connection) -> None:  # noqa: ARG001
    used = database.execute(
        "select live_events, requests, failures, refusals, queries, busy_seconds, latency_p50_ms, latency_p99_ms,"
        " latency_max_ms, row_count from marts.fct_tenant_usage where month = '2026-03-01'"
    ).fetchall()
    assert used == [(7, 10, 1, 2, 24, Decimal("0.120"), 2, 64, Decimal("40.000"), None)] * 2
    held = database.execute(
        "select row_count, storage_bytes > 0 from marts.fct_tenant_usage where row_count is not null"
    ).fetchall()
    assert [stored for _, stored in held] == [True, True]
    # Each has a shopper and twenty orders; three days of sixty events are between them.
    assert sum(rows for rows, _ in held) == 2 * 21 + 3 * 60


def test_row_security_survives_increments_and_full_refreshes(built: Dbt, database: Connection, prove: Prove) -> None:
    digest = database.execute("select platform.catalog_digest()").fetchone()
    for arguments in (("--full-refresh",), ()):
        prove()
        assert built("build", "--select", "marts", *arguments).returncode == 0
        for mart in MARTS:
            assert secured(database, mart) == (True, True, 1, True, False), mart
    # So a proof stays good after a rebuild, and nothing is left over from the swap.
    assert database.execute("select platform.catalog_digest()").fetchone() == digest


def test_days_built_out_of_order_and_late_events_end_in_the_full_rebuild(
    *,
    built: Dbt,
    database: Connection,
    prove: Prove,
    event: Callable[..., Row],
    store_events: Callable[[Sequence[Row]], None],
    random_day: Callable[[date], list[Row]],
) -> None:
    days = [FIRST_DAY + timedelta(days=offset) for offset in (3, 4, 5)]
    for index in (2, 0, 1):
        store_events(random_day(days[index]))
        prove()
        one_day = json.dumps({"start_day": days[index].isoformat(), "end_day": days[index].isoformat()})
        done = built("run", "--vars", one_day)
        assert done.returncode == 0, done.stdout
    # Late: a purchase on the second day, which the run of that day alone has to carry to the days before it.
    late = datetime(2026, 3, 3, 6, tzinfo=UTC)
    store_events([event(TENANTS[0], 1, late, "checkout_start"), event(TENANTS[0], 1, late, "purchase")])
    prove()
    assert built("run", "--vars", '{"start_day": "2026-03-03", "end_day": "2026-03-03"}').returncode == 0
    incremental = {mart: rows_of(database, mart) for mart in EVENT_MARTS}
    prove()
    assert built("run", "--full-refresh").returncode == 0
    assert {mart: rows_of(database, mart) for mart in EVENT_MARTS} == incremental


def test_a_day_whose_events_are_gone_loses_its_rows(built: Dbt, database: Connection, prove: Prove) -> None:
    day = FIRST_DAY + timedelta(days=5)
    database.execute("delete from analytics.events where time >= %s and load_id = %s", (day, LOAD))
    prove()
    assert (
        built(
            "run",
            "--select",
            "int_funnel_paths",
            "fct_funnel",
            "--vars",
            f'{{"start_day": "{day}", "end_day": "{day}"}}',
        ).returncode
        == 0
    )
    assert database.execute("select count(*) from marts.fct_funnel where day = %s", (day,)).fetchone() == (0,)


def test_rebuilding_one_staging_view_leaves_those_that_read_it(built: Dbt, database: Connection, prove: Prove) -> None:
    prove()
    assert built("run", "--select", "stg_events").returncode == 0
    assert database.execute("select to_regclass('intermediate.int_purchases') is not null").fetchone() == (True,)


def test_an_inverted_range_of_days_stops_dbt(dbt: Dbt) -> None:
    done = dbt("compile", "--vars", '{"start_day": "2026-03-05", "end_day": "2026-03-04"}')
    assert done.returncode != 0
    assert "inverted" in done.stdout


def test_a_target_that_reaches_another_cell_is_refused(dbt: Dbt, prove: Prove) -> None:
    prove()
    astray = {name.replace("_NA_", "_EU_"): value for name, value in dbt_environment(CELL).items()}
    done = dbt(
        "build", "--target", "eu", CAPSTONE_CELL="eu", **{name: v for name, v in astray.items() if "_EU_" in name}
    )
    assert done.returncode != 0
    assert "target 'eu' reached the database of cell 'na'" in done.stdout


def test_without_a_cells_variables_no_other_cell_can_be_reached(dbt: Dbt) -> None:
    done = dbt("build", "--target", "eu")
    assert done.returncode != 0
    assert "CAPSTONE_EU_HOST" in done.stdout


def test_a_role_under_row_security_is_refused(dbt: Dbt, database: Connection, prove: Prove) -> None:
    database.execute("alter role transformer nobypassrls")
    try:
        prove()
        done = dbt("build")
    finally:
        database.execute("alter role transformer bypassrls")
    assert done.returncode != 0
    assert "subject to row security" in done.stdout


def test_the_documentation_names_its_cell(built: Dbt) -> None:  # noqa: ARG001
    written = generate_documentation(CELL)
    folder = docs_folder(CELL, get_settings())
    assert written.models == len(MODELS)
    assert "cell na (North America)" in (folder / "index.html").read_text()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "cell na (North America)" in manifest["docs"]["doc.capstone.__overview__"]["block_contents"]
    assert "transformer" not in (folder / "catalog.json").read_text().replace('"owner": "transformer"', "")
