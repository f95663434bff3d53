"""A tenant moves whole, whatever kills the move, and never has two homes that can be written."""

import shutil
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from orchestration.cells.journal import OperationError, StepProgress
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.settings import Settings
from orchestration.tenancy.exporting import export_tenant
from orchestration.tenancy.holdings import holdings
from orchestration.tenancy.moving import STEPS, MoveError, move_tenant
from orchestration.tenancy.placement import placement
from orchestration.tenancy.registry import Model, Tenant, find
from orchestration.tenancy.residency import ResidencyError
from orchestration.tenancy.row_replacement import digests
from orchestration.tenancy.steps import open_operation_of
from orchestration.tenancy.suspension import suspend
from tests.integration.tenancy.life.conftest import LifeCells
from tests.integration.tenancy.life.merchants import open_merchant

EVENT = """
    insert into analytics.events (time, tenant_id, event_id, event_type, origin, load_id)
    values (now(), %s, gen_random_uuid(), 'click', 'stream', gen_random_uuid())
"""
SORTS = ("operational", "events", "rollup", "model")


class KilledError(BaseException):
    """As a kill."""


def kill_at(moment: str, step: str) -> Callable[[StepProgress], None]:
    def progress(at: StepProgress) -> None:
        if (at.moment, at.step) == (moment, step):
            raise KilledError

    return progress


def rows_of(life: LifeCells, tenant: Tenant, *sorts: str) -> dict[str, Any]:
    """Return a digest of every relation that the tenant has rows in."""
    held = [each for each in holdings(tenant.id, tenant.cell, tenant.model, "apache") if each.sort in (sorts or SORTS)]
    found = digests(tenant.cell, held, tenant.id, life.settings, verb="test")
    return {name: digest for name, digest in found.items() if digest.rows}


def remains(life: LifeCells, tenant: Tenant, cell: Cell) -> dict[str, Any]:
    """Return what is left of a tenant in a cell that it has left, its journal aside."""
    held = [each for each in holdings(tenant.id, cell, "shared", "apache") if each.sort != "journal"]
    found = digests(cell, held, tenant.id, life.settings, verb="test")
    return {name: digest for name, digest in found.items() if digest.rows}


def writable_homes(life: LifeCells, tenant: Tenant) -> list[str]:
    """Return where a request of the tenant could write now, tried as its requests do."""
    homes = []
    for cell in CELLS:
        for place in [placement(tenant.id, cell, "shared")]:
            try:
                with life.connect(cell, "app") as app, app.transaction(force_rollback=True):
                    app.execute("select set_config('app.current_tenant', %s, true)", (str(tenant.id),))
                    name = place.relation("ecommerce.carts").as_string(None)
                    query = f"insert into {name} (user_id) select id from {name.replace('carts', 'users')} limit 1"
                    if app.execute(query.encode()).rowcount:
                        homes.append(f"{cell} {place.model}")
            except psycopg.Error:
                continue
    return homes


@pytest.fixture(scope="module")
def built(life: LifeCells) -> None:
    """A mart in two cells, as dbt would have built it, and plans in all."""
    for cell in CELLS:
        life.execute(cell, "insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0)")
    for cell in ("na", "apac"):
        life.execute(cell, "set role transformer; create table marts.fct_daily_revenue (tenant_id uuid, day date)")


@pytest.fixture
def tenant(life: LifeCells, built: None) -> Tenant:
    del built
    made = open_merchant(life, "na")
    life.execute("na", "insert into marts.fct_daily_revenue values (%s, now())", (made.id,))
    return made


def test_a_tenant_moves_to_another_cell_whole_and_leaves_nothing(life: LifeCells, tenant: Tenant) -> None:
    other = open_merchant(life, "na")
    before, others = rows_of(life, tenant), rows_of(life, other)
    said: list[str] = []
    moved = move_tenant(
        tenant.subdomain, to_cell="apac", settings=life.settings, progress=lambda step: said.append(step.describe())
    )
    assert (moved.cell, moved.status, moved.id) == ("apac", "active", tenant.id)
    assert rows_of(life, moved) == before
    assert rows_of(life, other) == others
    assert remains(life, tenant, "na") == {}
    assert life.value("na", "select platform.is_former_tenant(%s)", (tenant.id,))
    assert writable_homes(life, tenant) == ["apac shared"]
    persons = "select count(*) from geo.users where id in (md5(%s || 1)::uuid, md5(%s || 2)::uuid)"
    assert life.value("na", persons, (str(tenant.id),) * 2) == 0
    assert life.value("apac", persons, (str(tenant.id),) * 2) == 2
    assert any("relations are the same, by count and checksum" in line for line in said)
    # And back, where it is no former tenant then.
    assert rows_of(life, move_tenant(str(tenant.id), to_cell="na", settings=life.settings)) == before
    assert not life.value("na", "select platform.is_former_tenant(%s)", (tenant.id,))
    assert remains(life, tenant, "apac") == {}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("moment", ["started", "worked"])
