"""After an erasure, or a move, figures of many persons are built again by themselves, and equal a rebuild."""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from psycopg import sql
from typer.testing import CliRunner

from orchestration.cells.regions import Cell
from orchestration.cells.shell_environment import dbt_environment
from orchestration.cli import app
from orchestration.dbt.command import dbt_executable
from orchestration.defs.operations.stale_days import stale_days_job, stale_days_sensor
from orchestration.defs.partitions import daily_partitions
from orchestration.defs.transform.assets import ALL_DAYS_TAG, cell_models
from orchestration.persons import erasing
from orchestration.persons.consents import Consent
from orchestration.persons.erasing import erase_person
from orchestration.persons.moving import move_person
from orchestration.persons.operations import list_operations
from orchestration.tenancy.backup import backup_tenant, restore_tenant
from orchestration.tenancy.stale_days import mark, stale_days
from tests.integration.persons.people import OTHER, SHOPPER, Someone, someone
from tests.integration.tenancy.life.conftest import LifeCells
from tests.integration.tenancy.life.merchants import open_merchant
from tests.integration.tenancy.life.test_moves import KilledError, kill_at

CELL: Cell = "eu"
CONSENT = Consent("2026-11", datetime(2026, 11, 1, tzinfo=UTC))
TYPES = ("page_view", "product_view", "add_to_cart", "checkout_start", "purchase")

pytestmark = pytest.mark.usefixtures("environment", "brief")

Dbt = Callable[..., "subprocess.CompletedProcess[str]"]


def prove(life: LifeCells) -> None:
    """Write a green verdict; the proofs themselves are proven elsewhere."""
    life.execute(
        CELL,
        "insert into platform.proofs (proof_id, suite, verdict, catalog_digest, offenders, rules_run, started_at,"
        " finished_at) select gen_random_uuid(), s, 'green', platform.catalog_digest(), '[]', 1, now(),"
        " clock_timestamp() from unnest(array['tenant_isolation', 'geo_residency']) as s",
    )


@pytest.fixture
def dbt(life: LifeCells, tmp_path: Path) -> Dbt:
    """Return a function that runs dbt as somebody in a shell does."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        prove(life)
        named = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "DBT_TARGET_PATH": str(tmp_path)}
        return subprocess.run(
            [dbt_executable(), "--no-use-colors", *arguments],
            env=named | dbt_environment(CELL) | {"DBT_TARGET_PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def visits(life: LifeCells, person: Someone, days: list[date]) -> None:
    """Let the person, another shopper and somebody unknown pass through the shop on these days."""
    with life.connect(CELL, "loader") as loader, loader.cursor() as cursor:
        for tenant in person.tenants:
            cursor.executemany(
                "insert into analytics.events (time, tenant_id, event_id, session_id, user_id, event_type, origin,"
                " load_id) values (%s, %s, %s, %s, %s, %s, 'synthetic', %s)",
                [
                    (
                        datetime(day.year, day.month, day.day, 9 + user, minute, tzinfo=UTC),
                        tenant.id,
                        uuid4(),
                        uuid4() if minute == 0 else None,
                        user if user < 3 else None,
                        type_,
                        tenant.id,
                    )
                    for day in days
                    for user in (SHOPPER, OTHER, 3)
                    for minute, type_ in enumerate(TYPES)
                ],
            )


def contents(life: LifeCells) -> dict[str, list[Any]]:
    """Return every row of every mart, and of what they are kept in, in an order that does not depend on the writer."""
    tables = life.rows(
        CELL,
        "select n.nspname || '.' || c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and n.nspname in ('marts', 'intermediate') order by 1",
    )
    found: dict[str, list[Any]] = {}
    for (name,) in tables:
        # What a storage measures, and which touches have moved since: of the moment, not of the rows.
        row = "(to_jsonb(m) - 'storage_bytes' - 'as_of' - 'is_moved' - 'stale_days')::text"
        found[name] = life.rows(CELL, f"select {row} from {name} as m order by 1")
    return found


def sense(instance: dg.DagsterInstance) -> tuple[list[Any], dg.Definitions]:
    """Return what the sensor says: runs, or why there are none."""
    job = stale_days_job(CELL)
    definitions = dg.Definitions(assets=[cell_models(CELL)], jobs=[job], sensors=[stale_days_sensor(CELL, job)])
    said: Any = stale_days_sensor(CELL, job)(dg.build_sensor_context(instance=instance, definitions=definitions))
    return [said.skip_message] if isinstance(said, dg.SkipReason) else said, definitions


def let_it_work(instance: dg.DagsterInstance) -> list[dict[str, str]]:
    """Let the sensor look and its runs run until it asks for no more; return the runs' tags."""
    done: list[dict[str, str]] = []
    for _ in range(3):
        said, definitions = sense(instance)
        if said == ["all figures are built"]:
            return done
        for request in said:
            run = definitions.resolve_job_def(f"build_stale_days_{CELL}").execute_in_process(
                instance=instance, tags=request.tags, raise_on_error=False
            )
            assert run.success
            done.append(dict(request.tags))
    raise AssertionError("the sensor goes on asking for runs")


