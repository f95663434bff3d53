"""Exports and backups of one tenant: whole or not there, checked to the byte, restored without touching others."""

import csv
import json
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from orchestration.cells.journal import StepProgress
from orchestration.cells.relations import load_relations
from orchestration.engines import sealed_json
from orchestration.tenancy import archive, former_tenants
from orchestration.tenancy.archive import ArchiveError
from orchestration.tenancy.backup import (
    RestoreError,
    backup_tenant,
    choose_backup,
    remove_expired,
    restore_tenant,
)
from orchestration.tenancy.exporting import export_tenant, verify_export
from orchestration.tenancy.holdings import holdings
from orchestration.tenancy.registry import Tenant, find
from orchestration.tenancy.row_replacement import digests
from tests.integration.tenancy.life.conftest import LifeCells
from tests.integration.tenancy.life.merchants import open_merchant


class KilledError(BaseException):
    """As a kill."""


def kill_at(moment: str, number: int) -> Callable[[StepProgress], None]:
    def progress(step: StepProgress) -> None:
        if (step.moment, step.number) == (moment, number):
            raise KilledError

    return progress


def state(life: LifeCells, tenant: Tenant) -> dict[str, object]:
    """Return a digest of every relation of the tenant that operations do not write themselves."""
    held = [
        each
        for each in holdings(tenant.id, tenant.cell, tenant.model, "apache")
        if each.sort in ("operational", "events", "rollup", "model")
    ]
    return dict(digests(tenant.cell, held, tenant.id, life.settings, verb="test"))


@pytest.fixture(scope="module")
def mart(life: LifeCells) -> None:
    """A mart, as dbt would have built it."""
    for cell in ("na", "eu"):
        life.execute(cell, "set role transformer; create table marts.fct_daily_revenue (tenant_id uuid, day date)")


@pytest.fixture
def tenant(life: LifeCells, mart: None) -> Tenant:
    del mart
    made = open_merchant(life, "na")
    life.execute(
        "na", "insert into marts.fct_daily_revenue values (%s, now()), (%s, now() - interval '1 day')", (made.id,) * 2
    )
    return made


def test_every_declared_relation_of_tenants_is_held(tenant: Tenant) -> None:
    declared = {
        r.name
        for r in load_relations()
        # No tenant's role enters the schema of usage, so it is declared internal; its rows are a tenant's all the same.
        if (r.kind == "tenant" or r.schema == "metering") and r.relkind != "view"
    }
    for model in ("shared", "schema", "database"):
        held = {each.name for each in holdings(tenant.id, "na", model, "apache")}
        # Usage may be declared internal, for no tenant's role enters its schema; it is held all the same.
        usage = {"metering.accounts", "metering.event_months", "metering.request_hours"}
        assert held | usage == declared | usage
        assert usage <= held


def test_an_export_has_every_row_of_the_tenant_and_none_of_another(life: LifeCells, tenant: Tenant) -> None:
    other = open_merchant(life, "na", mark="stranger")
    exported = export_tenant(tenant, settings=life.settings)
    manifest = verify_export(exported.path)
    assert {each.relation for each in manifest.files} | set(manifest.left_out) >= {
        each.name for each in holdings(tenant.id, "na", "shared", "apache")
    }
    by_name = {each.relation: each for each in manifest.files}
    assert (by_name["ecommerce.orders"].rows, by_name["analytics.events"].rows, by_name["geo.users"].rows) == (2, 20, 2)
    assert by_name["analytics.events_history"].rows == 1
    for each in manifest.files:
        text = (exported.path / each.file).read_text()
        assert "stranger" not in text
        assert str(other.id) not in text
        assert len(list(csv.reader(text.splitlines()))) == each.rows + 1
    assert "derived" in manifest.left_out["marts.fct_daily_revenue"]
    assert stat.S_IMODE(exported.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in exported.path.iterdir()} == {0o600}


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("moment", ["started", "worked", "finished"])
def test_a_killed_export_is_no_export_and_is_ended_by_repeating_it(
    life: LifeCells, tenant: Tenant, moment: str, number: int
) -> None:
    with pytest.raises(KilledError):
        export_tenant(tenant, settings=life.settings, progress=kill_at(moment, number))
    whole = archive.archives("export", "na", tenant.id, life.settings)
    assert len(whole) == (1 if (number, moment) >= (2, "worked") else 0) or moment == "finished"
    for path in whole:
        verify_export(path)
    export_tenant(tenant, settings=life.settings)
    assert len(archive.archives("export", "na", tenant.id, life.settings)) == 1
    assert archive.partial_archives("export", "na", tenant.id, life.settings) == []