def test_a_move_killed_at_any_step_ends_right_when_it_is_repeated(
    life: LifeCells, tenant: Tenant, step: str, moment: str
) -> None:
    before = rows_of(life, tenant)
    with pytest.raises(KilledError):
        move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings, progress=kill_at(moment, step))
    assert len(writable_homes(life, tenant)) <= 1
    homes: list[int] = []

    def look(at: StepProgress) -> None:
        if at.moment == "worked" and at.step in ("prove", "close", "switch"):
            homes.append(len(writable_homes(life, tenant)))

    moved = move_tenant(tenant.subdomain, settings=life.settings, progress=look)
    assert max(homes, default=1) <= 1
    assert rows_of(life, moved) == before
    assert remains(life, tenant, "na") == {}
    assert writable_homes(life, tenant) == ["apac shared"]
    assert open_operation_of("na", tenant.id, life.settings) is None
    assert open_operation_of("apac", tenant.id, life.settings) is None


@pytest.mark.parametrize("step", STEPS[: STEPS.index("close") + 1])
def test_a_move_can_be_rolled_back_until_the_switch(life: LifeCells, tenant: Tenant, step: str) -> None:
    before = rows_of(life, tenant)
    with pytest.raises(KilledError):
        move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings, progress=kill_at("worked", step))
    assert move_tenant(tenant.subdomain, rollback=True, settings=life.settings) == tenant
    assert rows_of(life, tenant) == before
    assert remains(life, tenant, "apac") == {}
    assert writable_homes(life, tenant) == ["na shared"]
    assert life.journal("na", tenant.id)[-1][2] == "undone"


@pytest.mark.parametrize("step", ["switch", "clear"])
def test_a_switched_move_is_not_rolled_back(life: LifeCells, tenant: Tenant, step: str) -> None:
    with pytest.raises(KilledError):
        move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings, progress=kill_at("worked", step))
    with pytest.raises(MoveError, match="too late to roll back"):
        move_tenant(tenant.subdomain, rollback=True, settings=life.settings)
    move_tenant(tenant.subdomain, settings=life.settings)


def test_copies_that_differ_stop_the_move_and_are_made_again(life: LifeCells, tenant: Tenant) -> None:
    before = rows_of(life, tenant)

    def tamper(step: StepProgress) -> None:
        if (step.step, step.moment) == ("models", "finished"):
            with life.connect("apac") as connection, connection.transaction():
                connection.execute("select set_config('app.fence_pass', 'test', true)")
                connection.execute("update ecommerce.orders set status = 'refunded' where tenant_id = %s", (tenant.id,))

    with pytest.raises(MoveError, match=r"differ between source and copy: ecommerce.orders"):
        move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings, progress=tamper)
    assert writable_homes(life, tenant) == []
    assert rows_of(life, move_tenant(tenant.subdomain, settings=life.settings)) == before


def test_nobody_writes_rows_or_events_while_a_tenant_moves(life: LifeCells, tenant: Tenant) -> None:
    with pytest.raises(KilledError):
        move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings, progress=kill_at("finished", "fence"))
    for cell in ("na", "apac"):
        for query in (
            "update ecommerce.orders set status = 'paid' where tenant_id = %s",
            EVENT,
        ):
            with life.connect(cell, "loader") as loader, pytest.raises(psycopg.Error) as refused:
                loader.execute(query.encode(), (tenant.id,))
            assert refused.value.sqlstate == "TNT01"
    with pytest.raises(OperationError, match="in the middle of another operation: move"):
        export_tenant(find(str(tenant.id), "na", life.settings), settings=life.settings)
    with pytest.raises(OperationError, match="in the middle of another operation: arrive"):
        export_tenant(find(str(tenant.id), "apac", life.settings), settings=life.settings)
    with pytest.raises(MoveError, match="is being moved to apac"):
        move_tenant(tenant.subdomain, to_cell="eu", settings=life.settings)
    move_tenant(tenant.subdomain, rollback=True, settings=life.settings)