def figures_of(life: LifeCells) -> set[str | None]:
    return {each.figures for each in list_operations(settings=life.settings) if each.verb in ("erase", "move")}


def yesterday() -> date:
    return date.fromisoformat(daily_partitions().get_partition_keys()[-1])


def made(life: LifeCells, *, old_import: bool = False) -> Someone:
    """Make a person with events on days of the past, none of them today, and of an old import only where asked."""
    person = someone(life, CELL, mark=secrets.token_hex(8), models=("shared",))
    life.execute(CELL, "delete from analytics.events where time >= current_date")
    if not old_import:
        life.execute(CELL, "delete from analytics.events_history")
    visits(life, person, [yesterday() - timedelta(days=ago) for ago in (40, 20, 0)])
    return person


def build(dbt: Dbt, *arguments: str) -> None:
    built = dbt("run", *arguments)
    assert built.returncode == 0, built.stdout


def assert_equals_a_rebuild(life: LifeCells, dbt: Dbt) -> None:
    figures = contents(life)
    build(dbt, "--full-refresh")
    again = contents(life)
    assert figures.keys() == again.keys()
    for name, rows in again.items():
        assert figures[name] == rows, name


def test_an_erased_shopper_is_in_no_figure_once_the_sensor_has_had_the_days_built(
    life: LifeCells, dbt: Dbt, instance: dg.DagsterInstance
) -> None:
    person = made(life)
    build(dbt)
    assert stale_days(CELL, life.settings).since is None
    counted = contents(life)
    certificate = erase_person(person.id, settings=life.settings)

    stale = stale_days(CELL, life.settings)
    assert certificate.stale_days == stale.count == len(stale.days) + 1
    assert "until they are built again" in certificate.as_text()
    assert figures_of(life) == {"pending"}
    assert {yesterday() - timedelta(days=ago) for ago in (40, 20, 0)} <= set(stale.days)
    # It says of whom nothing.
    assert str(person.id) not in str(life.rows(CELL, "select s::text from analytics.stale_days as s"))
    assert contents(life)["marts.fct_funnel"] == counted["marts.fct_funnel"]
    shown = CliRunner().invoke(app, ["person", "operations"])
    assert "pending" in shown.stdout
    assert "dbt build --project-dir dbt_project" in shown.output
    # A run of one model is none of all.
    build(dbt, "--select", "stg_plans")
    assert stale_days(CELL, life.settings).count == stale.count

    life.execute(CELL, "delete from platform.proofs")
    (closed,), _ = sense(instance)
    assert "the gate is closed, the marks stay" in closed
    prove(life)
    runs = let_it_work(instance)

    # Exactly those days, and the few between that cost less than another run.
    built = [(run[ASSET_PARTITION_RANGE_START_TAG], run[ASSET_PARTITION_RANGE_END_TAG]) for run in runs]
    assert built[0][0] == stale.days[0].isoformat()
    assert built[-1][1] == stale.days[-1].isoformat()
    assert all(any(first <= day.isoformat() <= last for first, last in built) for day in stale.days)
    assert stale_days(CELL, life.settings).since is None
    assert figures_of(life) == {"built"}
    assert contents(life)["marts.fct_funnel"] != counted["marts.fct_funnel"]
    assert_equals_a_rebuild(life, dbt)