@pytest.fixture(scope="module")
def kept(life: LifeCells, mart: None) -> Path:
    """A backup to damage copies of."""
    del mart
    return backup_tenant(open_merchant(life, "na"), settings=life.settings).path


def _damaged(kept: Path, place: Path, damage: Callable[[Path], object]) -> Path:
    copy = place / kept.name
    shutil.copytree(kept, copy)
    damage(copy)
    return copy


def _change(path: Path, **fields: object) -> None:
    content = json.loads((path / archive.MANIFEST).read_text()) | fields
    (path / archive.MANIFEST).write_text(sealed_json.sealed(content))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: (p / "ecommerce.orders.copy").write_bytes(b"x" * 100), "is damaged: it has 100 bytes"),
        (lambda p: (p / "saas.users.copy").unlink(), "files are missing or foreign: saas.users.copy"),
        (lambda p: (p / "extra").write_text(""), "files are missing or foreign: extra"),
        (lambda p: (p / archive.MANIFEST).write_text("{}"), r"manifest.json is damaged"),
        (lambda p: (p / archive.MANIFEST).unlink(), "is no archive: manifest.json is missing"),
        (lambda p: _flip(p / "geo.users.copy"), "its content is not what was written"),
        (lambda p: _change(p, cell="eu"), "lives in cell 'na' now"),
        (
            lambda p: _change(p, schema={"geo": {"version": 1, "digest": "x"}}),
            "another version of analytics, ecommerce",
        ),
        (lambda p: _change(p, expires_at="2020-01-01T00:00:00+00:00"), "expired on 2020-01-01"),
        (lambda p: _change(p, kind="export"), "is an export, which cannot be restored"),
        (lambda p: _change(p, format=99), "has format 99"),
    ],
)
def test_a_backup_that_is_damaged_or_foreign_is_refused_before_anything_changes(
    life: LifeCells, kept: Path, tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    manifest = archive.read_manifest(kept)
    tenant = find(str(manifest.tenant_id), "na", life.settings)
    before = state(life, tenant)
    with pytest.raises((ArchiveError, RestoreError), match=said):
        restore_tenant(_damaged(kept, tmp_path, damage), settings=life.settings)
    assert state(life, tenant) == before
    assert [row[0] for row in life.journal("na", tenant.id)] == ["backup"]


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))


def test_a_backup_of_another_cell_is_refused(life: LifeCells, kept: Path) -> None:
    with pytest.raises(RestoreError, match="was taken in cell 'na', not in 'eu'"):
        restore_tenant(kept, cell="eu", settings=life.settings)


def _disturb(life: LifeCells, tenant: Tenant) -> None:
    """As a shop goes on after its backup: rows change, go, and come, with a new shopper."""
    life.execute("na", "delete from ecommerce.cart_items where tenant_id = %s", (tenant.id,))
    life.execute("na", "update ecommerce.orders set status = 'cancelled' where tenant_id = %s", (tenant.id,))
    life.execute(
        "na", "delete from analytics.events where tenant_id = %s and time < now() - interval '9 days'", (tenant.id,)
    )
    person = uuid4()
    life.execute("na", "insert into geo.users (id, email, region) values (%s, 'new@example.com', 'na')", (person,))
    life.execute(
        "na",
        "insert into ecommerce.users (tenant_id, id, person_id, email, password_hash) values (%s, 77, %s, 'n@e', '!')",
        (tenant.id, person),
    )
    life.execute("na", "delete from marts.fct_daily_revenue where tenant_id = %s", (tenant.id,))