def test_a_suspended_tenant_moves_and_stays_suspended(life: LifeCells, tenant: Tenant) -> None:
    suspend(tenant, settings=life.settings)
    assert move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings).status == "suspended"
    assert writable_homes(life, tenant) == []


def test_a_shared_person_stays_where_others_need_it(life: LifeCells, tenant: Tenant) -> None:
    other = open_merchant(life, "na")
    person = life.value("na", "select person_id from ecommerce.users where tenant_id = %s and id = 1", (tenant.id,))
    life.execute("na", "update ecommerce.users set person_id = %s where tenant_id = %s and id = 2", (person, other.id))
    move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings)
    for cell in ("na", "apac"):
        assert life.value(cell, "select count(*) from geo.users where id = %s", (person,)) == 1


@pytest.mark.parametrize("region", ["eu", "na"])
def test_a_tenant_of_the_eu_cannot_leave_it(life: LifeCells, built: None, region: str) -> None:
    del built
    tenant = open_merchant(life, "eu", region=region)
    with pytest.raises(ResidencyError, match="which tenants may not leave: it can live in eu"):
        move_tenant(tenant.subdomain, to_cell="na", settings=life.settings)
    assert life.journal("eu", tenant.id) == []


def test_a_tenant_with_persons_of_the_eu_cannot_be_moved_elsewhere(life: LifeCells, tenant: Tenant) -> None:
    # Who is misplaced already, past the triggers as a superuser can, does not get further away.
    trigger = 'trigger "People_live_where_they_may"'
    life.execute("na", f"alter table geo.users disable {trigger}")
    life.execute("na", "update geo.users set region = 'eu' where id = md5(%s || 1)::uuid", (str(tenant.id),))
    life.execute("na", f"alter table geo.users enable always {trigger}")
    with pytest.raises(
        ResidencyError, match=r"1 of the 2 persons .* of region eu, whose people may not live in 'apac'"
    ):
        move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings)
    assert life.journal("na", tenant.id) == []
    assert move_tenant(tenant.subdomain, to_cell="eu", settings=life.settings).cell == "eu"


def test_a_move_that_cannot_be_is_refused_before_anything_changes(
    life: LifeCells, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(match: str, settings: Settings = life.settings, **to: Any) -> None:
        with pytest.raises((MoveError, CellUnavailableError), match=match):
            move_tenant(tenant.subdomain, settings=settings, **to)
        assert life.journal("na", tenant.id) == []
        assert find(str(tenant.id), "na", life.settings) == tenant

    refused("lives in cell 'na', model shared, already", to_cell="na")
    refused("lives in cell 'na', model shared, already")
    refused("there is nothing to roll back", rollback=True)
    nobody = life.settings.model_copy(
        update={"dsn_apac": type(life.settings.dsn_na)("postgresql://postgres:x@127.0.0.1:1/x")}  # type: ignore[misc]
    )
    refused("'apac' at 127.0.0.1:1 cannot be used", nobody, to_cell="apac")
    elsewhere = life.settings.model_copy(update={"dsn_apac": life.settings.dsn_eu})
    refused("the database found for cell 'apac' is another", elsewhere, to_cell="apac")
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
        refused("cell 'apac' is full", to_cell="apac")


@pytest.mark.parametrize("model", ["schema", "database"])
def test_a_tenant_moves_between_models_and_back(life: LifeCells, tenant: Tenant, model: Model) -> None:
    before = rows_of(life, tenant)
    moved = move_tenant(tenant.subdomain, to_model=model, settings=life.settings)
    assert (moved.model, moved.cell) == (model, "na")
    assert rows_of(life, moved) == before
    assert life.value("na", "select count(*) from ecommerce.carts where tenant_id = %s", (tenant.id,)) == 0
    assert life.value("na", "select count(*) from ecommerce.orders where tenant_id = %s", (tenant.id,)) == 2
    across = move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings)
    assert rows_of(life, across) == before
    assert remains(life, tenant, "na") == {}
    back = move_tenant(tenant.subdomain, to_cell="na", to_model="shared", settings=life.settings)
    assert rows_of(life, back) == before
    assert remains(life, tenant, "apac") == {}
    assert life.rows("na", "select from pg_namespace where nspname like %s", (f"%{tenant.id.hex}%",)) == []
    assert life.rows("na", "select from pg_database where datname like %s", (f"%{tenant.id.hex}%",)) == []