def test_who_moves_away_is_taken_out_of_the_figures_of_old_imports_by_one_build_of_all_days(
    life: LifeCells, dbt: Dbt, instance: dg.DagsterInstance
) -> None:
    person = made(life, old_import=True)
    build(dbt)
    with pytest.raises(KilledError):
        move_person(
            person.id, to_region="na", consent=CONSENT, settings=life.settings, progress=kill_at("worked", "clear")
        )
    # Killed behind the deletion: the marks are there, and a build before the command is repeated is right as well.
    assert stale_days(CELL, life.settings).days[0] < date.fromisoformat(daily_partitions().get_partition_keys()[0])
    prove(life)
    (run,) = let_it_work(instance)
    assert run[ALL_DAYS_TAG] == "true"
    assert stale_days(CELL, life.settings).since is None
    move_person(person.id, settings=life.settings)
    # The step ran again, found no day, and marked what has none.
    assert "pending" in figures_of(life)
    prove(life)
    assert len(let_it_work(instance)) == 1
    assert "pending" not in figures_of(life)
    assert_equals_a_rebuild(life, dbt)


def test_a_day_that_is_marked_while_it_is_built_stays_marked(life: LifeCells) -> None:
    tenant = open_merchant(life, CELL)
    everything = sql.SQL("tenant_id = {}").format(sql.Literal(tenant.id))
    with life.connect(CELL, "migrator") as connection:
        marked = mark(connection, tenant.id, everything, everything)
        assert marked == 21
        # As claim_stale_days and clear_stale_days do it.
        connection.execute("update analytics.stale_days set claimed_by = 'run'")
        mark(connection, tenant.id, sql.SQL("{} and user_id = 1").format(everything), sql.SQL("false"))
        connection.execute("delete from analytics.stale_days where claimed_by = 'run'")
    left = "select count(*) from analytics.stale_days where tenant_id = %s"
    assert life.value(CELL, left, (tenant.id,)) == 11
    life.execute(CELL, "delete from analytics.stale_days")


@pytest.mark.parametrize("step", ["models", "rows"])
def test_days_are_marked_with_the_deletion_and_not_without_it(
    life: LifeCells, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    person = someone(life, CELL, mark=secrets.token_hex(8), models=("shared",))
    tenant = person.tenants[0]
    marked = "select count(*) from analytics.stale_days where tenant_id = %s"
    events = "select count(*) from analytics.events where tenant_id = %s and user_id = 1"
    kept = life.value(CELL, events, (tenant.id,))
    days = life.value(
        CELL,
        "select count(distinct (e.time at time zone 'UTC')::date) from (select time, tenant_id, user_id from"
        " analytics.events union all select time, tenant_id, user_id from analytics.events_history) as e"
        " where e.tenant_id = %s and e.user_id = 1",
        (tenant.id,),
    )

    def die(*_: object) -> None:
        raise KilledError

    def forget_marks(at: Any) -> None:
        if (at.moment, at.step) == ("worked", "models"):
            life.execute(CELL, "delete from analytics.stale_days")

    # Within the transaction, behind the mark.
    name = {"models": "_exists", "rows": "leave"}[step]
    with monkeypatch.context() as patch:
        patch.setattr(erasing, name, die)
        with pytest.raises(KilledError):
            erase_person(person.id, settings=life.settings, progress=forget_marks)
    assert life.value(CELL, marked, (tenant.id,)) == 0
    assert life.value(CELL, events, (tenant.id,)) == kept
    with pytest.raises(KilledError):
        erase_person(person.id, settings=life.settings, progress=kill_at("worked", step))
    # Those of live events and of an old import, and what has no day.
    assert life.value(CELL, marked, (tenant.id,)) == days + 1
    assert erase_person(person.id, settings=life.settings).stale_days == stale_days(CELL, life.settings).count
    assert life.value(CELL, marked, (tenant.id,)) == days + 1


def test_a_restore_marks_the_days_of_whom_it_erases_again(life: LifeCells) -> None:
    person = someone(life, CELL, mark=secrets.token_hex(8), models=("shared",))
    tenant = person.tenants[0]
    kept = backup_tenant(tenant, settings=life.settings)
    erase_person(person.id, settings=life.settings)
    life.execute(CELL, "delete from analytics.stale_days")
    restore_tenant(kept.path, settings=life.settings)
    assert life.value(CELL, "select count(*) from analytics.stale_days where tenant_id = %s", (tenant.id,)) >= 12