STEPS = 7


@pytest.mark.parametrize("number", range(1, STEPS + 1))
@pytest.mark.parametrize("moment", ["started", "worked"])
def test_a_restore_killed_at_any_step_ends_with_exactly_the_backups_rows(
    life: LifeCells, tenant: Tenant, moment: str, number: int
) -> None:
    other = open_merchant(life, "na")
    before, others = state(life, tenant), state(life, other)
    persons = life.value("na", "select count(*) from geo.users")
    path = backup_tenant(tenant, settings=life.settings).path
    _disturb(life, tenant)
    with pytest.raises(KilledError):
        restore_tenant(path, settings=life.settings, progress=kill_at(moment, number))
    seen: list[StepProgress] = []
    restore_tenant(path, settings=life.settings, progress=seen.append)
    assert {step.steps for step in seen} == {STEPS}
    assert state(life, tenant) == before
    assert state(life, other) == others
    assert life.value("na", "select count(*) from geo.users") == persons
    assert life.rows("na", "select from saas.tenant_fences") == []
    with life.connect("na", "app") as app, app.transaction():
        app.execute("select set_config('app.current_tenant', %s, true)", (str(tenant.id),))
        assert app.execute("select count(*) from ecommerce.orders").fetchone() == (2,)
        row = app.execute("insert into ecommerce.carts (user_id) values (1) returning id").fetchone()
        assert row is not None
        assert row[0] > 2


def test_a_deleted_tenant_comes_back(life: LifeCells, tenant: Tenant) -> None:
    before = state(life, tenant)
    path = backup_tenant(tenant, settings=life.settings).path
    _delete(life, tenant)
    assert restore_tenant(choose_backup(tenant.subdomain, settings=life.settings), settings=life.settings) == tenant
    assert path == choose_backup(str(tenant.id), settings=life.settings)
    assert state(life, tenant) == before


def _delete(life: LifeCells, tenant: Tenant) -> None:
    from orchestration.tenancy.row_replacement import delete_rows, movable, writing

    held = movable(holdings(tenant.id, "na", tenant.model, "apache"), "operational", "events", "rollup")
    with writing("na", "migrator", None, tenant.id, life.settings, verb="test") as connection:
        delete_rows(connection, held, tenant.id)
    life.execute("na", "delete from marts.fct_daily_revenue where tenant_id = %s", (tenant.id,))
    life.execute("na", "delete from saas.tenants where id = %s", (tenant.id,))


def test_an_erased_tenant_does_not_come_back_by_accident(life: LifeCells, tenant: Tenant) -> None:
    path = backup_tenant(tenant, settings=life.settings).path
    _delete(life, tenant)
    with life.connect("na") as connection:
        former_tenants.record(connection, tenant.id, "erased", former_tenants.new_salt())
    with pytest.raises(RestoreError, match="was erased from cell 'na'"):
        restore_tenant(path, settings=life.settings)
    restore_tenant(path, settings=life.settings, even_if_erased=True)
    assert find(str(tenant.id), "na", life.settings) == tenant


def test_backups_expire(life: LifeCells, tenant: Tenant) -> None:
    path = backup_tenant(tenant, settings=life.settings, kept_days=3).path
    now = datetime.now(UTC)
    remove_expired("backup", "na", now=now + timedelta(days=2), settings=life.settings)
    assert path.is_dir()
    assert remove_expired("backup", "na", now=now + timedelta(days=4), settings=life.settings) == 1
    assert not path.exists()
    with pytest.raises(RestoreError, match="there is no backup of"):
        choose_backup(str(tenant.id), settings=life.settings)
